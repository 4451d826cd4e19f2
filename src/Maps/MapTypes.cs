using System.Collections.Frozen;

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

    private static readonly FrozenDictionary<MapType, MapTypeInfo> s_byType = Build().ToFrozenDictionary(r => r.Type);
    private static readonly FrozenDictionary<string, MapTypeInfo> s_byName = s_byType.Values.ToFrozenDictionary(r => r.Name);

    /// <summary>All rows in the order of the kernel's numbers.</summary>
    public static IEnumerable<MapTypeInfo> Rows => s_byType.Values.OrderBy(r => r.Type);

    /// <summary>The row of a kind, or null if Linux 6.18 does not have it.</summary>
    public static MapTypeInfo? Find(MapType type) => s_byType.GetValueOrDefault(type);

    /// <summary>The row with bpftool's name, or null.</summary>
    public static MapTypeInfo? Find(string name) => s_byName.GetValueOrDefault(name);

    /// <summary>The row of a kind that exists.</summary>
    public static MapTypeInfo Get(MapType type) => s_byType[type];

    private static MapTypeInfo[] Build() =>
    [
        new() { Type = MapType.Hash, Name = "hash", Helpers = s_iterable, Flags = HashFlags, SpecialFields = s_hashFields,
            Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.Array, Name = "array", Helpers = s_iterable, SpecialFields = s_hashFields,
            Flags = MapFlags.NumaNode | MapFlags.Mmapable | MapFlags.InnerMap | Access,
            Check = MapChecks.Array, Create = (s, c) => new ArrayMap(s, c) },
        new() { Type = MapType.PercpuHash, Name = "percpu_hash", IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = HashFlags & ~MapFlags.NumaNode, Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.LruHash, Name = "lru_hash", Helpers = s_iterable, SpecialFields = s_hashFields,
            Flags = (HashFlags & ~MapFlags.NoPrealloc) | MapFlags.NoCommonLru, Check = MapChecks.Hash, Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.LruPercpuHash, Name = "lru_percpu_hash", IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = (HashFlags & ~(MapFlags.NoPrealloc | MapFlags.NumaNode)) | MapFlags.NoCommonLru, Check = MapChecks.Hash,
            Create = (s, c) => new HashMap(s, c) },
        new() { Type = MapType.PercpuArray, Name = "percpu_array", IsPerCpu = true, Helpers = s_perCpu, SpecialFields = s_perCpuFields,
            Flags = Access, Check = MapChecks.Array, Create = (s, c) => new ArrayMap(s, c) },
    ];
}
