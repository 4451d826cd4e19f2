using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const uint FlagRdonly = 1u << 3, FlagWronly = 1u << 4, FlagNumaNode = 1u << 2, FlagTokenFd = 1u << 16;
    private const ulong ElemFlagLock = 4;

    /// <summary>BPF_MAP_CREATE: returns the map's descriptor or -errno.</summary>
    public int MapCreate(MapCreateAttr attr) => Traced(BpfCommand.BPF_MAP_CREATE, attr, CreateMap(attr));

    private int CreateMap(MapCreateAttr attr)
    {
        if (attr.BtfVmlinuxValueTypeId != 0)
        {
            if (attr.MapType != MapType.StructOps || attr.BtfKeyTypeId != 0 || attr.BtfValueTypeId != 0) return -(int)Errno.EINVAL;
        }
        else if (attr.BtfKeyTypeId != 0 && attr.BtfValueTypeId == 0)
        {
            return -(int)Errno.EINVAL;
        }
        if (attr.MapExtra != 0 && attr.MapType is not (MapType.BloomFilter or MapType.Arena)) return -(int)Errno.EINVAL;
        if ((attr.MapFlags & FlagRdonly) != 0 && (attr.MapFlags & FlagWronly) != 0) return -(int)Errno.EINVAL;
        if ((attr.MapFlags & FlagNumaNode) != 0 && attr.NumaNode != 0) return -(int)Errno.EINVAL;
        if ((attr.MapFlags & FlagTokenFd) != 0) return -(int)(Fds.Find(attr.MapTokenFd) == null ? Errno.EBADF : Errno.EINVAL);
        if (attr.MapIfindex != 0) return -(int)(IsDevice(attr.MapIfindex) && attr.MapType is MapType.Array or MapType.Hash ? Errno.EOPNOTSUPP : Errno.EINVAL);
        if ((attr.ExclProgHash.Length != 0) != (attr.ExclProgHashSize != 0) || (attr.ExclProgHashSize != 0 && attr.ExclProgHashSize != 32))
            return -(int)Errno.EINVAL;

        MapSpec? inner = null;
        if (attr.MapType is MapType.ArrayOfMaps or MapType.HashOfMaps)
        {
            int error = Resolve(attr.InnerMapFd, out MapObject innerMap);
            if (error != 0) return error;
            inner = innerMap.Map.Spec;
        }
        if (!_environment.Capabilities.Allows(Capabilities.Bpf) && NeedsPrivilege(attr.MapType)) return -(int)Errno.EPERM;

        BtfObject? btf = null;
        if (attr.BtfKeyTypeId != 0 || attr.BtfValueTypeId != 0)
        {
            int error = Resolve(attr.BtfFd, out BtfObject found);
            if (error != 0) return error;
            if (found.IsKernel) return -(int)Errno.EACCES;
            btf = found;
        }
        var spec = new MapSpec
        {
            Name = attr.MapName,
            Type = attr.MapType,
            KeySize = attr.KeySize,
            ValueSize = attr.ValueSize,
            MaxEntries = attr.MaxEntries,
            Flags = attr.MapFlags,
            MapExtra = attr.MapExtra,
            InnerMap = inner,
            NumaNode = (attr.MapFlags & FlagNumaNode) != 0 ? (int)attr.NumaNode : -1,
            BtfKeyTypeId = attr.BtfKeyTypeId,
            BtfValueTypeId = attr.BtfValueTypeId,
            BtfVmlinuxValueTypeId = attr.BtfVmlinuxValueTypeId,
            Btf = btf?.Data,
        };
        if (btf != null)
        {
            int error = MapBtf.Check(ref spec, btf.Data);
            if (error != 0) return error;
        }
        BpfMap? map = _environment.CreateMap(spec, _environment.Cpus, out Errno errno);
        if (map == null) return -(int)errno;
        if (!IsValidName(attr.MapName))
        {
            map.Dispose();
            return -(int)Errno.EINVAL;
        }
        if (spec.SpecialFields.Count != 0) map.ReleaseFields = HelperImplementations.StorageCode.Release;
        var value = new MapObject(map, btf) { ExclProgHash = attr.ExclProgHash };
        _maps.Add(value);
        map.Id = value.Id;
        return Fds.Install(value);
    }

    private static bool NeedsPrivilege(MapType type) => type is not (MapType.Array or MapType.PercpuArray or MapType.ProgArray
        or MapType.PerfEventArray or MapType.CgroupArray or MapType.ArrayOfMaps or MapType.Hash or MapType.PercpuHash
        or MapType.HashOfMaps or MapType.Ringbuf or MapType.UserRingbuf or MapType.CgroupStorage or MapType.PercpuCgroupStorage);

    /// <summary>BPF_MAP_LOOKUP_ELEM: the value is copied to <paramref name="value"/> (<see cref="MapObject.UserValueSize"/> bytes).</summary>
    public int MapLookupElem(int fd, ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0)
    {
        int result = Access(fd, write: false, flags & ElemFlagLock, out MapObject map);
        if ((flags & ~ElemFlagLock) != 0) result = -(int)Errno.EINVAL;
        if (result == 0) result = CheckKey(map, key, mayBeEmpty: map.Map.Spec.KeySize == 0);
        // Whether there is such an element comes before whether there is room for it.
        if (result == 0 && value.Length < map.UserValueSize && map.Map.Spec.Type == MapType.BloomFilter) result = -(int)Errno.EFAULT;
        else if (result == 0 && value.Length < map.UserValueSize) result = LookupValue(map, key, new byte[map.UserValueSize], flags) is var e and not 0 ? e : -(int)Errno.EFAULT;
        else if (result == 0) result = LookupValue(map, key, value, flags);
        return Traced(BpfCommand.BPF_MAP_LOOKUP_ELEM, new MapElemAttr(fd, flags, !key.IsEmpty), result);
    }

    /// <summary>BPF_MAP_UPDATE_ELEM. Values of map-in-map, prog_array and perf_event_array are descriptors (4 bytes).</summary>
    public int MapUpdateElem(int fd, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags = 0)
    {
        int result = Access(fd, write: true, flags & ElemFlagLock, out MapObject map);
        if (result == 0) result = CheckKey(map, key, mayBeEmpty: map.Map.Spec.KeySize == 0);
        if (result == 0 && value.Length < map.UserValueSize) result = -(int)Errno.EFAULT;
        if (result == 0) result = UpdateValue(map, key, value[..(int)map.UserValueSize], flags);
        return Traced(BpfCommand.BPF_MAP_UPDATE_ELEM, new MapElemAttr(fd, flags, !key.IsEmpty), result);
    }

    /// <summary>BPF_MAP_DELETE_ELEM.</summary>
    public int MapDeleteElem(int fd, ReadOnlySpan<byte> key)
    {
        int result = Access(fd, write: true, 0, out MapObject map);
        if (result == 0) result = CheckKey(map, key, mayBeEmpty: map.Map.Spec.KeySize == 0);
        if (result == 0) result = DeleteValue(map, key);
        return Traced(BpfCommand.BPF_MAP_DELETE_ELEM, new MapElemAttr(fd, 0, !key.IsEmpty), result);
    }

    /// <summary>BPF_MAP_GET_NEXT_KEY: an empty key asks for the first one; -ENOENT after the last.</summary>
    public int MapGetNextKey(int fd, ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        int result = Access(fd, write: false, 0, out MapObject map);
        if (result == 0) result = CheckKey(map, key, mayBeEmpty: true);
        if (result == 0 && nextKey.Length < map.Map.Spec.KeySize) result = -(int)Errno.EFAULT;
        if (result == 0) result = map.Map.GetNextKey(key, nextKey);
        return Traced(BpfCommand.BPF_MAP_GET_NEXT_KEY, new MapElemAttr(fd, 0, !key.IsEmpty), result);
    }

    /// <summary>BPF_MAP_LOOKUP_AND_DELETE_ELEM: reads and removes; of queues and stacks, pops.</summary>
    public int MapLookupAndDeleteElem(int fd, ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0)
    {
        int result = Access(fd, write: false, 0, out MapObject map);
        if ((flags & ~ElemFlagLock) != 0) result = -(int)Errno.EINVAL;
        if (result == 0) result = Access(fd, write: true, flags & ElemFlagLock, out map);
        if (result == 0) result = CheckKey(map, key, mayBeEmpty: map.Map.Spec.KeySize == 0);
        if (result == 0 && value.Length < map.UserValueSize) result = -(int)Errno.EFAULT;
        if (result == 0) result = LookupAndDelete(map, key, value, flags);
        return Traced(BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_ELEM, new MapElemAttr(fd, flags, !key.IsEmpty), result);
    }

    /// <summary>BPF_MAP_FREEZE: user space can no longer write; -EPERM if it is frozen already.</summary>
    public int MapFreeze(int fd)
    {
        int result = Resolve(fd, out MapObject map);
        if (result == 0)
        {
            result = (map.Map.Spec.Flags & FlagRdonly) != 0 ? -(int)Errno.EPERM
                : map.Map.Freeze();
        }
        return Traced(BpfCommand.BPF_MAP_FREEZE, new MapElemAttr(fd, 0), result);
    }

    /// <summary>Resolves the descriptor and checks what user space may do: RDONLY, WRONLY, frozen, F_LOCK without a lock.</summary>
    private int Access(int fd, bool write, ulong lockFlag, out MapObject map)
    {
        int error = Resolve(fd, out map);
        if (error != 0) return error;
        MapSpec spec = map.Map.Spec;
        if (write ? (spec.Flags & FlagRdonly) != 0 || map.Map.Frozen : (spec.Flags & FlagWronly) != 0) return -(int)Errno.EPERM;
        if (lockFlag != 0 && !spec.SpecialFields.Any(f => f.Kind is SpecialFieldKind.SpinLock)) return -(int)Errno.EINVAL;
        return 0;
    }

    private static int CheckKey(MapObject map, ReadOnlySpan<byte> key, bool mayBeEmpty)
    {
        uint size = map.Map.Spec.KeySize;
        if (key.IsEmpty) return mayBeEmpty ? 0 : -(int)Errno.EFAULT;
        return size == 0 ? -(int)Errno.EINVAL : key.Length < size ? -(int)Errno.EFAULT : 0;
    }

    private static int LookupAndDelete(MapObject map, ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        if (map.Map.Spec.Type is MapType.Queue or MapType.Stack && flags != 0) return -(int)Errno.EINVAL;
        return map.Map.LookupAndDelete(KeyOf(map, key), value, flags);
    }

    /// <summary>BPF_MAP_LOOKUP_BATCH: fills keys and values; -ENOENT with the last ones.</summary>
    public int MapLookupBatch(MapBatchAttr attr) => Traced(BpfCommand.BPF_MAP_LOOKUP_BATCH, attr, LookupBatch(attr, delete: false));

    /// <summary>BPF_MAP_LOOKUP_AND_DELETE_BATCH.</summary>
    public int MapLookupAndDeleteBatch(MapBatchAttr attr) => Traced(BpfCommand.BPF_MAP_LOOKUP_AND_DELETE_BATCH, attr, LookupBatch(attr, delete: true));

    /// <summary>BPF_MAP_UPDATE_BATCH: <see cref="MapBatchAttr.Count"/> says how many were done.</summary>
    public int MapUpdateBatch(MapBatchAttr attr)
    {
        int result = Access(attr.MapFd, write: true, 0, out MapObject map);
        if (result == 0 && UpdateReferences(map, attr) is { } references) result = references;
        else if (result == 0)
        {
            uint count = attr.Count;
            result = map.Map.UpdateBatch(attr.Keys, attr.Values, ref count, attr.ElemFlags);
            attr.Count = count;
        }
        return Traced(BpfCommand.BPF_MAP_UPDATE_BATCH, attr, result);
    }

    /// <summary>BPF_MAP_DELETE_BATCH.</summary>
    public int MapDeleteBatch(MapBatchAttr attr)
    {
        int result = Access(attr.MapFd, write: true, 0, out MapObject map);
        if (result == 0)
        {
            uint count = attr.Count;
            result = map.Map.DeleteBatch(attr.Keys, ref count, attr.ElemFlags);
            attr.Count = count;
        }
        return Traced(BpfCommand.BPF_MAP_DELETE_BATCH, attr, result);
    }

    /// <summary>BPF_MAP_UPDATE_BATCH of maps whose values are descriptors, one by one; null for other kinds.</summary>
    private int? UpdateReferences(MapObject map, MapBatchAttr attr)
    {
        if (map.Map.Spec.Type is not (MapType.ArrayOfMaps or MapType.HashOfMaps)) return null;
        if ((attr.ElemFlags & ~ElemFlagLock) != 0) return -(int)Errno.EINVAL;
        uint count = attr.Count;
        int keySize = (int)map.Map.Spec.KeySize;
        if (attr.Keys.Length < count * keySize || attr.Values.Length < count * 4) return -(int)Errno.EFAULT;
        for (attr.Count = 0; attr.Count < count; attr.Count++)
        {
            int at = (int)attr.Count;
            int error = UpdateValue(map, attr.Keys.AsSpan(at * keySize, keySize), attr.Values.AsSpan(at * 4, 4), attr.ElemFlags);
            if (error != 0) return error;
        }
        return 0;
    }

    private int LookupBatch(MapBatchAttr attr, bool delete)
    {
        int error = Access(attr.MapFd, write: false, 0, out MapObject map);
        if (error == 0 && delete) error = Access(attr.MapFd, write: true, 0, out map);
        if (error != 0) return error;
        // Only the hash kinds look at these flags.
        if (attr.Flags != 0 && map.Map.Spec.Type is MapType.Hash or MapType.PercpuHash or MapType.LruHash or MapType.LruPercpuHash) return -(int)Errno.EINVAL;
        uint count = attr.Count;
        var token = new byte[Math.Max(4, map.Map.Spec.KeySize)];
        int result = map.Map.LookupBatch(attr.InBatch, token, attr.Keys, attr.Values, ref count, attr.ElemFlags, delete);
        attr.Count = count;
        attr.OutBatch = token;
        return result;
    }
}

/// <summary>What the element commands are given besides key and value.</summary>
public sealed record MapElemAttr(int MapFd, ulong Flags, bool HasKey = false);
