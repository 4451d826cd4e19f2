namespace BpfSim.Maps;

/// <summary>One row of the table of map types: everything that anybody knows about a kind.</summary>
public sealed record MapTypeInfo
{
    internal delegate BpfMap Creator(MapSpec spec, uint cpus);

    /// <summary>The kernel's number.</summary>
    public required MapType Type { get; init; }

    /// <summary>The name that bpftool prints, such as <c>lru_hash</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Whether every CPU has a value of its own under each key.</summary>
    public bool IsPerCpu { get; init; }

    /// <summary>What the map's values refer to, for kinds that user space fills with descriptors or ids.</summary>
    public MapReferenceKind References { get; init; }

    /// <summary>Ids (enum bpf_func_id) of the helpers that may get a map of this kind as an argument.</summary>
    public required IReadOnlyList<int> Helpers { get; init; }

    /// <summary>Creation flags that the kind accepts.</summary>
    public required MapFlags Flags { get; init; }

    /// <summary>Which special fields values may have.</summary>
    public IReadOnlyList<SpecialFieldKind> SpecialFields { get; init; } = [];

    /// <summary>Checks of the kernel at creation beyond flags: the errno, or None. Gets the number of possible CPUs.</summary>
    internal Func<MapSpec, uint, Errno> Check { get; init; } = (_, _) => Errno.EINVAL;

    /// <summary>Makes the map of a spec that passed the checks.</summary>
    internal Creator Create { get; init; } = (_, _) => throw new NotSupportedException();

    /// <summary>Which batch commands the kind has.</summary>
    public MapBatch Batch { get; init; }

    /// <summary>Whether the kind has a batch command.</summary>
    public bool HasBatch(MapBatch command) => (Batch & command) != 0;

    /// <summary>Whether a helper may get a map of this kind.</summary>
    public bool AllowsHelper(int helperId) => Helpers.Contains(helperId);
}

/// <summary>What the values of a map refer to.</summary>
public enum MapReferenceKind { None, Map, Program, PerfEvent, Cgroup, Socket }

/// <summary>
/// The table of map types, the single source for creation, verifier, loader and agent. Facts: the behaviour
/// of Linux 6.18, probed through bpf(2), and the kernel's documentation of each kind.
/// </summary>
public static class MapTypes
{
    private const MapFlags Access = MapFlags.Rdonly | MapFlags.Wronly | MapFlags.RdonlyProg | MapFlags.WronlyProg;
    private const MapFlags UserAccess = MapFlags.Rdonly | MapFlags.Wronly;
    private const MapFlags HashFlags = MapFlags.NoPrealloc | MapFlags.NumaNode | MapFlags.ZeroSeed | Access;

    private const MapBatch AllBatch = MapBatch.Lookup | MapBatch.LookupAndDelete | MapBatch.Update | MapBatch.Delete;

    private static readonly int[] s_lookupOnly = [1];
    private static readonly int[] s_generic = [1, 2, 3];
    private static readonly int[] s_iterable = [1, 2, 3, 164];
    private static readonly int[] s_perCpu = [1, 2, 3, 164, 195];

    private static readonly SpecialFieldKind[] s_storageFields =
        [SpecialFieldKind.SpinLock, SpecialFieldKind.ResSpinLock, SpecialFieldKind.KptrUnref, SpecialFieldKind.KptrRef, SpecialFieldKind.KptrPercpu,
            SpecialFieldKind.Refcount, SpecialFieldKind.ListHead, SpecialFieldKind.RbRoot];

    private static readonly SpecialFieldKind[] s_hashFields =
        [.. s_storageFields, SpecialFieldKind.Timer, SpecialFieldKind.Workqueue, SpecialFieldKind.TaskWork];

    private static readonly SpecialFieldKind[] s_perCpuFields =
        [SpecialFieldKind.KptrUnref, SpecialFieldKind.KptrRef, SpecialFieldKind.KptrPercpu, SpecialFieldKind.Refcount];

    // By the kernel's number; null where Linux 6.18 has no such kind.
    private static readonly MapTypeInfo?[] s_byType = ByType();

    /// <summary>All rows in the order of the kernel's numbers.</summary>
    public static IEnumerable<MapTypeInfo> Rows => s_byType.OfType<MapTypeInfo>();

    /// <summary>The row of a kind, or null if Linux 6.18 does not have it.</summary>
    public static MapTypeInfo? Find(MapType type) => (uint)type < (uint)s_byType.Length ? s_byType[(int)type] : null;

    /// <summary>The row with bpftool's name, or null.</summary>
    public static MapTypeInfo? Find(string name) => Array.Find(s_byType, r => r?.Name == name);

    /// <summary>The row of a kind that exists.</summary>
    public static MapTypeInfo Get(MapType type) =>
        Find(type) ?? throw new ArgumentOutOfRangeException(nameof(type), type, "no such map type");

    private static MapTypeInfo?[] ByType()
    {
        MapTypeInfo[] rows = Build();
        var byType = new MapTypeInfo?[(int)rows[^1].Type + 1];
        foreach (MapTypeInfo row in rows) byType[(int)row.Type] = row;
        return byType;
    }

    private static MapTypeInfo[] Build() =>
    [
        new() { Type = MapType.Hash, Name = "hash", Batch = AllBatch, Helpers = s_iterable, Flags = HashFlags, SpecialFields = s_hashFields,
            Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.Array, Name = "array", Batch = MapBatch.Lookup | MapBatch.Update, Helpers = s_iterable, SpecialFields = s_hashFields,
            Flags = MapFlags.NumaNode | MapFlags.Mmapable | MapFlags.InnerMap | Access,
            Check = MapChecks.Array, Create = (s, c) => new ArrayMap(s, c) },
        new() { Type = MapType.PercpuHash, Name = "percpu_hash", Batch = AllBatch, IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = HashFlags & ~MapFlags.NumaNode, Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.LruHash, Name = "lru_hash", Batch = AllBatch, Helpers = s_iterable, SpecialFields = [.. s_hashFields.Where(f => f is not (SpecialFieldKind.SpinLock or SpecialFieldKind.ResSpinLock))],
            Flags = (HashFlags & ~MapFlags.NoPrealloc) | MapFlags.NoCommonLru, Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.LruPercpuHash, Name = "lru_percpu_hash", Batch = AllBatch, IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = (HashFlags & ~(MapFlags.NoPrealloc | MapFlags.NumaNode)) | MapFlags.NoCommonLru, Check = MapChecks.Hash,
            Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.PercpuArray, Name = "percpu_array", Batch = MapBatch.Lookup | MapBatch.Update, IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = Access, Check = MapChecks.Array, Create = (s, c) => new ArrayMap(s, c) },
        new() { Type = MapType.ProgArray, Name = "prog_array", References = MapReferenceKind.Program, Helpers = [12],
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.ReferenceArray, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.PerfEventArray, Name = "perf_event_array", References = MapReferenceKind.PerfEvent, Helpers = [22, 25, 55, 111, 121],
            Flags = MapFlags.NumaNode | MapFlags.PreserveElems | UserAccess, Check = MapChecks.ReferenceArray,
            Create = (s, c) => new PerfEventArrayMap(s, c) },
        new() { Type = MapType.StackTrace, Name = "stack_trace", Helpers = [27], Flags = MapFlags.NumaNode | MapFlags.StackBuildId | UserAccess,
            Check = MapChecks.StackTrace, Create = (s, c) => new StackTraceMap(s, c) },
        new() { Type = MapType.CgroupArray, Name = "cgroup_array", References = MapReferenceKind.Cgroup, Helpers = [33, 37],
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.ReferenceArray, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.LpmTrie, Name = "lpm_trie", Batch = MapBatch.Lookup | MapBatch.Update | MapBatch.Delete, Helpers = s_generic, SpecialFields = s_hashFields,
            Flags = MapFlags.NoPrealloc | MapFlags.NumaNode | Access, Check = MapChecks.LpmTrie, Create = (s, c) => new LpmTrieMap(s, c) },
        new() { Type = MapType.ArrayOfMaps, Name = "array_of_maps", Batch = MapBatch.Lookup | MapBatch.Update, References = MapReferenceKind.Map, Helpers = s_lookupOnly,
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.OfMaps, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.HashOfMaps, Name = "hash_of_maps", Batch = AllBatch, References = MapReferenceKind.Map, Helpers = s_lookupOnly,
            Flags = HashFlags, Check = MapChecks.OfMaps, Create = (s, c) => new HashOfMaps(s, c) },
        new() { Type = MapType.Devmap, Name = "devmap", Helpers = [1, 51], Flags = MapFlags.NumaNode | UserAccess,
            Check = MapChecks.Device, Create = (s, c) => new DeviceMap(s, c) },
        new() { Type = MapType.Sockmap, Name = "sockmap", References = MapReferenceKind.Socket, Helpers = [1, 2, 3, 52, 53, 60, 82],
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.Socket, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.Cpumap, Name = "cpumap", Helpers = [51], Flags = MapFlags.NumaNode,
            Check = MapChecks.Device, Create = (s, c) => new DeviceMap(s, c) },
        new() { Type = MapType.Xskmap, Name = "xskmap", References = MapReferenceKind.Socket, Helpers = [1, 51],
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.Xsk, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.Sockhash, Name = "sockhash", References = MapReferenceKind.Socket, Helpers = [1, 2, 3, 70, 71, 72, 82],
            Flags = MapFlags.NumaNode | UserAccess, Check = MapChecks.Socket, Create = (s, c) => new OpaqueMap(s, c) },
        new() { Type = MapType.CgroupStorage, Name = "cgroup_storage", Helpers = [81], SpecialFields = [SpecialFieldKind.SpinLock],
            Flags = MapFlags.NumaNode | Access, Check = MapChecks.CgroupStorage, Create = (s, c) => new OpaqueMap(s, c) },
        new() { Type = MapType.ReuseportSockarray, Name = "reuseport_sockarray", References = MapReferenceKind.Socket, Helpers = [82],
            Flags = MapFlags.NumaNode | Access, Check = MapChecks.Socket, Create = (s, c) => new ReferenceArray(s, c) },
        new() { Type = MapType.PercpuCgroupStorage, Name = "percpu_cgroup_storage", IsPerCpu = true, Helpers = [81],
            Flags = MapFlags.NumaNode | Access, Check = MapChecks.CgroupStorage, Create = (s, c) => new OpaqueMap(s, c) },
        new() { Type = MapType.Queue, Name = "queue", Helpers = [87, 88, 89], Flags = MapFlags.NumaNode | Access,
            Check = MapChecks.Queue, Create = (s, c) => new QueueMap(s, c) },
        new() { Type = MapType.Stack, Name = "stack", Helpers = [87, 88, 89], Flags = MapFlags.NumaNode | Access,
            Check = MapChecks.Queue, Create = (s, c) => new QueueMap(s, c) },
        new() { Type = MapType.SkStorage, Name = "sk_storage", Helpers = [107, 108, 194], SpecialFields = s_storageFields,
            Flags = MapFlags.NoPrealloc | MapFlags.Clone, Check = MapChecks.LocalStorage, Create = (s, c) => new LocalStorageMap(s, c) },
        new() { Type = MapType.DevmapHash, Name = "devmap_hash", Helpers = [1, 51], Flags = MapFlags.NumaNode | UserAccess,
            Check = MapChecks.Device, Create = (s, c) => new DeviceMap(s, c) },
        new() { Type = MapType.StructOps, Name = "struct_ops", Helpers = s_generic, Flags = MapFlags.VtypeBtfObjFd | MapFlags.Link,
            Check = MapChecks.StructOps, Create = (s, c) => new OpaqueMap(s, c) },
        new() { Type = MapType.Ringbuf, Name = "ringbuf", Helpers = [130, 131, 134, 198, 199, 200], Flags = MapFlags.NumaNode,
            Check = MapChecks.Ringbuf, Create = (s, c) => new RingbufMap(s, c) },
        new() { Type = MapType.InodeStorage, Name = "inode_storage", Helpers = [145, 146, 194], SpecialFields = s_storageFields,
            Flags = MapFlags.NoPrealloc | MapFlags.Clone, Check = MapChecks.LocalStorage, Create = (s, c) => new LocalStorageMap(s, c) },
        new() { Type = MapType.TaskStorage, Name = "task_storage", Helpers = [156, 157, 194], SpecialFields = [.. s_storageFields, SpecialFieldKind.Uptr],
            Flags = MapFlags.NoPrealloc | MapFlags.Clone, Check = MapChecks.LocalStorage, Create = (s, c) => new LocalStorageMap(s, c) },
        new() { Type = MapType.BloomFilter, Name = "bloom_filter", Helpers = [87, 89], Flags = MapFlags.NumaNode | MapFlags.ZeroSeed | Access,
            Check = MapChecks.BloomFilter, Create = (s, c) => new BloomFilterMap(s, c) },
        new() { Type = MapType.UserRingbuf, Name = "user_ringbuf", Helpers = [209], Flags = MapFlags.NumaNode,
            Check = MapChecks.Ringbuf, Create = (s, c) => new UserRingbufMap(s, c) },
        new() { Type = MapType.CgrpStorage, Name = "cgrp_storage", Helpers = [194, 210, 211], SpecialFields = s_storageFields,
            Flags = MapFlags.NoPrealloc | MapFlags.Clone, Check = MapChecks.LocalStorage, Create = (s, c) => new LocalStorageMap(s, c) },
        new() { Type = MapType.Arena, Name = "arena", Helpers = [], Flags = MapFlags.Mmapable | MapFlags.SegvOnFault | MapFlags.NoUserConv,
            Check = MapChecks.Arena, Create = (s, c) => new OpaqueMap(s, c) },
    ];
}
