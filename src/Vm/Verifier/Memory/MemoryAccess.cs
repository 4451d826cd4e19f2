using BpfSim.Maps;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Loads and stores through a register: which kind of memory, what is allowed there, what a load yields.
internal sealed partial class ProgramVerifier
{
    /// <summary>Variable offsets and sizes from here on count as unbounded.</summary>
    internal const int MaxVarOff = 1 << 29;

    /// <summary>
    /// Checks a load or store through a register and applies it. <paramref name="valueRegno"/> is the register that is
    /// loaded or stored, -1 if there is none (helper memory, store of an immediate).
    /// </summary>
    private void CheckMemAccess(int insnIdx, int regno, int off, int size, AccessType type, int valueRegno,
        bool strictAlignmentOnce, bool signExtend)
    {
        ref RegisterState reg = ref Regs[regno];
        CheckPtrAlignment(reg, off, size, strictAlignmentOnce);
        // From here on the pointer's own offset is part of the access's.
        off += reg.Off;

        bool load = type == AccessType.Read;
        switch (reg.Type.Base())
        {
            case RegType.PtrToStack when reg.Type == RegType.PtrToStack:
                CheckStackAccessWithinBounds(regno, off, size, type);
                if (load) CheckStackRead(regno, off, size, valueRegno);
                else CheckStackWrite(regno, off, size, valueRegno, insnIdx);
                break;
            case RegType.PtrToMapValue when reg.Type == RegType.PtrToMapValue:
                AccessMapValue(insnIdx, regno, off, size, type, valueRegno, signExtend);
                break;
            case RegType.PtrToCtx when reg.Type == RegType.PtrToCtx:
                AccessContext(insnIdx, regno, off, size, type, valueRegno, signExtend);
                break;
            case RegType.PtrToMem:
                AccessMem(regno, off, size, type, valueRegno);
                break;
            case RegType.PtrToMapKey when reg.Type == RegType.PtrToMapKey:
                if (!load) Reject(Errno.EACCES, $"write to change key R{regno} not allowed");
                CheckMemRegionAccess(regno, off, size, Maps[reg.MapIndex].KeySize, false);
                if (valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToPacket or RegType.PtrToPacketMeta when reg.Type.IsPacket():
                if (!load && !MayWritePacket()) Reject(Errno.EACCES, "cannot write into packet");
                RejectLeak(type, valueRegno, "packet");
                CheckPacketAccess(regno, off, size, false);
                if (load && valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToFlowKeys when reg.Type == RegType.PtrToFlowKeys:
                RejectLeak(type, valueRegno, "flow keys");
                if (size < 0 || off < 0 || off + size > FlowKeysSize)
                    Reject(Errno.EACCES, $"invalid access to flow keys off={off} size={size}");
                if (load && valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.PtrToXdpSock
                when reg.Type == reg.Type.Base():
                if (!load) Reject(Errno.EACCES, $"R{regno} cannot write into {RegTypeName(reg.Type)}");
                CheckSockAccess(insnIdx, regno, off, size);
                if (valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToTpBuffer when reg.Type == RegType.PtrToTpBuffer:
                CheckBuffer("tracepoint", reg, regno, off, size);
                if (load && valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToBtfId when !reg.Type.MayBeNull():
                CheckBtfAccess(regno, off, size, type, valueRegno);
                break;
            case RegType.ConstPtrToMap when reg.Type == RegType.ConstPtrToMap:
                CheckMapPtrAccess(regno, off, size, type, valueRegno);
                break;
            case RegType.PtrToBuf when !reg.Type.MayBeNull():
                bool readOnly = reg.Type.Has(RegType.MemRdonly);
                if (readOnly && !load) Reject(Errno.EACCES, $"R{regno} cannot write into {RegTypeName(reg.Type)}");
                CheckBuffer(readOnly ? "rdonly" : "rdwr", reg, regno, off, size);
                if (valueRegno >= 0 && (readOnly || load)) MarkRegUnknown(valueRegno);
                break;
            case RegType.PtrToArena when reg.Type == RegType.PtrToArena:
                if (load && valueRegno >= 0) MarkRegUnknown(valueRegno);
                break;
            default:
                RejectMemAccess(regno);
                break;
        }

        if (size < 8 && load && valueRegno >= 0 && Regs[valueRegno].Type == RegType.Scalar)
        {
            if (signExtend) Regs[valueRegno].Bounds.SignExtend64(size);
            else Regs[valueRegno].Bounds.Truncate(size);
        }
    }

    private void RejectMemAccess(int regno) =>
        Reject(Errno.EACCES, $"R{regno} invalid mem access '{RegTypeName(Regs[regno].Type)}'");

    private void RejectLeak(AccessType type, int valueRegno, string where)
    {
        if (type == AccessType.Write && valueRegno >= 0 && IsPointerValue(valueRegno))
            Reject(Errno.EACCES, $"R{valueRegno} leaks addr into {where}");
    }

    /// <summary>Whether a register must not become visible outside: a pointer, and the program may not leak those.</summary>
    private bool IsPointerValue(int regno) => IsPointerValue(Regs[regno]);

    private bool IsPointerValue(in RegisterState reg) => !AllowPtrLeaks && reg.Type != RegType.Scalar;

    private void AccessMapValue(int insnIdx, int regno, int off, int size, AccessType type, int valueRegno, bool signExtend)
    {
        ref RegisterState reg = ref Regs[regno];
        RejectLeak(type, valueRegno, "map");
        CheckMapAccessType(regno, off, size, type);
        CheckMapAccess(regno, off, size, false, type, fromHelper: false);
        MapSpec map = Maps[reg.MapIndex];
        if (reg.IsConst)
        {
            long at = off + (long)reg.VarOff.Value;
            foreach (SpecialField field in map.SpecialFields)
            {
                if (field.Offset != at || !IsPointerField(field.Kind)) continue;
                CheckMapKptrAccess(regno, valueRegno, insnIdx, field);
                return;
            }
        }

        if (type != AccessType.Read || valueRegno < 0) return;
        if (reg.IsConst && TryReadConstMapValue(map, (int)(off + (long)reg.VarOff.Value), size, out ulong value))
        {
            if (signExtend && size < 8) value = (ulong)((long)(value << (64 - size * 8)) >> (64 - size * 8));
            ref RegisterState target = ref Regs[valueRegno];
            target.MarkKnown(value);
            target.Type = RegType.Scalar;
            target.Precise = false;
        }
        else
        {
            MarkRegUnknown(valueRegno);
        }
    }

    private void AccessMem(int regno, int off, int size, AccessType type, int valueRegno)
    {
        ref RegisterState reg = ref Regs[regno];
        bool readOnly = reg.Type.Has(RegType.MemRdonly);
        if (reg.Type.MayBeNull()) RejectMemAccess(regno);
        if (type == AccessType.Write && readOnly) Reject(Errno.EACCES, $"R{regno} cannot write into {RegTypeName(reg.Type)}");
        RejectLeak(type, valueRegno, "mem");
        // Untrusted memory is only read by loads that survive a fault; its bounds do not matter.
        if (!(readOnly && reg.Type.Has(RegType.PtrUntrusted))) CheckMemRegionAccess(regno, off, size, reg.MemSize, false);
        if (valueRegno >= 0 && (type == AccessType.Read || readOnly)) MarkRegUnknown(valueRegno);
    }

    private void AccessContext(int insnIdx, int regno, int off, int size, AccessType type, int valueRegno, bool signExtend)
    {
        RejectLeak(type, valueRegno, "ctx");
        CheckPtrOffReg(ref Regs[regno], regno, fixedOffOk: false);
        ContextAccess access = Input.ProgramType.CheckContext(
            new ContextQuery(Input.Attributes, off, size, type == AccessType.Write, signExtend));
        if (access.Kind == ContextAccessKind.Invalid)
        {
            if (access.Message != null) Verbose(access.Message.TrimEnd('\n') + "\n");
            Verbose($"invalid bpf_context access off={off} size={size}\n");
            LogSourceLine(insnIdx, "; ");
            Reject(Errno.EACCES);
        }

        if (access.Message != null) Verbose(access.Message + "\n");
        if (access.FieldSize != 0) Aux[insnIdx].CtxFieldSize = access.FieldSize;
        if (type != AccessType.Read || valueRegno < 0) return;
        ref RegisterState target = ref Regs[valueRegno];
        if (access.Kind == ContextAccessKind.Scalar)
        {
            MarkRegUnknown(valueRegno);
            return;
        }

        target.MarkPointer(ContextTypes.Of(access.Kind));
        if (target.Type.MayBeNull()) target.Id = NewId();
        switch (target.Type.Base())
        {
            case RegType.PtrToBtfId:
                target.Btf = BtfSource.Kernel;
                target.BtfId = access.BtfTypeId;
                break;
            case RegType.PtrToMem:
                target.MemSize = (uint)access.MemSize;
                break;
        }
    }

    private void CheckPtrAlignment(in RegisterState reg, int off, int size, bool strictOnce)
    {
        // Spills and fills rely on aligned stack accesses, whatever the machine allows.
        bool strict = StrictAlignment || strictOnce || reg.Type == RegType.PtrToStack;
        if (!strict || size == 1 || reg.Type == RegType.PtrToArena) return;
        if (reg.Type.IsPacket())
        {
            const int IpAlign = 2;
            if (!(reg.VarOff + Tnum.Const((ulong)(IpAlign + reg.Off + off))).IsAligned((ulong)size))
                Reject(Errno.EACCES, $"misaligned packet access off {IpAlign}+{reg.VarOff}+{reg.Off}+{off} size {size}");
            return;
        }

        if ((reg.VarOff + Tnum.Const((ulong)(reg.Off + off))).IsAligned((ulong)size)) return;
        string what = reg.Type switch
        {
            RegType.PtrToFlowKeys => "flow keys ",
            RegType.PtrToMapKey => "key ",
            RegType.PtrToMapValue => "value ",
            RegType.PtrToCtx => "context ",
            RegType.PtrToStack => "stack ",
            RegType.PtrToSocket => "sock ",
            RegType.PtrToSockCommon => "sock_common ",
            RegType.PtrToTcpSock => "tcp_sock ",
            RegType.PtrToXdpSock => "xdp_sock ",
            _ => "",
        };
        Reject(Errno.EACCES, $"misaligned {what}access off {reg.VarOff}+{reg.Off}+{off} size {size}");
    }

    /// <summary>Checks that a pointer has neither fixed nor variable offset, in the kernel's words.</summary>
    private void CheckPtrOffReg(ref RegisterState reg, int regno, bool fixedOffOk)
    {
        if (reg.Off < 0)
            Reject(Errno.EACCES, $"negative offset {RegTypeName(reg.Type)} ptr R{regno} off={reg.Off} disallowed");
        if (!fixedOffOk && reg.Off != 0)
            Reject(Errno.EACCES, $"dereference of modified {RegTypeName(reg.Type)} ptr R{regno} off={reg.Off} disallowed");
        if (!reg.IsConst || reg.VarOff.Value != 0)
            Reject(Errno.EACCES, $"variable {RegTypeName(reg.Type)} access var_off={reg.VarOff} disallowed");
    }

    private void CheckBuffer(string name, in RegisterState reg, int regno, int off, int size)
    {
        if (off < 0) Reject(Errno.EACCES, $"R{regno} invalid {name} buffer access: off={off}, size={size}");
        if (!reg.IsConst || reg.VarOff.Value != 0)
            Reject(Errno.EACCES, $"R{regno} invalid variable buffer offset: off={off}, var_off={reg.VarOff}");
    }
}

/// <summary>What a load through the context pointer makes of a register.</summary>
internal static class ContextTypes
{
    /// <summary>The type of register for a kind of context field.</summary>
    public static RegType Of(ContextAccessKind kind) => kind switch
    {
        ContextAccessKind.PacketData => RegType.PtrToPacket,
        ContextAccessKind.PacketMeta => RegType.PtrToPacketMeta,
        ContextAccessKind.PacketEnd => RegType.PtrToPacketEnd,
        ContextAccessKind.FlowKeys => RegType.PtrToFlowKeys,
        ContextAccessKind.SockCommonOrNull => RegType.PtrToSockCommon | RegType.PtrMaybeNull,
        ContextAccessKind.Socket => RegType.PtrToSocket,
        ContextAccessKind.SocketOrNull => RegType.PtrToSocket | RegType.PtrMaybeNull,
        ContextAccessKind.XdpSockOrNull => RegType.PtrToXdpSock | RegType.PtrMaybeNull,
        ContextAccessKind.BtfPtr => RegType.PtrToBtfId,
        ContextAccessKind.BtfPtrOrNull => RegType.PtrToBtfId | RegType.PtrMaybeNull,
        ContextAccessKind.BtfPtrTrusted => RegType.PtrToBtfId | RegType.PtrTrusted,
        ContextAccessKind.BtfPtrTrustedOrNull => RegType.PtrToBtfId | RegType.PtrTrusted | RegType.PtrMaybeNull,
        ContextAccessKind.BtfPtrRcu => RegType.PtrToBtfId | RegType.MemRcu,
        ContextAccessKind.TpBuffer => RegType.PtrToTpBuffer,
        ContextAccessKind.ReadOnlyMemOrNull => RegType.PtrToBuf | RegType.MemRdonly | RegType.PtrMaybeNull,
        ContextAccessKind.ReadWriteMemOrNull => RegType.PtrToBuf | RegType.PtrMaybeNull,
        ContextAccessKind.CtxPtr => RegType.PtrToCtx,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "not a pointer"),
    };
}
