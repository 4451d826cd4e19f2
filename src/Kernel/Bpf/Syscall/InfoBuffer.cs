using System.Runtime.InteropServices;
using System.Text;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The kernel's copy of an info structure that user space handed in: fields by offset (uapi/linux/bpf.h of 6.18), and
/// the arrays and texts behind its pointers.
/// </summary>
internal sealed unsafe class InfoBuffer(int size)
{
    private const ulong UserEnd = 0x7ffffffff000;

    /// <summary>The structure.</summary>
    public byte[] Bytes { get; } = new byte[size];

    /// <summary>0, or the negated errno of the first copy that failed.</summary>
    public int Error { get; private set; }

    /// <summary>Remembers the first failure.</summary>
    public void Fail(Errno errno)
    {
        if (Error == 0) Error = -(int)errno;
    }

    public uint U32(int offset) => MemoryMarshal.Read<uint>(Bytes.AsSpan(offset));

    public ulong U64(int offset) => MemoryMarshal.Read<ulong>(Bytes.AsSpan(offset));

    public void Put(int offset, uint value) => MemoryMarshal.Write(Bytes.AsSpan(offset), value);

    public void Put64(int offset, ulong value) => MemoryMarshal.Write(Bytes.AsSpan(offset), value);

    /// <summary>A name of at most 15 characters in a field of 16.</summary>
    public void Name(int offset, string name) => Encoding.UTF8.GetBytes(name.AsSpan(0, Math.Min(15, name.Length)), Bytes.AsSpan(offset, 15));

    /// <summary>
    /// An array behind a pointer: copies as many elements as fit into the room that the count field gives, and leaves
    /// the true count there. A count that was 0 asks for the count alone.
    /// </summary>
    public void Array<T>(int pointer, int count, ReadOnlySpan<T> values) where T : unmanaged
    {
        uint room = U32(count);
        Put(count, (uint)values.Length);
        if (room == 0 || values.Length == 0) return;
        ReadOnlySpan<T> fitting = values[..(int)Math.Min(room, (uint)values.Length)];
        CopyOut(U64(pointer), MemoryMarshal.AsBytes(fitting));
    }

    /// <summary>A text with its NUL behind a pointer; the length field gets the true length, and -ENOSPC says that the room was too small.</summary>
    public void Text(int pointer, int length, string text, bool countNul)
    {
        uint room = U32(length);
        if ((room == 0) != (U64(pointer) == 0))
        {
            Fail(Errno.EINVAL);
            return;
        }
        byte[] encoded = Encoding.UTF8.GetBytes(text + "\0");
        Put(length, (uint)encoded.Length - (countNul ? 0u : 1u));
        if (room == 0) return;
        if (room < encoded.Length)
        {
            encoded = encoded[..(int)room];
            encoded[^1] = 0;
            Fail(Errno.ENOSPC);
        }
        CopyOut(U64(pointer), encoded);
    }

    /// <summary>Writes to user space; addresses that no process has are -EFAULT.</summary>
    public void CopyOut(ulong address, ReadOnlySpan<byte> bytes)
    {
        if (address == 0 || address >= UserEnd || UserEnd - address < (ulong)bytes.Length) Fail(Errno.EFAULT);
        else bytes.CopyTo(new Span<byte>((void*)address, bytes.Length));
    }
}
