using BpfSim.Kernel.Memory;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// A packet in native memory, with room in front and behind, and the context that programs see of it
/// (<c>struct __sk_buff</c> or <c>struct xdp_md</c>).
/// </summary>
internal sealed unsafe class PacketBuffer : IDisposable
{
    /// <summary>Room in front of the packet (XDP_PACKET_HEADROOM).</summary>
    public const int Headroom = 256;

    /// <summary>Bytes of the whole buffer.</summary>
    public const int Capacity = 256 * 1024;

    private readonly byte* _memory;

    public PacketBuffer()
    {
        _memory = LowMemory.Allocate(Capacity);
        if (_memory == null) throw new PlatformNotSupportedException("packets need memory below 4 GiB, which this system does not give");
        Context = _memory + Capacity - 512;
    }

    /// <summary>The context: 192 bytes are enough for both kinds.</summary>
    public byte* Context { get; }

    /// <summary>Whether it is an xdp_md; else an __sk_buff.</summary>
    public bool IsXdp { get; private set; }

    /// <summary>First byte of metadata in front of the packet.</summary>
    public byte* Meta { get; set; }

    /// <summary>First byte of the packet.</summary>
    public byte* Data { get; set; }

    /// <summary>Behind the last byte of the packet.</summary>
    public byte* End { get; set; }

    /// <summary>Bytes of the packet.</summary>
    public uint Length => (uint)(End - Data);

    /// <summary>Lowest address that the packet may grow to.</summary>
    public byte* Lowest => _memory + (IsXdp ? 40 : 0);

    /// <summary>Highest address that the packet may grow to.</summary>
    public byte* Highest => IsXdp ? _memory + 4096 - 320 : Context - 1024;

    /// <summary>Offset of the network header from <see cref="Data"/> (skb): 0 after the link header was pulled.</summary>
    public int NetworkOffset { get; set; }

    /// <summary>Fills the buffer with a packet.</summary>
    public void Load(ReadOnlySpan<byte> packet, bool xdp, int meta = 0)
    {
        IsXdp = xdp;
        new Span<byte>(_memory, Headroom + packet.Length + 512).Clear();
        new Span<byte>(Context, 512).Clear();
        Meta = _memory + Headroom;
        Data = Meta + meta;
        packet.CopyTo(new Span<byte>(Meta, packet.Length));
        End = Meta + packet.Length;
        NetworkOffset = 14;
    }

    /// <summary>Writes the packet's bounds into the context, after they have changed.</summary>
    public void Publish()
    {
        if (IsXdp)
        {
            *(uint*)Context = (uint)(ulong)Data;
            *(uint*)(Context + 4) = (uint)(ulong)End;
            *(uint*)(Context + 8) = (uint)(ulong)Meta;
            return;
        }
        *(uint*)Context = Length;
        *(uint*)(Context + 76) = (uint)(ulong)Data;
        *(uint*)(Context + 80) = (uint)(ulong)End;
        *(uint*)(Context + 140) = (uint)(ulong)Data;
    }

    /// <inheritdoc/>
    public void Dispose() => LowMemory.Free(_memory, Capacity);
}
