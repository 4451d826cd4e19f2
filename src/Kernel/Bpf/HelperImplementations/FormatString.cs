using System.Globalization;
using System.Text;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>
/// The printf of BPF programs: which formats the kernel takes (printable ASCII; %d %i %u %x %X with l and ll,
/// %c, %s, %p, %px, %pK, %ps, %pS, %pB, %pks, %pus, %pi4, %pI4, %pi6, %pI6, with flags and width) and
/// what it prints for them.
/// </summary>
internal static unsafe class FormatString
{
    private const int MaxString = 512;

    /// <summary>Formats into a buffer.</summary>
    /// <param name="format">The format without its NUL.</param>
    /// <param name="args">The arguments; null checks the format only.</param>
    /// <param name="argCount">How many there are.</param>
    /// <param name="context">Where strings and addresses are read.</param>
    /// <param name="output">The text.</param>
    /// <returns>0, or -EINVAL for a format that the kernel refuses.</returns>
    public static int Format(ReadOnlySpan<byte> format, ulong* args, int argCount, RunContext* context, StringBuilder output)
    {
        foreach (byte c in format)
            if (c >= 0x80 || c < 0x20 && !IsSpace(c) || c == 0x7f) return -(int)Errno.EINVAL;
        int next = 0;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                output.Append((char)format[i]);
                continue;
            }
            if (At(format, i + 1) == '%')
            {
                output.Append('%');
                i++;
                continue;
            }
            if (next >= argCount) return -(int)Errno.EINVAL;
            var spec = new Spec();
            i = spec.ReadFlags(format, i + 1);
            if (!spec.ReadConversion(format, ref i)) return -(int)Errno.EINVAL;
            Print(spec, args == null ? 0 : args[next], context, output);
            next++;
        }
        return 0;
    }

    private static byte At(ReadOnlySpan<byte> text, int i) => i < text.Length ? text[i] : (byte)0;

    private static bool IsSpace(byte c) => c is (byte)' ' or >= 9 and <= 13;

    private static bool IsPunctuation(byte c) => c is > 0x20 and < 0x7f && !char.IsAsciiLetterOrDigit((char)c);

    private static bool EndsWord(byte c) => c == 0 || IsSpace(c) || IsPunctuation(c);

    /// <summary>One conversion: flags, width, and what is converted.</summary>
    private struct Spec
    {
        public bool Zero, Plus, Left, Blank;
        public int Width;

        /// <summary>0 for numbers, else the letter behind the percent sign.</summary>
        public char Kind;

        /// <summary>Pointers: the letters behind %p; numbers: the final letter.</summary>
        public char Extension, Version;

        public int Longs;

        public int ReadFlags(ReadOnlySpan<byte> f, int i)
        {
            for (; ; i++)
            {
                switch ((char)At(f, i))
                {
                    case '0': Zero = true; break;
                    case '+': Plus = true; break;
                    case '-': Left = true; break;
                    case ' ': Blank = true; break;
                    default:
                        if (At(f, i) is >= (byte)'1' and <= (byte)'9')
                        {
                            while (char.IsAsciiDigit((char)At(f, i))) Width = Math.Min(1000, Width * 10 + At(f, i++) - '0');
                        }
                        return i;
                }
            }
        }

        public bool ReadConversion(ReadOnlySpan<byte> f, ref int i)
        {
            switch ((char)At(f, i))
            {
                case 'p':
                    Kind = 'p';
                    if (EndsWord(At(f, i + 1))) return true;
                    if ((char)At(f, i + 1) is 'k' or 'u' && At(f, i + 2) == 's')
                    {
                        Kind = 's';
                        Extension = (char)At(f, i + 1);
                        i += 2;
                        return EndsWord(At(f, i + 1));
                    }
                    if ((char)At(f, i + 1) is 'K' or 'x' or 's' or 'S' or 'B')
                    {
                        Extension = (char)At(f, ++i);
                        return true;
                    }
                    if ((char)At(f, i + 1) is not ('i' or 'I') || (char)At(f, i + 2) is not ('4' or '6')) return false;
                    Extension = (char)At(f, i + 1);
                    Version = (char)At(f, i + 2);
                    i += 2;
                    return true;
                case 's':
                    Kind = 's';
                    return EndsWord(At(f, i + 1));
                case 'c':
                    Kind = 'c';
                    return EndsWord(At(f, i + 1));
            }
            while (Longs < 2 && At(f, i) == 'l')
            {
                Longs++;
                i++;
            }
            Version = (char)At(f, i);
            return Version is 'i' or 'd' or 'u' or 'x' or 'X';
        }
    }

    private static void Print(in Spec spec, ulong value, RunContext* context, StringBuilder output)
    {
        switch (spec.Kind)
        {
            case 's':
                Pad(spec, ReadText(context, value, spec.Extension == 'u'), output, zero: false);
                return;
            case 'c':
                Pad(spec, ((char)(byte)value).ToString(), output, zero: false);
                return;
            case 'p':
                Pad(spec, Pointer(spec, value, context), output, zero: false);
                return;
        }
        string text = spec.Version switch
        {
            'd' or 'i' => (spec.Longs > 0 ? (long)value : (int)value).ToString(CultureInfo.InvariantCulture),
            'u' => (spec.Longs > 0 ? value : (uint)value).ToString(CultureInfo.InvariantCulture),
            'x' => (spec.Longs > 0 ? value : (uint)value).ToString("x", CultureInfo.InvariantCulture),
            _ => (spec.Longs > 0 ? value : (uint)value).ToString("X", CultureInfo.InvariantCulture),
        };
        if (spec.Version is 'd' or 'i' && text[0] != '-')
            text = (spec.Plus ? "+" : spec.Blank ? " " : "") + text;
        Pad(spec, text, output, spec.Zero && !spec.Left);
    }

    private static void Pad(in Spec spec, string text, StringBuilder output, bool zero)
    {
        int missing = spec.Width - text.Length;
        if (missing <= 0) output.Append(text);
        else if (spec.Left) output.Append(text).Append(' ', missing);
        else if (zero)
        {
            int sign = text.Length > 0 && text[0] is '-' or '+' or ' ' ? 1 : 0;
            output.Append(text, 0, sign).Append('0', missing).Append(text, sign, text.Length - sign);
        }
        else output.Append(' ', missing).Append(text);
    }

    private static string Pointer(in Spec spec, ulong value, RunContext* context)
    {
        switch (spec.Extension)
        {
            case 'x' or 'K':
                return value.ToString("x16", CultureInfo.InvariantCulture);
            case 's' or 'S' or 'B':
                string? name = KernelSymbols.NameOf(value);
                if (name == null) return "0x" + value.ToString("x", CultureInfo.InvariantCulture);
                int plus = name.IndexOf('+');
                return spec.Extension == 's' && plus >= 0 ? name[..plus] : plus < 0 && spec.Extension != 's' ? name + "+0x0/0x100" : plus < 0 ? name : name + "/0x100";
            case 'i' or 'I':
                int size = spec.Version == '4' ? 4 : 16;
                byte* bytes = stackalloc byte[16];
                new Span<byte>(bytes, 16).Clear();
                MemoryCode.TryRead(context, bytes, (uint)size, value, user: false);
                return Address(new ReadOnlySpan<byte>(bytes, size), spec.Extension == 'I');
            default:
                // Plain %p hides the address behind a hash, as the kernel does; NULL and small numbers too are hashed there except NULL.
                if (value == 0) return "(null)".PadLeft(16);
                ulong z = value * 0x9e3779b97f4a7c15;
                z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9;
                return ((uint)(z >> 32)).ToString("x16", CultureInfo.InvariantCulture);
        }
    }

    private static string Address(ReadOnlySpan<byte> bytes, bool compact)
    {
        var text = new StringBuilder();
        if (bytes.Length == 4)
        {
            for (int i = 0; i < 4; i++)
                text.Append(i == 0 ? "" : ".").Append(bytes[i].ToString(compact ? "0" : "000", CultureInfo.InvariantCulture));
            return text.ToString();
        }
        for (int i = 0; i < 16; i += 2)
            text.Append(compact && i > 0 ? ":" : "").Append(((bytes[i] << 8) | bytes[i + 1]).ToString("x4", CultureInfo.InvariantCulture));
        return text.ToString();
    }

    private static string ReadText(RunContext* context, ulong address, bool user)
    {
        var bytes = new List<byte>();
        byte c;
        while (bytes.Count < MaxString && MemoryCode.TryRead(context, &c, 1, address + (ulong)bytes.Count, user) && c != 0) bytes.Add(c);
        return Encoding.Latin1.GetString([.. bytes]);
    }
}
