using System.Runtime.InteropServices;
using System.Text;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers on text: the printk family, snprintf, numbers from text, comparison.</summary>
internal static unsafe class TextCode
{
    private const int BufferSize = 1024;

    public static void Register(HelperList list)
    {
        list.Add("trace_printk", &TracePrintk);
        list.Add("trace_vprintk", &TraceVprintk);
        list.Add("snprintf", &Snprintf);
        list.Add("seq_printf", &SeqPrintf);
        list.Add("seq_write", &SeqWrite);
        list.Add("strtol", &Strtol);
        list.Add("strtoul", &Strtoul);
        list.Add("strncmp", &Strncmp);
    }

    [UnmanagedCallersOnly]
    private static ulong TracePrintk(ulong format, ulong size, ulong a, ulong b, ulong c, RunContext* context)
    {
        ulong* args = stackalloc ulong[3] { a, b, c };
        return Print(context, format, (uint)size, args, 3);
    }

    [UnmanagedCallersOnly]
    private static ulong TraceVprintk(ulong format, ulong size, ulong data, ulong length, ulong r5, RunContext* context)
    {
        if ((length & 7) != 0 || length > 12 * 8 || length != 0 && data == 0) return HelperResult.Error(Errno.EINVAL);
        return Print(context, format, (uint)size, (ulong*)data, (int)length / 8);
    }

    private static ulong Print(RunContext* context, ulong format, uint size, ulong* args, int count)
    {
        var text = new StringBuilder();
        int error = FormatTerminated(new ReadOnlySpan<byte>((byte*)format, (int)size), args, count, context, text);
        if (error != 0) return unchecked((ulong)(long)error);
        Cpu cpu = Cpu.Of(context);
        int length = text.Length;
        if (text.Length > BufferSize - 1) text.Length = BufferSize - 1;
        if (text.Length > 0 && text[^1] == '\n') text.Length--;
        cpu.Kernel.Trace.Write(new TraceLine(cpu.CommText, (uint)context->PidTgid, context->CpuId, cpu.TraceFlags, context->TimeNs, text.ToString()));
        cpu.PassNested(cpu.Kernel.PrintkSite);
        return (ulong)length;
    }

    [UnmanagedCallersOnly]
    private static ulong Snprintf(ulong buffer, ulong size, ulong format, ulong data, ulong length, RunContext* context)
    {
        if ((length & 7) != 0 || length > 12 * 8 || length != 0 && data == 0) return HelperResult.Error(Errno.EINVAL);
        byte* end = (byte*)format;
        while (*end != 0) end++;
        var text = new StringBuilder();
        int error = FormatString.Format(new ReadOnlySpan<byte>((byte*)format, (int)(end - (byte*)format)), (ulong*)data, (int)length / 8, context, text);
        if (error != 0) return unchecked((ulong)(long)error);
        byte[] bytes = Encoding.Latin1.GetBytes(text.ToString());
        if ((uint)size > 0 && buffer != 0)
        {
            int copied = Math.Min(bytes.Length, (int)size - 1);
            bytes.AsSpan(0, copied).CopyTo(new Span<byte>((byte*)buffer, copied));
            ((byte*)buffer)[copied] = 0;
        }
        return (ulong)bytes.Length + 1;
    }

    [UnmanagedCallersOnly]
    private static ulong SeqPrintf(ulong file, ulong format, ulong size, ulong data, ulong length, RunContext* context)
    {
        if ((length & 7) != 0 || length > 12 * 8 || length != 0 && data == 0) return HelperResult.Error(Errno.EINVAL);
        var text = new StringBuilder();
        int error = FormatTerminated(new ReadOnlySpan<byte>((byte*)format, (int)size), (ulong*)data, (int)length / 8, context, text);
        if (error != 0) return unchecked((ulong)(long)error);
        return Cpu.Of(context).SeqOutput is { } output && output.Write(Encoding.Latin1.GetBytes(text.ToString())) ? 0 : HelperResult.Error(Errno.EOVERFLOW);
    }

    [UnmanagedCallersOnly]
    private static ulong SeqWrite(ulong file, ulong data, ulong length, ulong r4, ulong r5, RunContext* context) =>
        Cpu.Of(context).SeqOutput is { } output && output.Write(new ReadOnlySpan<byte>((byte*)data, (int)(uint)length)) ? 0 : HelperResult.Error(Errno.EOVERFLOW);

    /// <summary>The format must end with a NUL within its size.</summary>
    private static int FormatTerminated(ReadOnlySpan<byte> format, ulong* args, int count, RunContext* context, StringBuilder text)
    {
        int end = format.IndexOf((byte)0);
        if (end < 0) return -(int)Errno.EINVAL;
        return FormatString.Format(format[..end], args, count, context, text);
    }

    [UnmanagedCallersOnly]
    private static ulong Strtol(ulong text, ulong size, ulong flags, ulong result, ulong r5, RunContext* context)
    {
        int used = ParseNumber(new ReadOnlySpan<byte>((byte*)text, (int)(uint)size), flags, out bool negative, out ulong value);
        if (used >= 0 && (negative ? value > 1ul << 63 : value > long.MaxValue)) used = -(int)Errno.ERANGE;
        *(long*)result = used < 0 ? 0 : negative ? unchecked(-(long)value) : (long)value;
        return unchecked((ulong)(long)used);
    }

    [UnmanagedCallersOnly]
    private static ulong Strtoul(ulong text, ulong size, ulong flags, ulong result, ulong r5, RunContext* context)
    {
        int used = ParseNumber(new ReadOnlySpan<byte>((byte*)text, (int)(uint)size), flags, out bool negative, out ulong value);
        if (used >= 0 && negative) used = -(int)Errno.EINVAL;
        *(ulong*)result = used < 0 ? 0 : value;
        return unchecked((ulong)(long)used);
    }

    /// <summary>Reads a number as the kernel's __bpf_strtoull: blanks, a sign, a prefix by base; returns the bytes used.</summary>
    private static int ParseNumber(ReadOnlySpan<byte> text, ulong flags, out bool negative, out ulong value)
    {
        negative = false;
        value = 0;
        uint radix = (uint)flags & 0x1f;
        if (text.IsEmpty || radix is not (0 or 8 or 10 or 16) || (flags & ~0x1ful) != 0) return -(int)Errno.EINVAL;
        int i = 0;
        while (i < text.Length && text[i] is (byte)' ' or >= 9 and <= 13) i++;
        if (i < text.Length && text[i] == '-')
        {
            negative = true;
            i++;
        }
        bool hexPrefix = i + 2 < text.Length && text[i] == '0' && (text[i + 1] | 0x20) == 'x' && char.IsAsciiHexDigit((char)text[i + 2]);
        if (radix == 0) radix = hexPrefix ? 16u : i < text.Length && text[i] == '0' ? 8u : 10u;
        if (radix == 16 && hexPrefix) i += 2;
        int first = i;
        for (; i < text.Length; i++)
        {
            int c = text[i] | 0x20;
            uint digit = text[i] is >= (byte)'0' and <= (byte)'9' ? (uint)(text[i] - '0') : c is >= 'a' and <= 'f' ? (uint)(c - 'a' + 10) : 99;
            if (digit >= radix) break;
            ulong high = Math.BigMul(value, radix, out ulong low);
            if (high != 0 || low + digit < low) return -(int)Errno.ERANGE;
            value = low + digit;
        }
        return i == first ? -(int)Errno.EINVAL : i;
    }

    [UnmanagedCallersOnly]
    private static ulong Strncmp(ulong left, ulong size, ulong right, ulong r4, ulong r5, RunContext* context)
    {
        byte* a = (byte*)left, b = (byte*)right;
        for (uint i = 0; i < (uint)size; i++)
        {
            if (a[i] != b[i]) return unchecked((ulong)(a[i] < b[i] ? -1L : 1L));
            if (a[i] == 0) break;
        }
        return 0;
    }
}
