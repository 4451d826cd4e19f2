using System.Buffers.Binary;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf.TestRun;

/// <summary>Fills __sk_buff and xdp_md for a test run, by the rules of BPF_PROG_TEST_RUN.</summary>
internal static unsafe class SkbContext
{
    /// <summary>sizeof(struct __sk_buff).</summary>
    public const int SkbSize = 192;

    /// <summary>sizeof(struct xdp_md).</summary>
    public const int XdpSize = 24;

    private const uint LoopbackIfindex = 1;

    // The fields that the caller may set; everything else has to be zero.
    private static readonly (int Offset, int Size)[] s_settable =
        [(8, 4), (32, 4), (36, 4), (40, 4), (48, 20), (152, 8), (160, 4), (164, 4), (176, 4), (184, 8)];

    /// <summary>Fills an __sk_buff of a packet that came in on the loopback device.</summary>
    public static Errno FillSkb(PacketBuffer packet, ReadOnlySpan<byte> given)
    {
        if (given.Length > SkbSize && given[SkbSize..].ContainsAnyExcept((byte)0)) return Errno.E2BIG;
        var context = new Span<byte>(packet.Context, SkbSize);
        for (int i = 0; i < Math.Min(given.Length, SkbSize); i++)
        {
            if (given[i] == 0) continue;
            if (!Array.Exists(s_settable, f => i >= f.Offset && i < f.Offset + f.Size)) return Errno.EINVAL;
            context[i] = given[i];
        }
        ReadOnlySpan<byte> header = new(packet.Data - packet.Pulled, 14);
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(header[12..]);
        ushort protocol = type >= 0x600 ? type : (ushort)(packet.Length >= 2 && header.Length >= 14 && packet.Pulled != 0 && packet.Data[0] == 0xff && packet.Data[1] == 0xff ? 1 : 4);
        BinaryPrimitives.WriteUInt32LittleEndian(context[16..], BinaryPrimitives.ReverseEndianness(protocol));
        BinaryPrimitives.WriteUInt32LittleEndian(context[4..], PacketType(header));
        uint ifindex = BinaryPrimitives.ReadUInt32LittleEndian(context[40..]);
        if (ifindex > LoopbackIfindex) return Errno.ENODEV;
        BinaryPrimitives.WriteUInt32LittleEndian(context[40..], LoopbackIfindex);
        uint wireLength = BinaryPrimitives.ReadUInt32LittleEndian(context[160..]);
        if (wireLength == 0) BinaryPrimitives.WriteUInt32LittleEndian(context[160..], (uint)packet.Length);
        else if (wireLength < packet.Length || wireLength > 65536) return Errno.EINVAL;
        packet.Sync();
        return Errno.None;
    }

    /// <summary>Fills an xdp_md; the caller may give metadata in front of the packet by data and data_end.</summary>
    public static Errno FillXdp(PacketBuffer packet, ReadOnlySpan<byte> given, int size)
    {
        uint* words = (uint*)packet.Context;
        words[3] = LoopbackIfindex;
        if (!given.IsEmpty)
        {
            if (given.Length > XdpSize && given[XdpSize..].ContainsAnyExcept((byte)0)) return Errno.E2BIG;
            Span<byte> full = stackalloc byte[XdpSize];
            given[..Math.Min(given.Length, XdpSize)].CopyTo(full);
            uint Word(ReadOnlySpan<byte> bytes, int index) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[(4 * index)..]);
            uint data = Word(full, 0), end = Word(full, 1);
            if (Word(full, 2) != 0 || end != size || data > end || data % 4 != 0 || Word(full, 5) != 0) return Errno.EINVAL;
            if (Word(full, 3) > LoopbackIfindex) return Errno.ENODEV;
            if (Word(full, 3) == 0 && Word(full, 4) != 0) return Errno.EINVAL;
            if (data != 0)
            {
                packet.Pull((int)data);
                if (packet.MoveMeta(-(long)data) is var errno and not Errno.None) return errno;
            }
        }
        packet.Sync();
        return Errno.None;
    }

    /// <summary>pkt_type of a frame that reaches a device whose address is all zeros.</summary>
    private static uint PacketType(ReadOnlySpan<byte> header)
    {
        ReadOnlySpan<byte> destination = header[..6];
        if (!destination.ContainsAnyExcept((byte)0)) return 0;
        if ((destination[0] & 1) == 0) return 3;
        return destination.ContainsAnyExcept((byte)0xff) ? 2u : 1u;
    }
}
