using System.Buffers.Binary;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers on the packet of a test run: __sk_buff and xdp_md.</summary>
internal static unsafe class PacketCode
{
    private const uint EthernetHeader = 14, MaxOffset = 0xffff;
    private const ulong RecomputeCsum = 1, InvalidateHash = 2;

    public static void Register(HelperList list)
    {
        list.Add("skb_load_bytes", &LoadBytes);
        list.Add("skb_load_bytes_relative", &LoadBytesRelative);
        list.Add("skb_store_bytes", &StoreBytes);
        list.Add("skb_pull_data", &PullData);
        list.Add("l3_csum_replace", &L3CsumReplace);
        list.Add("l4_csum_replace", &L4CsumReplace);
        list.Add("csum_diff", &CsumDiff);
        list.Add("csum_update", &CsumUpdate);
        list.Add("csum_level", &CsumLevel);
        list.Add("skb_vlan_push", &VlanPush);
        list.Add("skb_vlan_pop", &VlanPop);
        list.Add("skb_change_type", &ChangeType);
        list.Add("skb_change_tail", &ChangeTail);
        list.Add("skb_change_head", &ChangeHead);
        list.Add("skb_adjust_room", &AdjustRoom);
        list.Add("get_hash_recalc", &HashRecalc);
        list.Add("set_hash", &SetHash);
        list.Add("set_hash_invalid", &SetHashInvalid);
        list.Add("get_socket_cookie", &Zero);
        list.Add("get_socket_uid", &Overflow);
        list.Add("get_netns_cookie", &NetnsCookie);
        list.Add("skb_cgroup_id", &Zero);
        list.Add("redirect", &Redirect);
        list.Add("redirect_map", &RedirectMap);
        list.Add("xdp_adjust_head", &XdpAdjustHead);
        list.Add("xdp_adjust_tail", &XdpAdjustTail);
        list.Add("xdp_adjust_meta", &XdpAdjustMeta);
        list.Add("xdp_get_buff_len", &XdpLength);
        list.Add("xdp_load_bytes", &XdpLoad);
        list.Add("xdp_store_bytes", &XdpStore);
    }

    private static PacketBuffer? Packet(RunContext* context) => Cpu.Of(context).Packet;

    private static ulong Error(Errno errno) => HelperResult.Error(errno);

    [UnmanagedCallersOnly]
    private static ulong Zero(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 0;

    /// <summary>A packet without a full socket belongs to overflowuid.</summary>
    [UnmanagedCallersOnly]
    private static ulong Overflow(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 65534;

    [UnmanagedCallersOnly]
    private static ulong NetnsCookie(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 1;

    [UnmanagedCallersOnly]
    private static ulong LoadBytes(ulong ctx, ulong offset, ulong to, ulong size, ulong r5, RunContext* context) =>
        Load(Packet(context), (uint)offset, to, (uint)size, 0);

    [UnmanagedCallersOnly]
    private static ulong LoadBytesRelative(ulong ctx, ulong offset, ulong to, ulong size, ulong header, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (header > 1 || packet == null)
        {
            new Span<byte>((byte*)to, (int)(uint)size).Clear();
            return Error(header > 1 ? Errno.EINVAL : Errno.EFAULT);
        }
        int start = header == 1 ? packet.NetworkOffset : packet.NetworkOffset - (int)EthernetHeader;
        return Load(packet, (uint)offset, to, (uint)size, start);
    }

    private static ulong Load(PacketBuffer? packet, uint offset, ulong to, uint size, int start)
    {
        long from = (long)offset + start;
        // Classic BPF reaches the network header at SKF_NET_OFF and the link header at SKF_LL_OFF.
        if (packet != null && (int)offset < 0)
        {
            if ((int)offset >= -0x100000) from = (int)offset + 0x100000 + packet.NetworkOffset;
            else if ((int)offset >= -0x200000) from = (int)offset + 0x200000 + packet.NetworkOffset - EthernetHeader;
        }
        else if (offset > int.MaxValue)
        {
            packet = null;
        }
        if (packet != null && from >= packet.Lowest - packet.Data && from + size <= packet.Length && (from >= 0 || (int)offset < 0 || start != 0))
        {
            Buffer.MemoryCopy(packet.Data + from, (byte*)to, size, size);
            return 0;
        }
        new Span<byte>((byte*)to, (int)size).Clear();
        return Error(Errno.EFAULT);
    }

    [UnmanagedCallersOnly]
    private static ulong StoreBytes(ulong ctx, ulong offset, ulong from, ulong size, ulong flags, RunContext* context)
    {
        if ((flags & ~(RecomputeCsum | InvalidateHash)) != 0) return Error(Errno.EINVAL);
        PacketBuffer? packet = Packet(context);
        if (packet == null || (uint)offset > MaxOffset || (uint)offset + (uint)size > packet.Length) return Error(Errno.EFAULT);
        Buffer.MemoryCopy((byte*)from, packet.Data + (uint)offset, (uint)size, (uint)size);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong PullData(ulong ctx, ulong length, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Packet(context) is { } packet && (uint)length <= packet.Length ? 0 : Error(Errno.ENOMEM);

    private static uint Fold(ulong sum)
    {
        while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
        return (uint)sum;
    }

    private static void Replace(ushort* checksum, ulong from, ulong to, uint size)
    {
        // One's complement arithmetic: new = ~(~old + ~from + to); 32-bit values count as two words.
        ulong sum = (ushort)~*checksum;
        if (size == 0) sum += to;
        else
        {
            uint mask = size == 2 ? 0xffffu : uint.MaxValue;
            sum += ~(uint)from & mask;
            sum += (uint)to & mask;
        }
        *checksum = (ushort)~Fold(Fold32(sum));
    }

    private static ulong Fold32(ulong sum) => (sum & 0xffffffff) + (sum >> 32);

    private static ulong CsumReplace(RunContext* context, uint offset, ulong from, ulong to, ulong flags, bool layer4)
    {
        ulong known = layer4 ? 0x7ful : 0xful;
        if ((flags & ~known) != 0 || (offset & 1) != 0 || offset > MaxOffset) return Error((flags & ~known) != 0 ? Errno.EINVAL : Errno.EFAULT);
        PacketBuffer? packet = Packet(context);
        if (packet == null || offset + 2 > packet.Length) return Error(Errno.EFAULT);
        var checksum = (ushort*)(packet.Data + offset);
        bool mangledZero = layer4 && (flags & 0x20) != 0, enforce = layer4 && (flags & 0x40) != 0;
        if (mangledZero && !enforce && *checksum == 0) return 0;
        uint size = (uint)flags & 0xf;
        if (size is not (0 or 2 or 4) || size == 0 && from != 0) return Error(Errno.EINVAL);
        Replace(checksum, from, to, size);
        if (mangledZero && *checksum == 0) *checksum = 0xffff;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong L3CsumReplace(ulong ctx, ulong offset, ulong from, ulong to, ulong flags, RunContext* context) =>
        CsumReplace(context, (uint)offset, from, to, flags, layer4: false);

    [UnmanagedCallersOnly]
    private static ulong L4CsumReplace(ulong ctx, ulong offset, ulong from, ulong to, ulong flags, RunContext* context) =>
        CsumReplace(context, (uint)offset, from, to, flags, layer4: true);

    /// <summary>The sum of what is added minus what is removed, folded to 16 bits as since Linux 6.13.</summary>
    [UnmanagedCallersOnly]
    private static ulong CsumDiff(ulong from, ulong fromSize, ulong to, ulong toSize, ulong seed, RunContext* context)
    {
        if (((uint)fromSize & 3) != 0 || ((uint)toSize & 3) != 0) return Error(Errno.EINVAL);
        // The verifier lets "value or NULL" pass with any size, as Linux does.
        if (from == 0) fromSize = 0;
        if (to == 0) toSize = 0;
        ulong sum = (uint)seed;
        for (uint i = 0; i < (uint)fromSize; i += 4) sum += ~*(uint*)(from + i);
        for (uint i = 0; i < (uint)toSize; i += 4) sum += *(uint*)(to + i);
        return Fold(sum);
    }

    /// <summary>Only packets whose checksum the device computed whole have one to update.</summary>
    [UnmanagedCallersOnly]
    private static ulong CsumUpdate(ulong ctx, ulong sum, ulong r3, ulong r4, ulong r5, RunContext* context) => Error(Errno.EOPNOTSUPP);

    [UnmanagedCallersOnly]
    private static ulong CsumLevel(ulong ctx, ulong level, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        level > 3 ? Error(Errno.EINVAL) : level == 0 ? Error(Errno.EACCES) : 0;

    [UnmanagedCallersOnly]
    private static ulong VlanPush(ulong ctx, ulong protocol, ulong tag, ulong r4, ulong r5, RunContext* context)
    {
        const uint Present = 20, Tci = 24, Proto = 28;
        var c = (byte*)ctx;
        ushort type = (ushort)protocol == 0xa888 ? (ushort)0xa888 : (ushort)0x0081;
        if (*(uint*)(c + Present) != 0)
        {
            // A second tag pushes the first one into the packet.
            PacketBuffer? packet = Packet(context);
            if (packet == null || packet.Data - 4 < packet.Lowest) return Error(Errno.ENOMEM);
            Buffer.MemoryCopy(packet.Data, packet.Data - 4, 12, 12);
            packet.Data -= 4;
            *(ushort*)(packet.Data + 12) = (ushort)*(uint*)(c + Proto);
            *(ushort*)(packet.Data + 14) = BinaryPrimitives.ReverseEndianness((ushort)*(uint*)(c + Tci));
            packet.Publish();
        }
        *(uint*)(c + Present) = 1;
        *(uint*)(c + Tci) = (ushort)tag;
        *(uint*)(c + Proto) = type;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong VlanPop(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        var c = (byte*)ctx;
        if (*(uint*)(c + 20) != 0)
        {
            *(ulong*)(c + 20) = 0;
            *(uint*)(c + 28) = 0;
            return 0;
        }
        PacketBuffer? packet = Packet(context);
        if (packet == null || packet.Length < 18 || *(ushort*)(packet.Data + 12) is not (0x0081 or 0xa888)) return 0;
        Buffer.MemoryCopy(packet.Data, packet.Data + 4, 12, 12);
        packet.Data += 4;
        *(uint*)(c + 16) = *(ushort*)(packet.Data + 12);
        packet.Publish();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong ChangeType(ulong ctx, ulong type, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        uint* current = (uint*)(ctx + 4);
        if (*current > 3 || (uint)type > 3) return Error(Errno.EINVAL);
        *current = (uint)type;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong ChangeTail(ulong ctx, ulong length, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (flags != 0 || packet == null || (uint)length < EthernetHeader || packet.Data + (uint)length > packet.Highest) return Error(Errno.EINVAL);
        if ((uint)length > packet.Length) new Span<byte>(packet.End, (int)((uint)length - packet.Length)).Clear();
        packet.End = packet.Data + (uint)length;
        packet.Publish();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong ChangeHead(ulong ctx, ulong room, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (flags != 0 || packet == null || packet.Data - (uint)room < packet.Lowest) return Error(flags != 0 ? Errno.EINVAL : Errno.ENOMEM);
        packet.Data -= (uint)room;
        new Span<byte>(packet.Data, (int)(uint)room).Clear();
        packet.Publish();
        return 0;
    }

    /// <summary>Makes room behind the link header (mode 1) or the network header (mode 0), or takes it away.</summary>
    [UnmanagedCallersOnly]
    private static ulong AdjustRoom(ulong ctx, ulong difference, ulong mode, ulong flags, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        int delta = (int)difference;
        ushort protocol = (ushort)*(uint*)(ctx + 16);
        if (packet == null || (flags & ~0x7ful) != 0 && (uint)(flags >> 56) == 0) return Error(Errno.EINVAL);
        if (Math.Abs((long)delta) > 0xfff) return Error(Errno.EFAULT);
        if (protocol is not (0x0008 or 0xdd86)) return Error(Errno.ENOTSUPP);
        int headerBytes = protocol == 0x0008 ? 20 : 40;
        int at = (int)EthernetHeader + (mode == 0 ? headerBytes : 0);
        if (mode > 1) return Error(Errno.ENOTSUPP);
        if (delta < 0 && packet.Length + delta < at || packet.Data - delta < packet.Lowest) return Error(Errno.ENOTSUPP);
        byte* old = packet.Data;
        Buffer.MemoryCopy(old, old - delta, at, at);
        packet.Data = old - delta;
        if (delta > 0) new Span<byte>(packet.Data + at, delta).Clear();
        packet.Publish();
        return 0;
    }

    /// <summary>A hash of the addresses and ports; the kernel's depends on a secret of each boot.</summary>
    [UnmanagedCallersOnly]
    private static ulong HashRecalc(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        uint* hash = (uint*)(ctx + 68);
        if (*hash != 0 || Packet(context) is not { } packet) return *hash;
        uint value = 0x811c9dc5;
        int start = packet.NetworkOffset + 12;
        for (int i = start; i < Math.Min(start + 12, (int)packet.Length); i++) value = (value ^ packet.Data[i]) * 0x01000193;
        return *hash = value == 0 ? 1 : value;
    }

    [UnmanagedCallersOnly]
    private static ulong SetHash(ulong ctx, ulong hash, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        *(uint*)(ctx + 68) = (uint)hash;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong SetHashInvalid(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        *(uint*)(ctx + 68) = 0;
        return 0;
    }

    /// <summary>TC_ACT_REDIRECT or XDP_REDIRECT; with unknown flags TC_ACT_SHOT or XDP_ABORTED.</summary>
    [UnmanagedCallersOnly]
    private static ulong Redirect(ulong ifindex, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        bool xdp = Packet(context) is { IsXdp: true };
        if (xdp) return flags != 0 ? 0u : 4u;
        return (flags & ~1ul) != 0 ? 2u : 7u;
    }

    /// <summary>XDP_REDIRECT if the map has the key, else the action in the low bits of the flags.</summary>
    [UnmanagedCallersOnly]
    private static ulong RedirectMap(ulong map, ulong key, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        uint index = (uint)key;
        if ((flags & ~0x1bul) != 0) return 0;
        return BpfMap.FromHeader((MapHeader*)map).ProgramLookup((byte*)&index, context->CpuId) != null ? 4 : flags & 3;
    }

    [UnmanagedCallersOnly]
    private static ulong XdpAdjustHead(ulong ctx, ulong offset, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (packet == null) return Error(Errno.EINVAL);
        long metaLength = packet.Data - packet.Meta;
        byte* data = packet.Data + (int)offset;
        if (data < packet.Lowest + metaLength || data > packet.End - EthernetHeader) return Error(Errno.EINVAL);
        if (metaLength != 0) Buffer.MemoryCopy(packet.Meta, packet.Meta + (int)offset, metaLength, metaLength);
        packet.Meta += (int)offset;
        packet.Data = data;
        packet.Publish();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong XdpAdjustTail(ulong ctx, ulong offset, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (packet == null) return Error(Errno.EINVAL);
        byte* end = packet.End + (int)offset;
        if (end > packet.Highest || end < packet.Data + EthernetHeader) return Error(Errno.EINVAL);
        if (end > packet.End) new Span<byte>(packet.End, (int)(end - packet.End)).Clear();
        packet.End = end;
        packet.Publish();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong XdpAdjustMeta(ulong ctx, ulong offset, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (packet == null) return Error(Errno.ENOTSUPP);
        byte* meta = packet.Meta + (int)offset;
        if (meta < packet.Lowest || meta > packet.Data) return Error(Errno.EINVAL);
        long length = packet.Data - meta;
        if (length % 4 != 0 || length > 252) return Error(Errno.EACCES);
        packet.Meta = meta;
        packet.Publish();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong XdpLength(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => Packet(context)?.Length ?? 0;

    [UnmanagedCallersOnly]
    private static ulong XdpLoad(ulong ctx, ulong offset, ulong to, ulong size, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (packet == null || (uint)offset > MaxOffset || (uint)offset + (uint)size > packet.Length)
            return Error((uint)offset > MaxOffset ? Errno.EFAULT : Errno.EINVAL);
        Buffer.MemoryCopy(packet.Data + (uint)offset, (byte*)to, (uint)size, (uint)size);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong XdpStore(ulong ctx, ulong offset, ulong from, ulong size, ulong r5, RunContext* context)
    {
        PacketBuffer? packet = Packet(context);
        if (packet == null || (uint)offset > MaxOffset || (uint)offset + (uint)size > packet.Length)
            return Error((uint)offset > MaxOffset ? Errno.EFAULT : Errno.EINVAL);
        Buffer.MemoryCopy((byte*)from, packet.Data + (uint)offset, (uint)size, (uint)size);
        return 0;
    }
}
