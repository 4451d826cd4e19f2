using System.Globalization;
using System.Text;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Logging;

/// <summary>Registers and numbers as the kernel's verifier log spells them.</summary>
internal static class RegisterText
{
    private const string SlotChars = "?rm0dif";

    /// <summary>Small numbers are decimal, large ones hexadecimal.</summary>
    public static string Signed(long value) =>
        value is >= short.MinValue and <= short.MaxValue ? value.ToString(CultureInfo.InvariantCulture) : $"0x{value:x}";

    /// <summary>Small numbers are decimal, large ones hexadecimal.</summary>
    public static string Unsigned(ulong value) =>
        value <= ushort.MaxValue ? value.ToString(CultureInfo.InvariantCulture) : $"0x{value:x}";

    // A 32-bit bound that is not small is shown with its 32 bits alone.
    private static long Narrow(int value) => value is >= short.MinValue and <= short.MaxValue ? value : (uint)value;

    /// <summary>The character of a stack byte.</summary>
    public static char SlotChar(SlotType type) => SlotChars[(int)type];

    /// <summary>The name of a kind of register: prefixes, kind, and whether it may be NULL.</summary>
    public static string TypeName(RegType type)
    {
        var text = new StringBuilder();
        if (type.Has(RegType.MemRdonly)) text.Append("rdonly_");
        if (type.Has(RegType.MemRingbuf)) text.Append("ringbuf_");
        if (type.Has(RegType.MemUser)) text.Append("user_");
        if (type.Has(RegType.MemPercpu)) text.Append("percpu_");
        if (type.Has(RegType.PtrUntrusted)) text.Append("untrusted_");
        if (type.Has(RegType.PtrTrusted)) text.Append("trusted_");
        if (type.Has(RegType.MemRcu)) text.Append("rcu_");
        text.Append(BaseName(type.Base()));
        if (type.MayBeNull()) text.Append(type.Base() == RegType.PtrToBtfId ? "or_null_" : "_or_null");
        return text.ToString();
    }

    private static string BaseName(RegType type) => type switch
    {
        RegType.NotInit => "?",
        RegType.Scalar => "scalar",
        RegType.PtrToCtx => "ctx",
        RegType.ConstPtrToMap => "map_ptr",
        RegType.PtrToMapValue => "map_value",
        RegType.PtrToStack => "fp",
        RegType.PtrToPacket => "pkt",
        RegType.PtrToPacketMeta => "pkt_meta",
        RegType.PtrToPacketEnd => "pkt_end",
        RegType.PtrToFlowKeys => "flow_keys",
        RegType.PtrToSocket => "sock",
        RegType.PtrToSockCommon => "sock_common",
        RegType.PtrToTcpSock => "tcp_sock",
        RegType.PtrToTpBuffer => "tp_buffer",
        RegType.PtrToXdpSock => "xdp_sock",
        RegType.PtrToBtfId => "ptr_",
        RegType.PtrToMem => "mem",
        RegType.PtrToArena => "arena",
        RegType.PtrToBuf => "buf",
        RegType.PtrToFunc => "func",
        RegType.PtrToInsn => "insn",
        RegType.PtrToMapKey => "map_key",
        RegType.ConstPtrToDynptr => "dynptr_ptr",
        _ => "unknown",
    };

    /// <summary>The ranges of a number, equal bounds told together: <c>smin=umin=0,smax=umax=255</c>.</summary>
    public static void AppendRanges(StringBuilder text, in RegisterState reg, ref string separator)
    {
        Span<(long Value, bool Signed, bool Omit)> bounds =
        [
            (reg.SMin, true, reg.SMin == long.MinValue),
            (reg.SMax, true, reg.SMax == long.MaxValue),
            ((long)reg.UMin, false, reg.UMin == 0),
            ((long)reg.UMax, false, reg.UMax == ulong.MaxValue),
            (Narrow(reg.Bounds.S32Min), true, reg.Bounds.S32Min == int.MinValue),
            (Narrow(reg.Bounds.S32Max), true, reg.Bounds.S32Max == int.MaxValue),
            (reg.Bounds.U32Min, false, reg.Bounds.U32Min == 0),
            (reg.Bounds.U32Max, false, reg.Bounds.U32Max == uint.MaxValue),
        ];
        ReadOnlySpan<string> names = ["smin", "smax", "umin", "umax", "smin32", "smax32", "umin32", "umax32"];
        for (int i = 0; i < bounds.Length; i++)
        {
            if (bounds[i].Omit) continue;
            bool negative = bounds[i].Signed && bounds[i].Value < 0;
            text.Append(separator).Append(names[i]).Append('=');
            separator = ",";
            for (int j = i + 2; j < bounds.Length; j += 2)
            {
                if (bounds[j].Omit || bounds[j].Value != bounds[i].Value) continue;
                // The same bits may be negative in one view and large in the other.
                if ((bounds[j].Signed && bounds[j].Value < 0) != negative) continue;
                bounds[j].Omit = true;
                text.Append(names[j]).Append('=');
            }

            text.Append(bounds[i].Signed ? Signed(bounds[i].Value) : Unsigned((ulong)bounds[i].Value));
        }
    }

    /// <summary>The name of a kind of dynptr.</summary>
    public static string DynptrName(DynptrKind kind) => kind switch
    {
        DynptrKind.Local => "local",
        DynptrKind.Ringbuf => "ringbuf",
        DynptrKind.Skb => "skb",
        DynptrKind.Xdp => "xdp",
        DynptrKind.SkbMeta => "skb_meta",
        DynptrKind.File => "file",
        _ => "invalid",
    };

    /// <summary>The name of an iterator's state.</summary>
    public static string IterName(IterState state) => state switch
    {
        IterState.Active => "active",
        IterState.Drained => "drained",
        _ => "<invalid>",
    };
}
