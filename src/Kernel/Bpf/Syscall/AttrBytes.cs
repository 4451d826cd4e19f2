using System.Runtime.InteropServices;
using System.Text;

namespace BpfSim.Kernel.Bpf;

/// <summary>The bytes of a <c>union bpf_attr</c>, its fields by their offset (include/uapi/linux/bpf.h of Linux 6.18).</summary>
internal readonly unsafe ref struct AttrBytes(Span<byte> bytes)
{
    private const int MaxString = 4096;

    private readonly Span<byte> _bytes = bytes;

    public uint U32(int offset) => MemoryMarshal.Read<uint>(_bytes[offset..]);

    public int I32(int offset) => MemoryMarshal.Read<int>(_bytes[offset..]);

    public ulong U64(int offset) => MemoryMarshal.Read<ulong>(_bytes[offset..]);

    public void Put(int offset, uint value) => MemoryMarshal.Write(_bytes[offset..], value);

    public void Put64(int offset, ulong value) => MemoryMarshal.Write(_bytes[offset..], value);

    /// <summary>The memory that a pointer field leads to; empty for NULL.</summary>
    public Span<byte> Memory(int offset, uint length) => U64(offset) == 0 ? default : new Span<byte>((void*)U64(offset), (int)length);

    /// <summary>A fixed-size text; one without NUL is longer than any valid name.</summary>
    public string Text(int offset, int size)
    {
        Span<byte> text = _bytes.Slice(offset, size);
        int end = text.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? text : text[..end]);
    }

    /// <summary>The text that a pointer field leads to.</summary>
    public string? String(int offset) => StringAt((byte*)U64(offset));

    public static string? StringAt(byte* text)
    {
        if (text == null) return null;
        int length = 0;
        while (length < MaxString && text[length] != 0) length++;
        return Encoding.UTF8.GetString(text, length);
    }

    /// <summary>Writes a text with its NUL where a pointer field leads to, cut to the room.</summary>
    public void PutText(int offset, uint room, string text)
    {
        if (U64(offset) == 0 || room == 0) return;
        byte[] encoded = Encoding.UTF8.GetBytes(text);
        int copied = Math.Min(encoded.Length, (int)room - 1);
        Span<byte> target = Memory(offset, room);
        encoded.AsSpan(0, copied).CopyTo(target);
        target[copied] = 0;
    }
}
