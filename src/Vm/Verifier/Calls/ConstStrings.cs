using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Constant strings in read-only maps, and the format strings among them.
internal sealed partial class ProgramVerifier
{
    /// <summary>Most arguments of a formatted message (MAX_BPRINTF_VARARGS).</summary>
    private const int MaxFormatArgs = 12;

    /// <summary>Checks that a register points to a NUL-terminated string in a read-only map.</summary>
    private void CheckConstString(int regno)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type != RegType.PtrToMapValue) Reject(Errno.EINVAL, $"R{regno} type={RegTypeName(reg.Type)} expected=map_value");
        MapSpec map = Maps[reg.MapIndex];
        if (!IsReadOnlyMap(map)) Reject(Errno.EACCES, $"R{regno} does not point to a readonly map'");
        if (!reg.IsConst) Reject(Errno.EACCES, $"R{regno} is not a constant address'");
        if (map.Type != MapType.Array || map.MaxEntries != 1) Reject(Errno.EACCES, "no direct value access support for this map type");
        CheckMapAccess(regno, reg.Off, (int)map.ValueSize - reg.Off, false, AccessType.Read, true);
        long off = reg.Off + (long)reg.VarOff.Value;
        if (ConstStringAt(map, off) is null) Reject(Errno.EINVAL, "string is not zero-terminated");
    }

    /// <summary>A map whose content programs cannot change and user space cannot change any more.</summary>
    private static bool IsReadOnlyMap(MapSpec map) => (map.Flags & MapRdonlyProg) != 0 && map.FreezeAfterLoad;

    private static byte[]? ConstStringAt(MapSpec map, long off)
    {
        byte[] content = map.InitialValues.TryGetValue(0, out byte[]? initial) ? initial : [];
        if (off < 0 || off >= map.ValueSize) return null;
        // What the loader does not fill is zero.
        if (off >= content.Length) return [];
        int end = Array.IndexOf(content, (byte)0, (int)off);
        if (end < 0)
        {
            if (content.Length >= map.ValueSize) return null;
            end = content.Length;
        }

        return content[(int)off..end];
    }

    /// <summary>bpf_snprintf: as many 8-byte arguments as the format asks for.</summary>
    private void CheckSnprintf()
    {
        ref RegisterState format = ref Regs[3];
        ref RegisterState length = ref Regs[5];
        if (length.VarOff.Value % 8 != 0) Reject(Errno.EINVAL);
        int args = (int)(length.VarOff.Value / 8);
        MapSpec map = Maps[format.MapIndex];
        byte[]? text = ConstStringAt(map, format.Off + (long)format.VarOff.Value);
        if (text is null) Reject(Errno.EFAULT, "verifier bug");
        if (!FormatIsValid(text!, args)) Reject(Errno.EINVAL, "Invalid format string");
    }

    /// <summary>Whether a format string is one that bpf_trace_printk and its relatives understand, with so many arguments.</summary>
    internal static bool FormatIsValid(ReadOnlySpan<byte> format, int args)
    {
        if (args > MaxFormatArgs) return false;
        int used = 0;
        for (int i = 0; i < format.Length; i++)
        {
            byte c = format[i];
            if (!IsPrintable(c) && !IsSpace(c)) return false;
            if (c != '%') continue;
            if (At(format, i + 1) == '%')
            {
                i++;
                continue;
            }

            if (used >= args) return false;
            if (!ConversionIsValid(format, ref i)) return false;
            used++;
        }

        return used == args;
    }

    private static bool ConversionIsValid(ReadOnlySpan<byte> format, ref int i)
    {
        i++;
        while (At(format, i) is '0' or '+' or '-' or ' ' or '#') i++;
        if (At(format, i) is >= '1' and <= '9')
        {
            while (At(format, i) is >= '0' and <= '9') i++;
        }

        switch (At(format, i))
        {
            case 'p':
                return PointerConversionIsValid(format, ref i);
            case 's' or 'c':
                return !FollowedByWord(format, i);
        }

        int size = 0;
        while (At(format, i) == 'l' && size < 2)
        {
            i++;
            size++;
        }

        return At(format, i) is 'i' or 'd' or 'u' or 'x' or 'X';
    }

    private static bool PointerConversionIsValid(ReadOnlySpan<byte> format, ref int i)
    {
        char next = At(format, i + 1), third = At(format, i + 2);
        if (next is 'k' or 'u' && third == 's')
        {
            i += 2;
            return !FollowedByWord(format, i);
        }

        if (next == '\0' || IsSpace((byte)next) || IsPunctuation((byte)next)) return true;
        if (next is 'K' or 'x' or 's' or 'S' or 'B')
        {
            i++;
            return true;
        }

        if (next is not ('i' or 'I') || third is not ('4' or '6')) return false;
        i += 2;
        return true;
    }

    private static bool FollowedByWord(ReadOnlySpan<byte> format, int i)
    {
        char next = At(format, i + 1);
        return next != '\0' && !IsSpace((byte)next) && !IsPunctuation((byte)next);
    }

    private static char At(ReadOnlySpan<byte> text, int i) => i < text.Length ? (char)text[i] : '\0';

    private static bool IsPrintable(byte c) => c is >= 32 and < 127;

    private static bool IsSpace(byte c) => c is 32 or (>= 9 and <= 13) or 0xa0;

    private static bool IsPunctuation(byte c) => c is (>= 33 and <= 47) or (>= 58 and <= 64) or (>= 91 and <= 96) or (>= 123 and <= 126);
}
