namespace BpfSim.Maps;

/// <summary>The kernel's size checks at creation, kind by kind; flags are in the table. Limits probed on Linux 6.18, x86-64.</summary>
internal static class MapChecks
{
    /// <summary>The largest block of kmalloc: 4 MiB.</summary>
    public const uint KmallocMax = 1u << 22;

    /// <summary>The largest block of the per-CPU allocator: 32 KiB.</summary>
    public const uint PercpuMax = 1u << 15;

    /// <summary>The largest key that programs can build on their stack.</summary>
    public const uint MaxStack = 512;

    private const uint HashElementHeader = 48;
    private const uint MaxBuckets = 1u << 28;
    private const uint MaxStackFrames = 127;
    private const uint MaxCpus = 8192;
    private const uint MaxStorageValue = 65535 - 128;

    public static Errno Array(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || s.KeySize != 4 || s.ValueSize == 0) return Errno.EINVAL;
        if (s.ValueSize > int.MaxValue) return Errno.E2BIG;
        if (s.Type == MapType.PercpuArray && BpfMap.RoundUp8(s.ValueSize) > PercpuMax) return Errno.E2BIG;
        return (ulong)s.MaxEntries * BpfMap.RoundUp8(s.ValueSize) > uint.MaxValue ? Errno.ENOMEM : Errno.None;
    }

    public static Errno Hash(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || s.KeySize == 0 || s.ValueSize == 0) return Errno.EINVAL;
        if ((ulong)s.KeySize + s.ValueSize >= KmallocMax - HashElementHeader) return Errno.E2BIG;
        if (MapTypes.Get(s.Type).IsPerCpu && BpfMap.RoundUp8(s.ValueSize) > PercpuMax) return Errno.E2BIG;
        return s.MaxEntries > MaxBuckets ? Errno.E2BIG : Errno.None;
    }

    public static Errno ReferenceArray(MapSpec s, uint cpus) => s.ValueSize != 4 ? Errno.EINVAL : Array(s, cpus);

    public static Errno OfMaps(MapSpec s, uint cpus)
    {
        if (s.ValueSize != 4 || s.InnerMap is not { } inner) return Errno.EINVAL;
        if (inner.Type is MapType.ArrayOfMaps or MapType.HashOfMaps) return Errno.EINVAL;
        if (inner.Type is MapType.ProgArray or MapType.CgroupStorage or MapType.PercpuCgroupStorage or MapType.StructOps) return Errno.ENOTSUPP;
        return s.Type == MapType.ArrayOfMaps ? Array(s, cpus) : Hash(s, cpus);
    }

    /// <summary>Whether a map may become an inner map where another one stood model: capacity counts only for arrays without INNER_MAP.</summary>
    public static bool FitsInner(MapSpec model, MapSpec inner) =>
        model.Type == inner.Type && model.KeySize == inner.KeySize && model.ValueSize == inner.ValueSize && model.Flags == inner.Flags
        && model.SpecialFields.SequenceEqual(inner.SpecialFields)
        && (model.Type != MapType.Array || ((MapFlags)model.Flags & MapFlags.InnerMap) != 0 || model.MaxEntries == inner.MaxEntries);

    public static Errno StackTrace(MapSpec s, uint cpus)
    {
        var frame = ((MapFlags)s.Flags & MapFlags.StackBuildId) != 0 ? 32u : 8u;
        if (s.MaxEntries == 0 || s.KeySize != 4 || s.ValueSize < 8 || s.ValueSize % frame != 0) return Errno.EINVAL;
        return s.ValueSize / frame > MaxStackFrames ? Errno.EINVAL : s.MaxEntries > 1u << 31 ? Errno.E2BIG : Errno.None;
    }

    public static Errno LpmTrie(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || ((MapFlags)s.Flags & MapFlags.NoPrealloc) == 0) return Errno.EINVAL;
        if (s.KeySize is < 5 or > 260 || s.ValueSize == 0) return Errno.EINVAL;
        return s.ValueSize > KmallocMax - 256 - 24 ? Errno.EINVAL : Errno.None;
    }

    public static Errno Device(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || s.KeySize != 4 || s.ValueSize is not (4 or 8)) return Errno.EINVAL;
        return s.Type == MapType.Cpumap && s.MaxEntries > MaxCpus ? Errno.E2BIG : Errno.None;
    }

    public static Errno Xsk(MapSpec s, uint cpus) => s.MaxEntries == 0 || s.KeySize != 4 || s.ValueSize != 4 ? Errno.EINVAL : Errno.None;

    public static Errno Socket(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || s.ValueSize is not (4 or 8)) return Errno.EINVAL;
        if (s.Type != MapType.Sockhash) return s.KeySize != 4 ? Errno.EINVAL : Errno.None;
        return s.KeySize == 0 ? Errno.EINVAL : s.KeySize > MaxStack ? Errno.E2BIG : Errno.None;
    }

    public static Errno CgroupStorage(MapSpec s, uint cpus)
    {
        if (s.KeySize is not (8 or 16) || s.ValueSize == 0) return Errno.EINVAL;
        if (s.ValueSize > (s.Type == MapType.CgroupStorage ? KmallocMax - 64 : PercpuMax)) return Errno.E2BIG;
        return s.MaxEntries != 0 ? Errno.EINVAL : Errno.None;
    }

    public static Errno Queue(MapSpec s, uint cpus)
    {
        if (s.MaxEntries == 0 || s.KeySize != 0 || s.ValueSize == 0) return Errno.EINVAL;
        return s.ValueSize > KmallocMax ? Errno.E2BIG : Errno.None;
    }

    public static Errno LocalStorage(MapSpec s, uint cpus)
    {
        if (((MapFlags)s.Flags & MapFlags.NoPrealloc) == 0 || s.MaxEntries != 0 || s.KeySize != 4 || s.ValueSize == 0) return Errno.EINVAL;
        if (s.BtfKeyTypeId == 0 || s.BtfValueTypeId == 0) return Errno.EINVAL;
        return s.ValueSize > MaxStorageValue ? Errno.E2BIG : Errno.None;
    }

    public static Errno StructOps(MapSpec s, uint cpus) =>
        s.KeySize != 4 || s.MaxEntries != 1 || s.BtfVmlinuxValueTypeId == 0 ? Errno.EINVAL : Errno.None;

    public static Errno Ringbuf(MapSpec s, uint cpus)
    {
        if (s.KeySize != 0 || s.ValueSize != 0 || s.MaxEntries == 0) return Errno.EINVAL;
        return !System.Numerics.BitOperations.IsPow2(s.MaxEntries) || s.MaxEntries % 4096 != 0 ? Errno.EINVAL : Errno.None;
    }

    public static Errno BloomFilter(MapSpec s, uint cpus)
    {
        if (s.KeySize != 0 || s.ValueSize == 0 || s.MaxEntries == 0 || s.MapExtra > 15) return Errno.EINVAL;
        return s.ValueSize > KmallocMax ? Errno.E2BIG : Errno.None;
    }

    public static Errno Arena(MapSpec s, uint cpus)
    {
        if (s.KeySize != 0 || s.ValueSize != 0 || s.MaxEntries == 0 || ((MapFlags)s.Flags & MapFlags.Mmapable) == 0) return Errno.EINVAL;
        if (s.MapExtra % 4096 != 0) return Errno.EINVAL;
        return s.MaxEntries > 1u << 20 ? Errno.E2BIG : Errno.None;
    }
}
