using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf.TestRun;

/// <summary>
/// The packet and the context of a test run: a linear buffer with room before and behind, and the __sk_buff or
/// xdp_md that programs see. Helpers that move the packet's ends keep the context's pointers up to date.
/// </summary>
internal sealed unsafe class PacketBuffer : IDisposable
{
    /// <summary>Room in front of a packet (XDP_PACKET_HEADROOM).</summary>
    public const int Headroom = 256;

    private const int Tailroom = 512, ContextSize = 256;

    private readonly LowMemory _memory;
    private readonly int _room;

    /// <summary>Copies a packet in; the context is zeroed.</summary>
    public PacketBuffer(ReadOnlySpan<byte> packet, bool xdp)
    {
        IsXdp = xdp;
        _room = Headroom + packet.Length + Tailroom;
        _memory = new LowMemory((nuint)(ContextSize + _room));
        Start = _memory.Address + ContextSize;
        Data = Meta = Start + Headroom;
        End = Data + packet.Length;
        packet.CopyTo(new Span<byte>(Data, packet.Length));
    }

    /// <summary>Whether the context is an xdp_md.</summary>
    public bool IsXdp { get; }

    /// <summary>The context.</summary>
    public byte* Context => _memory.Address;

    /// <summary>First byte of the room.</summary>
    public byte* Start { get; }

    /// <summary>First byte of the packet as the program sees it.</summary>
    public byte* Data { get; private set; }

    /// <summary>First byte of the metadata in front of it.</summary>
    public byte* Meta { get; private set; }

    /// <summary>Behind the last byte.</summary>
    public byte* End { get; private set; }

    /// <summary>Bytes in front of <see cref="Data"/> that belong to the packet: the Ethernet header of a socket filter's.</summary>
    public int Pulled { get; private set; }

    /// <summary>Bytes that the program sees.</summary>
    public int Length => (int)(End - Data);

    /// <summary>Hides a header, as protocols do on the way up.</summary>
    public void Pull(int bytes)
    {
        Data += bytes;
        Meta = Data;
        Pulled += bytes;
    }

    /// <summary>Writes the pointers into the context.</summary>
    public void Sync()
    {
        uint* words = (uint*)Context;
        if (IsXdp)
        {
            words[0] = (uint)Data;
            words[1] = (uint)End;
            words[2] = (uint)Meta;
            return;
        }
        words[0] = (uint)Length;
        words[19] = (uint)Data;
        words[20] = (uint)End;
        words[35] = (uint)Meta;
    }

    /// <summary>Moves the packet's start by a number of bytes; metadata moves with it.</summary>
    public Errno MoveHead(long delta)
    {
        if (Data + delta > End - 14 || Data + delta < Start + (Data - Meta) + 40) return Errno.EINVAL;
        long meta = Data - Meta;
        if (meta != 0) Buffer.MemoryCopy(Meta, Meta + delta, meta, meta);
        Data += delta;
        Meta = Data - meta;
        Sync();
        return Errno.None;
    }

    /// <summary>Moves the packet's end by a number of bytes; what is added is zero.</summary>
    public Errno MoveTail(long delta)
    {
        if (End + delta < Data + 14 || End + delta > Start + _room - 320) return Errno.EINVAL;
        if (delta > 0) new Span<byte>(End, (int)delta).Clear();
        End += delta;
        Sync();
        return Errno.None;
    }

    /// <summary>Moves the start of the metadata; it stays a multiple of 4 and at most 252 bytes.</summary>
    public Errno MoveMeta(long delta)
    {
        long size = Data - (Meta + delta);
        if (Meta + delta < Start + 40 || Meta + delta > Data) return Errno.EINVAL;
        if (size % 4 != 0 || size > 252) return Errno.EACCES;
        Meta += delta;
        Sync();
        return Errno.None;
    }

    /// <summary>Bytes of the packet, or false if the range leaves it.</summary>
    public bool TryRange(long offset, ulong length, out byte* address)
    {
        address = Data + offset;
        return offset >= -Pulled && length <= int.MaxValue && offset <= Length && (long)length <= Length - offset;
    }

    public void Dispose() => _memory.Dispose();
}
