using System.Buffers.Binary;

namespace BpfSim.Kernel.Bpf;

/// <summary>The user-visible context of network programs, <c>struct __sk_buff</c>: what a test run may set and gets back.</summary>
internal static unsafe class SkbContext
{
    // Offsets in struct __sk_buff (uapi/linux/bpf.h).
    private const int PktType = 4, Mark = 8, Protocol = 16, Priority = 32, IngressIfindex = 36, Ifindex = 40, Cb = 48, Hash = 68,
        Tstamp = 152, WireLen = 160, GsoSegs = 164, GsoSize = 176, Hwtstamp = 184, Size = 192;

    /// <summary>The fields that a caller may set, as ranges; all other bytes must be zero.</summary>
    private static readonly (int Start, int End)[] s_settable =
        [(Mark, Mark + 4), (Priority, Priority + 12), (Cb, Hash), (Tstamp, GsoSegs + 4), (GsoSize, GsoSize + 4), (Hwtstamp, Size)];

    /// <summary>Whether the caller's context is acceptable.</summary>
    public static bool Check(ReadOnlySpan<byte> context, int length)
    {
        int position = 0;
        foreach ((int start, int end) in s_settable)
        {
            if (context[position..start].ContainsAnyExcept((byte)0)) return false;
            position = end;
        }
        if (context[position..].ContainsAnyExcept((byte)0)) return false;
        uint wire = BinaryPrimitives.ReadUInt32LittleEndian(context[WireLen..]);
        if (wire != 0 && (wire < length || wire > 65536)) return false;
        return BinaryPrimitives.ReadUInt32LittleEndian(context[GsoSegs..]) <= 65535;
    }

    /// <summary>Fills the program's context from the caller's and from the packet.</summary>
    public static void Fill(PacketBuffer packet, ReadOnlySpan<byte> given, ReadOnlySpan<byte> frame, uint ifindex)
    {
        byte* context = packet.Context;
        foreach ((int start, int end) in s_settable) given[start..end].CopyTo(new Span<byte>(context + start, end - start));
        *(uint*)(context + Ifindex) = ifindex == 0 ? 1 : ifindex;
        *(uint*)(context + Protocol) = BinaryPrimitives.ReadUInt16LittleEndian(frame[12..]);
        *(uint*)(context + PktType) = PacketType(frame);
        if (*(uint*)(context + WireLen) == 0) *(uint*)(context + WireLen) = (uint)frame.Length;
        // Values below 1536 in the type field are lengths: such frames count as 802.2.
        if (BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) < 1536) *(uint*)(context + Protocol) = 0x0400;
    }

    /// <summary>Writes what the caller gets back.</summary>
    public static void Save(PacketBuffer packet, Span<byte> given)
    {
        foreach ((int start, int end) in s_settable) new ReadOnlySpan<byte>(packet.Context + start, end - start).CopyTo(given[start..]);
    }

    /// <summary>The loopback device has the address 0: frames to it are for this host.</summary>
    private static uint PacketType(ReadOnlySpan<byte> frame)
    {
        ReadOnlySpan<byte> to = frame[..6];
        if (!to.ContainsAnyExcept((byte)0)) return 0;
        if (!to.ContainsAnyExcept((byte)0xff)) return 1;
        return (to[0] & 1) != 0 ? 2u : 3u;
    }
}
