using System.Runtime.InteropServices;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>The byte-level door: <c>union bpf_attr</c> as bpf(2) takes it, pointers being native addresses of this process.</summary>
public sealed unsafe partial class BpfSyscall
{
    /// <summary>sizeof(union bpf_attr) in Linux 6.18.</summary>
    public const int AttrSize = 168;

    private const int PageSize = 4096;

    /// <summary>
    /// bpf(2). Bytes behind the command's last field must be zero (-EINVAL), those behind the kernel's union too
    /// (-E2BIG). Null pointers where data is needed are -EFAULT; other bad pointers cannot be told from good ones.
    /// </summary>
    /// <param name="cmd">The command (<see cref="BpfCommand"/>).</param>
    /// <param name="attr">The attributes; results are written into them.</param>
    public int Bpf(int cmd, Span<byte> attr)
    {
        if (attr.Length > PageSize) return -(int)Errno.E2BIG;
        if (attr.Length > AttrSize && attr[AttrSize..].ContainsAnyExcept((byte)0)) return -(int)Errno.E2BIG;
        var command = (BpfCommand)cmd;
        if (!Enum.IsDefined(command)) return -(int)Errno.EINVAL;
        Span<byte> bytes = stackalloc byte[AttrSize];
        bytes.Clear();
        attr[..Math.Min(attr.Length, AttrSize)].CopyTo(bytes);
        if (bytes[LastField(command)..].ContainsAnyExcept((byte)0)) return -(int)Errno.EINVAL;
        int result = Dispatch(command, new AttrBytes(bytes));
        bytes[..Math.Min(attr.Length, AttrSize)].CopyTo(attr);
        return result;
    }

    /// <summary>End of the last field that a command knows.</summary>
    private static int LastField(BpfCommand command) => command switch
    {
        BpfCommand.BPF_MAP_CREATE => 92,
        BpfCommand.BPF_MAP_LOOKUP_ELEM or BpfCommand.BPF_MAP_UPDATE_ELEM or BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_ELEM => 32,
        BpfCommand.BPF_MAP_DELETE_ELEM => 16,
        BpfCommand.BPF_MAP_GET_NEXT_KEY => 24,
        BpfCommand.BPF_MAP_FREEZE or BpfCommand.BPF_LINK_DETACH or BpfCommand.BPF_ENABLE_STATS or BpfCommand.BPF_PROG_GET_FD_BY_ID
            or BpfCommand.BPF_LINK_GET_FD_BY_ID => 4,
        BpfCommand.BPF_PROG_LOAD => AttrSize,
        BpfCommand.BPF_OBJ_PIN or BpfCommand.BPF_OBJ_GET => 20,
        BpfCommand.BPF_PROG_TEST_RUN => 76,
        BpfCommand.BPF_PROG_GET_NEXT_ID or BpfCommand.BPF_MAP_GET_NEXT_ID or BpfCommand.BPF_BTF_GET_NEXT_ID
            or BpfCommand.BPF_LINK_GET_NEXT_ID or BpfCommand.BPF_ITER_CREATE => 8,
        BpfCommand.BPF_MAP_GET_FD_BY_ID or BpfCommand.BPF_PROG_BIND_MAP => 12,
        BpfCommand.BPF_BTF_GET_FD_BY_ID or BpfCommand.BPF_OBJ_GET_INFO_BY_FD or BpfCommand.BPF_LINK_UPDATE => 16,
        BpfCommand.BPF_RAW_TRACEPOINT_OPEN => 24,
        BpfCommand.BPF_BTF_LOAD => 40,
        BpfCommand.BPF_MAP_LOOKUP_BATCH or BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_BATCH or BpfCommand.BPF_MAP_UPDATE_BATCH
            or BpfCommand.BPF_MAP_DELETE_BATCH => 56,
        BpfCommand.BPF_LINK_CREATE => 60,
        BpfCommand.BPF_PROG_ATTACH or BpfCommand.BPF_PROG_DETACH => 32,
        BpfCommand.BPF_PROG_QUERY => 64,
        BpfCommand.BPF_TASK_FD_QUERY => 48,
        BpfCommand.BPF_TOKEN_CREATE => 8,
        BpfCommand.BPF_PROG_STREAM_READ_BY_FD => 20,
        _ => AttrSize,
    };

    private int Dispatch(BpfCommand command, AttrBytes a)
    {
        switch (command)
        {
            case BpfCommand.BPF_MAP_CREATE:
                return MapCreate(new MapCreateAttr
                {
                    MapType = (MapType)a.U32(0),
                    KeySize = a.U32(4),
                    ValueSize = a.U32(8),
                    MaxEntries = a.U32(12),
                    MapFlags = a.U32(16),
                    InnerMapFd = a.I32(20),
                    NumaNode = a.U32(24),
                    MapName = a.Text(28, 16),
                    MapIfindex = a.U32(44),
                    BtfFd = a.I32(48),
                    BtfKeyTypeId = a.U32(52),
                    BtfValueTypeId = a.U32(56),
                    BtfVmlinuxValueTypeId = a.U32(60),
                    MapExtra = a.U64(64),
                    ValueTypeBtfObjFd = a.I32(72),
                    MapTokenFd = a.I32(76),
                    ExclProgHash = a.U64(80) == 0 ? [] : a.U32(88) == 32 ? a.Memory(80, 32).ToArray() : [0],
                    ExclProgHashSize = a.U32(88),
                });
            case BpfCommand.BPF_MAP_LOOKUP_ELEM or BpfCommand.BPF_MAP_UPDATE_ELEM or BpfCommand.BPF_MAP_DELETE_ELEM
                or BpfCommand.BPF_MAP_GET_NEXT_KEY or BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_ELEM when IsUnwantedKey(a):
                return -(int)Errno.EINVAL;
            case BpfCommand.BPF_MAP_LOOKUP_ELEM:
                return MapLookupElem(a.I32(0), Key(a), Value(a), a.U64(24));
            case BpfCommand.BPF_MAP_UPDATE_ELEM:
                return MapUpdateElem(a.I32(0), Key(a), Value(a), a.U64(24));
            case BpfCommand.BPF_MAP_DELETE_ELEM:
                return MapDeleteElem(a.I32(0), Key(a));
            case BpfCommand.BPF_MAP_GET_NEXT_KEY:
                return MapGetNextKey(a.I32(0), Key(a), a.Memory(16, KeySizeOf(a.I32(0))));
            case BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_ELEM:
                return MapLookupAndDeleteElem(a.I32(0), Key(a), Value(a), a.U64(24));
            case BpfCommand.BPF_MAP_FREEZE:
                return MapFreeze(a.I32(0));
            case BpfCommand.BPF_PROG_LOAD:
                return LoadFromBytes(a);
            case BpfCommand.BPF_OBJ_PIN:
                // The descriptor is looked at before the path.
                return a.U64(0) == 0 && FindPinnable(a.I32(8)) != null ? -(int)Errno.EFAULT : ObjPin(a.I32(8), a.String(0) ?? "", a.U32(12), a.I32(16));
            case BpfCommand.BPF_OBJ_GET:
                return a.I32(8) != 0 ? -(int)Errno.EINVAL : a.U64(0) == 0 ? -(int)Errno.EFAULT : ObjGet(a.String(0)!, a.U32(12), a.I32(16));
            case BpfCommand.BPF_PROG_TEST_RUN:
                return TestRunFromBytes(a);
            case BpfCommand.BPF_PROG_GET_NEXT_ID or BpfCommand.BPF_MAP_GET_NEXT_ID or BpfCommand.BPF_BTF_GET_NEXT_ID or BpfCommand.BPF_LINK_GET_NEXT_ID:
                return NextIdFromBytes(command, a);
            case BpfCommand.BPF_PROG_GET_FD_BY_ID:
                return ProgGetFdById(a.U32(0));
            case BpfCommand.BPF_MAP_GET_FD_BY_ID:
                return MapGetFdById(a.U32(0), a.U32(8));
            case BpfCommand.BPF_BTF_GET_FD_BY_ID:
                // BPF_F_TOKEN_FD alone is known, and no descriptor is a token.
                if ((a.U32(8) & ~FlagTokenFd) != 0) return -(int)Errno.EINVAL;
                if (a.U32(8) != 0) return -(int)(Fds.Find(a.I32(12)) == null ? Errno.EBADF : Errno.EINVAL);
                return BtfGetFdById(a.U32(0));
            case BpfCommand.BPF_LINK_GET_FD_BY_ID:
                return LinkGetFdById(a.U32(0));
            case BpfCommand.BPF_OBJ_GET_INFO_BY_FD:
                return InfoFromBytes(a);
            case BpfCommand.BPF_RAW_TRACEPOINT_OPEN:
                return RawTracepointOpen(a.U64(0) == 0 ? null : a.String(0), a.I32(8), a.U64(16));
            case BpfCommand.BPF_BTF_LOAD:
                return BtfFromBytes(a);
            case BpfCommand.BPF_MAP_LOOKUP_BATCH or BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_BATCH or BpfCommand.BPF_MAP_UPDATE_BATCH or BpfCommand.BPF_MAP_DELETE_BATCH:
                return BatchFromBytes(command, a);
            case BpfCommand.BPF_LINK_CREATE:
                return LinkFromBytes(a);
            case BpfCommand.BPF_LINK_UPDATE:
                return LinkUpdate(a.I32(0), a.I32(4), a.U32(8), a.I32(12));
            case BpfCommand.BPF_LINK_DETACH:
                return LinkDetach(a.I32(0));
            case BpfCommand.BPF_ENABLE_STATS:
                return EnableStats(a.U32(0));
            case BpfCommand.BPF_PROG_BIND_MAP:
                return ProgBindMap(a.I32(0), a.I32(4), a.U32(8));
            case BpfCommand.BPF_PROG_ATTACH or BpfCommand.BPF_PROG_DETACH:
                var attach = new ProgAttachAttr
                {
                    TargetFd = a.I32(0),
                    AttachBpfFd = a.I32(4),
                    AttachType = (AttachType)a.U32(8),
                    AttachFlags = a.U32(12),
                    ReplaceBpfFd = a.I32(16),
                    RelativeFd = a.I32(20),
                    ExpectedRevision = a.U64(24),
                };
                return command == BpfCommand.BPF_PROG_ATTACH ? ProgAttach(attach) : ProgDetach(attach);
            case BpfCommand.BPF_PROG_QUERY:
                var query = new ProgQueryAttr { TargetFd = a.I32(0), AttachType = (AttachType)a.U32(4), QueryFlags = a.U32(8), AttachFlags = a.U32(12), Count = a.U32(24) };
                int queried = ProgQuery(query);
                if (queried != 0) return queried;
                a.Put(12, query.AttachFlags);
                a.Put(24, query.Count);
                if (query.AttachType is AttachType.TcxIngress or AttachType.TcxEgress) a.Put64(56, query.Revision);
                return 0;
            case BpfCommand.BPF_TASK_FD_QUERY:
                return TaskFdFromBytes(a);
            case BpfCommand.BPF_ITER_CREATE:
                return IterCreate(a.I32(0), a.U32(4));
            case BpfCommand.BPF_TOKEN_CREATE:
                // Delegation needs a bpffs that was mounted for it.
                return a.U32(0) != 0 ? -(int)Errno.EINVAL : -(int)(Fds.Find(a.I32(4)) == null ? Errno.EBADF : Errno.EINVAL);
            case BpfCommand.BPF_PROG_STREAM_READ_BY_FD:
                int error = Resolve(a.I32(16), out BpfProgram _);
                // Both streams of a program are there; nothing writes to them.
                return error != 0 ? error : a.U32(12) is 1 or 2 ? 0 : -(int)Errno.ENOENT;
            default:
                return -(int)Errno.EINVAL;
        }
    }

    private int TaskFdFromBytes(AttrBytes a)
    {
        var attr = new TaskFdQueryAttr { Pid = a.U32(0), Fd = a.I32(4), Flags = a.U32(8) };
        int result = TaskFdQuery(attr);
        if (result != 0) return result;
        byte[] text = Encoding.UTF8.GetBytes(attr.Buf);
        uint room = a.U32(12);
        a.Put(24, attr.ProgId);
        a.Put(28, (uint)attr.FdType);
        a.Put64(32, attr.ProbeOffset);
        a.Put64(40, attr.ProbeAddr);
        a.Put(12, (uint)text.Length);
        a.PutText(16, room, attr.Buf);
        return room != 0 && a.U64(16) != 0 && room < text.Length + 1 ? -(int)Errno.ENOSPC : 0;
    }

    private int BtfFromBytes(AttrBytes a)
    {
        bool plain = a.U32(32) == 0;
        if (plain && a.U32(16) > MaxBtfBytes) return -(int)Errno.E2BIG;
        if (plain && ((a.U64(8) == 0) != (a.U32(20) == 0))) return -(int)Errno.EINVAL;
        if (plain && a.U64(0) == 0 && a.U32(16) != 0) return -(int)Errno.EFAULT;
        var attr = new BtfLoadAttr
        {
            Btf = plain ? a.Memory(0, a.U32(16)).ToArray() : [],
            LogLevel = a.U32(24),
            LogSize = a.U32(20),
            Flags = a.U32(32),
            TokenFd = a.I32(36),
        };
        int result = BtfLoad(attr);
        a.PutText(8, a.U32(20), attr.LogBuf);
        a.Put(28, attr.LogTrueSize);
        return result;
    }

    private KernelObject? FindPinnable(int fd) => Fds.Find(fd) is BpfProgram or MapObject or BpfLink ? Fds.Find(fd) : null;

    /// <summary>Queues, stacks, bloom filters and ring buffers have no keys, and refuse a pointer to one.</summary>
    private bool IsUnwantedKey(AttrBytes a) => a.U64(8) != 0 && FindMap(a.I32(0)) is { } map && map.Map.Spec.KeySize == 0;

    private uint KeySizeOf(int fd) => FindMap(fd)?.Map.Spec.KeySize ?? 0;

    private ReadOnlySpan<byte> Key(AttrBytes a) => a.Memory(8, KeySizeOf(a.I32(0)));

    private Span<byte> Value(AttrBytes a) => a.Memory(16, FindMap(a.I32(0))?.UserValueSize ?? 0);

    private int NextIdFromBytes(BpfCommand command, AttrBytes a)
    {
        uint next;
        int result = command switch
        {
            BpfCommand.BPF_PROG_GET_NEXT_ID => ProgGetNextId(a.U32(0), out next),
            BpfCommand.BPF_MAP_GET_NEXT_ID => MapGetNextId(a.U32(0), out next),
            BpfCommand.BPF_BTF_GET_NEXT_ID => BtfGetNextId(a.U32(0), out next),
            _ => LinkGetNextId(a.U32(0), out next),
        };
        if (result == 0) a.Put(4, next);
        return result;
    }

    private int BatchFromBytes(BpfCommand command, AttrBytes a)
    {
        MapObject? map = FindMap(a.I32(36));
        uint count = a.U32(32), keySize = map?.Map.Spec.KeySize ?? 0, valueSize = map?.UserValueSize ?? 0;
        if ((ulong)count * Math.Max(keySize, valueSize) > int.MaxValue) return -(int)Errno.ENOMEM;
        bool lookup = command is BpfCommand.BPF_MAP_LOOKUP_BATCH or BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_BATCH;
        uint token = Math.Max(4, keySize);
        var attr = new MapBatchAttr
        {
            MapFd = a.I32(36),
            InBatch = a.U64(0) == 0 ? null : a.Memory(0, token).ToArray(),
            Keys = lookup && a.U64(16) == 0 ? new byte[count * keySize] : a.Memory(16, count * keySize).ToArray(),
            Values = lookup && a.U64(24) == 0 ? new byte[count * valueSize] : a.Memory(24, count * valueSize).ToArray(),
            Count = count,
            ElemFlags = a.U64(40),
            Flags = a.U64(48),
        };
        int result = command switch
        {
            BpfCommand.BPF_MAP_LOOKUP_BATCH => MapLookupBatch(attr),
            BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_BATCH => MapLookupAndDeleteBatch(attr),
            BpfCommand.BPF_MAP_UPDATE_BATCH => MapUpdateBatch(attr),
            _ => MapDeleteBatch(attr),
        };
        a.Put(32, attr.Count);
        if (!lookup || result is not (0 or -(int)Errno.ENOENT)) return result;
        if (attr.Count != 0 && (a.U64(8) == 0 || a.U64(16) == 0 || a.U64(24) == 0)) return -(int)Errno.EFAULT;
        if (attr.Count == 0) return result;
        attr.Keys.AsSpan(0, (int)(attr.Count * keySize)).CopyTo(a.Memory(16, attr.Count * keySize));
        attr.Values.AsSpan(0, (int)(attr.Count * valueSize)).CopyTo(a.Memory(24, attr.Count * valueSize));
        attr.OutBatch.CopyTo(a.Memory(8, token));
        return result;
    }

    private int LinkFromBytes(AttrBytes a)
    {
        var type = (AttachType)a.U32(8);
        var attr = new LinkCreateAttr { ProgFd = a.I32(0), TargetFd = a.I32(4), AttachType = type, Flags = a.U32(12), Cookie = a.U64(type == AttachType.PerfEvent ? 16 : 24), TargetBtfId = a.U32(16) };
        if (type is AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession)
        {
            uint count = a.U32(20);
            if (count > 1 << 20) return -(int)Errno.E2BIG;
            attr = attr with
            {
                Cookie = 0,
                MultiFlags = a.U32(16),
                Syms = a.U64(24) == 0 ? null : [.. Words(a.Memory(24, count * 8)).Select(p => AttrBytes.StringAt((byte*)p) ?? "")],
                Addrs = a.U64(32) == 0 ? null : Words(a.Memory(32, count * 8)),
                Cookies = a.U64(40) == 0 ? null : Words(a.Memory(40, count * 8)),
            };
        }
        else if (type is AttachType.TraceUprobeMulti or AttachType.TraceUprobeSession)
        {
            uint count = a.U32(48);
            if (FindProgram(a.I32(0)) != null && (a.U64(16) == 0 || a.U64(24) == 0 || count == 0 || a.U32(52) > 1)) return -(int)Errno.EINVAL;
            if (count > 1 << 20) return -(int)Errno.E2BIG;
            attr = attr with
            {
                Cookie = 0,
                Path = a.String(16),
                Offsets = a.U64(24) == 0 ? null : Words(a.Memory(24, count * 8)),
                Cookies = a.U64(40) == 0 ? null : Words(a.Memory(40, count * 8)),
                MultiFlags = a.U32(52),
                Pid = a.U32(56),
            };
        }
        else if (type == AttachType.Netfilter)
        {
            attr = attr with { Cookie = 0, NetfilterPf = a.U32(16), NetfilterHooknum = a.U32(20), NetfilterPriority = a.I32(24), NetfilterFlags = a.U32(28) };
        }
        else if (type == AttachType.TraceIter && a.U64(16) != 0 && a.U32(24) >= 4)
        {
            attr = attr with { Cookie = 0, IterMapFd = *(int*)a.U64(16) };
        }
        return LinkCreate(attr);
    }

    private static ulong[] Words(Span<byte> bytes) => MemoryMarshal.Cast<byte, ulong>(bytes).ToArray();

    private int InfoFromBytes(AttrBytes a)
    {
        KernelObject? value = ObjGetInfoByFd(a.I32(0));
        if (value == null) return Fds.Find(a.I32(0)) == null ? -(int)Errno.EBADFD : -(int)Errno.EINVAL;
        uint length = a.U32(4);
        if (length > PageSize) return -(int)Errno.E2BIG;
        if (a.U64(8) == 0 && length != 0) return -(int)Errno.EFAULT;
        var info = new InfoBuffer(ObjectInfo.SizeOf(value));
        Span<byte> room = a.Memory(8, length);
        if (room.Length > info.Bytes.Length && room[info.Bytes.Length..].ContainsAnyExcept((byte)0)) return -(int)Errno.E2BIG;
        int copied = Math.Min(room.Length, info.Bytes.Length);
        room[..copied].CopyTo(info.Bytes);
        ObjectInfo.Fill(value, info, KernelBtfId);
        if (info.Error is not (0 or -(int)Errno.ENOSPC)) return info.Error;
        info.Bytes.AsSpan(0, copied).CopyTo(room);
        a.Put(4, (uint)copied);
        return info.Error;
    }
}
