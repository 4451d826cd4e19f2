using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Profile;

/// <summary>Fills the .kconfig map: LINUX_KERNEL_VERSION, LINUX_HAS_… and the options that the kernel was built with.</summary>
internal static class Kconfig
{
    /// <summary>The content of the .kconfig map; or null and, in libbpf's words, why there is none.</summary>
    public static byte[]? Fill(IReadOnlyList<KconfigExtern> externs, KernelProfile profile, IReadOnlyDictionary<string, string> options, out string? error)
    {
        error = null;
        byte[] content = new byte[externs.Count == 0 ? 0 : externs.Max(e => e.Offset + e.Size)];
        foreach (KconfigExtern variable in externs)
        {
            Span<byte> room = content.AsSpan(variable.Offset, variable.Size);
            if (variable.Name.StartsWith("LINUX_", StringComparison.Ordinal))
            {
                ulong? value = variable.Name switch
                {
                    "LINUX_KERNEL_VERSION" => profile.VersionCode,
                    "LINUX_HAS_BPF_COOKIE" => 1,
                    "LINUX_HAS_SYSCALL_WRAPPER" => profile.HasSyscallWrapper ? 1u : 0,
                    _ => variable.Weak ? 0 : null,
                };
                if (value == null) error = $"extern (kcfg) '{variable.Name}': unrecognized virtual extern";
                else WriteNumber(room, value.Value);
            }
            else if (!options.TryGetValue(variable.Name, out string? text))
            {
                if (!variable.Weak) error = $"extern '{variable.Name}' (strong): not resolved";
            }
            else
            {
                error = Write(room, variable, text);
            }
            if (error != null) return null;
        }
        return content;
    }

    private static string? Write(Span<byte> room, KconfigExtern variable, string text)
    {
        string mismatch = $"extern (kcfg) '{variable.Name}': value '{text}' doesn't match its type";
        switch (text[0])
        {
            case 'y' or 'n' or 'm':
                switch (variable.Type)
                {
                    case KconfigType.Bool when text[0] != 'm':
                        room[0] = (byte)(text[0] == 'y' ? 1 : 0);
                        return null;
                    case KconfigType.Tristate:
                        WriteNumber(room, text[0] == 'y' ? 1u : text[0] == 'm' ? 2u : 0u);
                        return null;
                    case KconfigType.Char:
                        room[0] = (byte)text[0];
                        return null;
                    default:
                        return mismatch;
                }
            case '"':
                if (variable.Type != KconfigType.CharArray) return mismatch;
                byte[] bytes = Encoding.UTF8.GetBytes(text.Trim('"'));
                bytes.AsSpan(0, Math.Min(bytes.Length, room.Length - 1)).CopyTo(room);
                return null;
            default:
                if (variable.Type is not (KconfigType.Int or KconfigType.Char) || ParseNumber(text) is not { } number) return mismatch;
                int bits = 8 * room.Length;
                if (bits < 64 && (variable.Signed ? number < -(1L << (bits - 1)) || number >= 1L << (bits - 1) : (ulong)number >= 1UL << bits))
                    return $"extern (kcfg) '{variable.Name}': value {text} doesn't fit in {room.Length} bytes";
                WriteNumber(room, (ulong)number);
                return null;
        }
    }

    private static long? ParseNumber(string text)
    {
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong hex) ? (long)hex : null;
        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number : null;
    }

    private static void WriteNumber(Span<byte> room, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        bytes[..Math.Min(8, room.Length)].CopyTo(room);
    }
}
