using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers on packets, of sockets, traffic control and XDP.</summary>
internal static unsafe class PacketHelpers
{
    private const int RedirectVerdict = 7, XdpRedirectVerdict = 4;

    public static void Register(HelperList list)
    {
        list.AddMissing("skb_load_bytes", &LoadBytes);
        list.AddMissing("skb_load_bytes_relative", &LoadBytesRelative);
        list.AddMissing("skb_store_bytes", &StoreBytes);
        list.AddMissing("skb_pull_data", &PullData);
        list.AddMissing("skb_change_tail", &ChangeTail);
        list.AddMissing("skb_change_head", &ChangeHead);
        list.AddMissing("csum_diff", &ChecksumDifference);
        list.AddMissing("l3_csum_replace", &ReplaceL3Checksum);
        list.AddMissing("l4_csum_replace", &ReplaceL4Checksum);
        list.AddMissing("get_hash_recalc", &GetHash);
        list.AddMissing("set_hash_invalid", &SetHashInvalid);
        list.AddMissing("set_hash", &SetHash);
        list.AddMissing("redirect", &Redirect);
        list.AddMissing("xdp_adjust_head", &AdjustHead);
        list.AddMissing("xdp_adjust_tail", &AdjustTail);
        list.AddMissing("xdp_adjust_meta", &AdjustMeta);
        list.AddMissing("xdp_get_buff_len", &BufferLength);
        list.AddMissing("xdp_load_bytes", &XdpLoadBytes);
        list.AddMissing("xdp_store_bytes", &XdpStoreBytes);
    }

    private static PacketBuffer? Packet(RunContext* context) => Cpu.Of(context).Packet;

    private static ulong Result(Errno errno) => errno == Errno.None ? 0 : HelperResult.Error(errno);

    /// <summary>Bytes of the packet, or false if the range leaves it; before the start lies at most a pulled link header.</summary>
    private static bool TryRange(PacketBuffer packet, long offset, ulong length, out byte* address)
    {
        address = packet.Data + offset;
        return offset >= packet.NetworkOffset - 14 && length <= int.MaxValue && offset <= packet.Length && (long)length <= packet.Length - offset;
    }

    private static Errno MoveHead(PacketBuffer packet, long delta)
    {
        long meta = packet.Data - packet.Meta;
        if (packet.Data + delta > packet.End - 14 || packet.Data + delta < packet.Lowest + meta) return Errno.EINVAL;
        if (meta > 0) Buffer.MemoryCopy(packet.Meta, packet.Meta + delta, meta, meta);
        packet.Data += delta;
        packet.Meta = packet.Data - meta;
        packet.Publish();
        return Errno.None;
    }

    private static Errno MoveTail(PacketBuffer packet, long delta)
    {
        if (packet.End + delta < packet.Data + 14 || packet.End + delta > packet.Highest) return Errno.EINVAL;
        if (delta > 0) new Span<byte>(packet.End, (int)delta).Clear();
        packet.End += delta;
        packet.Publish();
        return Errno.None;
    }

    private static Errno MoveMeta(PacketBuffer packet, long delta)
    {
        byte* meta = packet.Meta + delta;
        long size = packet.Data - meta;
        if (meta < packet.Lowest || size < 0) return Errno.EINVAL;
        if (size % 4 != 0 || size > 252) return Errno.EACCES;
        packet.Meta = meta;
        packet.Publish();
        return Errno.None;
    }

    private static ulong Load(PacketBuffer? packet, long offset, byte* to, ulong length, Errno outside)
    {
        if (packet == null || offset > 0xffff || offset < 0 || !TryRange(packet, offset, length, out byte* from))
        {
            new Span<byte>(to, (int)Math.Min(length, int.MaxValue)).Clear();
            return HelperResult.Error(outside);
        }
        Buffer.MemoryCopy(from, to, length, length);
        return 0;
    }

    private static ulong Store(PacketBuffer? packet, long offset, byte* from, ulong length, Errno outside)
    {
        if (packet == null || offset > 0xffff || offset < 0 || !TryRange(packet, offset, length, out byte* to)) return HelperResult.Error(outside);
        Buffer.MemoryCopy(from, to, length, length);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong LoadBytes(ulong skb, ulong offset, ulong to, ulong length, ulong r5, RunContext* context) =>
        Load(Packet(context), (uint)offset, (byte*)to, (uint)length, Errno.EFAULT);

    [UnmanagedCallersOnly]
    private static ulong LoadBytesRelative(ulong skb, ulong offset, ulong to, ulong length, ulong header, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        // Header 0 is the link layer's, 1 the network's; what the program sees begins at one of them.
        long start = packet == null ? 0 : (uint)header == 0 ? packet.NetworkOffset - 14 : packet.NetworkOffset;
        if (packet == null || header > 1 || (uint)offset > 0xffff || !TryRange(packet, start + (uint)offset, (uint)length, out byte* from))
        {
            new Span<byte>((void*)to, (int)(uint)length).Clear();
            return HelperResult.Error(Errno.EFAULT);
        }
        Buffer.MemoryCopy(from, (void*)to, (uint)length, (uint)length);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong StoreBytes(ulong skb, ulong offset, ulong from, ulong length, ulong flags, RunContext* context) =>
        (flags & ~3ul) != 0 ? HelperResult.Error(Errno.EINVAL) : Store(Packet(context), (uint)offset, (byte*)from, (uint)length, Errno.EFAULT);

    [UnmanagedCallersOnly]
    private static ulong PullData(ulong skb, ulong length, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet && (uint)length <= packet.Length ? 0 : HelperResult.Error(Errno.ENOMEM);

    [UnmanagedCallersOnly]
    private static ulong ChangeTail(ulong skb, ulong length, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        if (Packet(context) is not { } packet || flags != 0 || (uint)length < 14) return HelperResult.Error(Errno.EINVAL);
        return Result(MoveTail(packet, (uint)length - packet.Length));
    }

    [UnmanagedCallersOnly]
    private static ulong ChangeHead(ulong skb, ulong room, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        if (Packet(context) is not { } packet || flags != 0) return HelperResult.Error(Errno.EINVAL);
        Errno error = MoveHead(packet, -(long)(uint)room);
        if (error == Errno.None) new Span<byte>(packet.Data, (int)(uint)room).Clear();
        return Result(error);
    }

    private static uint Sum(byte* bytes, uint length, uint seed, bool negate)
    {
        ulong sum = seed;
        for (uint i = 0; i + 2 <= length; i += 2)
        {
            ushort word = *(ushort*)(bytes + i);
            sum += negate ? (ushort)~word : word;
        }
        while (sum >> 32 != 0) sum = (uint)sum + (sum >> 32);
        return (uint)sum;
    }

    private static ushort Fold(ulong sum)
    {
        while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)sum;
    }

    [UnmanagedCallersOnly]
    private static ulong ChecksumDifference(ulong from, ulong fromSize, ulong to, ulong toSize, ulong seed, RunContext* context)
    {
        if (((uint)fromSize | (uint)toSize) % 4 != 0) return HelperResult.Error(Errno.EINVAL);
        uint sum = Sum((byte*)from, (uint)fromSize, (uint)seed, negate: true);
        return Fold(Sum((byte*)to, (uint)toSize, sum, negate: false));
    }

    private static ulong ReplaceChecksum(RunContext* context, ulong offset, ulong from, ulong to, ulong size, bool mangledZero)
    {
        if (Packet(context) is not { } packet || offset > 0xffff || offset % 2 != 0 || !TryRange(packet, (long)offset, 2, out byte* at))
            return HelperResult.Error(Errno.EFAULT);
        ushort old = *(ushort*)at;
        if (mangledZero && old == 0) return 0;
        ulong sum = (ushort)~old;
        switch (size)
        {
            case 0:
                if (from != 0) return HelperResult.Error(Errno.EINVAL);
                sum += Fold((uint)to);
                break;
            case 2:
                sum += (ulong)(ushort)~(ushort)from + (ushort)to;
                break;
            case 4:
                sum += (ulong)Fold(~(uint)from) + Fold((uint)to);
                break;
            default:
                return HelperResult.Error(Errno.EINVAL);
        }
        ushort result = (ushort)~Fold(sum);
        *(ushort*)at = mangledZero && result == 0 ? (ushort)0xffff : result;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong ReplaceL3Checksum(ulong skb, ulong offset, ulong from, ulong to, ulong flags, RunContext* context) =>
        (flags & ~0xful) != 0 ? HelperResult.Error(Errno.EINVAL) : ReplaceChecksum(context, (uint)offset, from, to, flags & 0xf, false);

    [UnmanagedCallersOnly]
    private static ulong ReplaceL4Checksum(ulong skb, ulong offset, ulong from, ulong to, ulong flags, RunContext* context) =>
        (flags & ~0x7ful) != 0 ? HelperResult.Error(Errno.EINVAL) : ReplaceChecksum(context, (uint)offset, from, to, flags & 0xf, (flags & 0x20) != 0);

    [UnmanagedCallersOnly]
    private static ulong GetHash(ulong skb, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => ((uint*)skb)[17];

    [UnmanagedCallersOnly]
    private static ulong SetHashInvalid(ulong skb, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ((uint*)skb)[17] = 0;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong SetHash(ulong skb, ulong hash, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ((uint*)skb)[17] = (uint)hash;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Redirect(ulong ifindex, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (Packet(context) is { IsXdp: true }) return flags != 0 ? 0ul : XdpRedirectVerdict;
        return (flags & ~1ul) != 0 ? 2ul : RedirectVerdict;
    }

    [UnmanagedCallersOnly]
    private static ulong AdjustHead(ulong xdp, ulong delta, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet ? Result(MoveHead(packet, (int)delta)) : HelperResult.Error(Errno.EINVAL);

    [UnmanagedCallersOnly]
    private static ulong AdjustTail(ulong xdp, ulong delta, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet ? Result(MoveTail(packet, (int)delta)) : HelperResult.Error(Errno.EINVAL);

    [UnmanagedCallersOnly]
    private static ulong AdjustMeta(ulong xdp, ulong delta, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet ? Result(MoveMeta(packet, (int)delta)) : HelperResult.Error(Errno.EINVAL);

    [UnmanagedCallersOnly]
    private static ulong BufferLength(ulong xdp, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet ? packet.Length : 0;

    [UnmanagedCallersOnly]
    private static ulong XdpLoadBytes(ulong xdp, ulong offset, ulong to, ulong length, ulong r5, RunContext* context) =>
        Load(Packet(context), (uint)offset, (byte*)to, (uint)length, Errno.EINVAL);

    [UnmanagedCallersOnly]
    private static ulong XdpStoreBytes(ulong xdp, ulong offset, ulong from, ulong length, ulong r5, RunContext* context) =>
        Store(Packet(context), (uint)offset, (byte*)from, (uint)length, Errno.EINVAL);
}
