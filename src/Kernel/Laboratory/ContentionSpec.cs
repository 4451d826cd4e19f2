using BpfSim.Maps;

namespace BpfSim.Kernel.Laboratory;

/// <summary>How keys are chosen.</summary>
public enum KeyDistribution
{
    /// <summary>All keys alike.</summary>
    Uniform,

    /// <summary>The k-th key with weight 1 / k^s.</summary>
    Zipf,

    /// <summary>One key takes nine of ten operations, the others share the rest.</summary>
    Hot,

    /// <summary>Every CPU has keys of its own.</summary>
    Disjoint,
}

/// <summary>How a program adds to a counter in a map.</summary>
public enum UpdateStyle
{
    /// <summary>Load, add, store: what <c>(*value)++</c> compiles to.</summary>
    Plain,

    /// <summary>__sync_fetch_and_add.</summary>
    Atomic,

    /// <summary>Under a bpf_spin_lock in the value.</summary>
    SpinLock,

    /// <summary>A counter a CPU, in the per-CPU kind of the map; user space adds them up.</summary>
    PerCpu,

    /// <summary>Not by the program: a message to the map's actor for every addition.</summary>
    Mailbox,
}

/// <summary>One experiment: which map, which load, on how many CPUs.</summary>
public sealed record ContentionSpec
{
    /// <summary>What the experiment is called in reports; presets have the kernel's benchmark names.</summary>
    public string Name { get; init; } = "custom";

    /// <summary>The map kind: array, hash or lru_hash, or one of their per-CPU kinds; task_storage; ringbuf and perf_event_array for records.</summary>
    public MapType Kind { get; init; } = MapType.Hash;

    /// <summary>Key size in bytes: 4 for arrays, else 4 to 512.</summary>
    public uint KeySize { get; init; } = 4;

    /// <summary>Value size in bytes: at least 8 for the counter; the rest is ballast.</summary>
    public uint ValueSize { get; init; } = 8;

    /// <summary>Capacity of the map.</summary>
    public uint MaxEntries { get; init; } = 10_000;

    /// <summary>Number of different keys; above the capacity of an LRU map it evicts, above that of another one updates fail.</summary>
    public uint Keys { get; init; } = 1_000;

    /// <summary>How keys are chosen.</summary>
    public KeyDistribution Distribution { get; init; } = KeyDistribution.Uniform;

    /// <summary>Exponent of the Zipf distribution, above 0.</summary>
    public double ZipfExponent { get; init; } = 1.0;

    /// <summary>Per cent of operations that only look.</summary>
    public int ReadPercent { get; init; }

    /// <summary>Per cent of operations that delete; the rest add to a counter.</summary>
    public int DeletePercent { get; init; }

    /// <summary>How counters are added to.</summary>
    public UpdateStyle Style { get; init; } = UpdateStyle.Plain;

    /// <summary>False for BPF_F_NO_PREALLOC (hashes).</summary>
    public bool Preallocate { get; init; } = true;

    /// <summary>BPF_F_NO_COMMON_LRU.</summary>
    public bool OwnLruLists { get; init; }

    /// <summary>Every update replaces the whole element by bpf_map_update_elem instead of adding in place.</summary>
    public bool FullUpdate { get; init; }

    /// <summary>Numbers of CPUs to measure, each a run of its own.</summary>
    public IReadOnlyList<uint> Cpus { get; init; } = [1, 2];

    /// <summary>How long each run lasts.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Seed of the keys' choice.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Whether other kinds and styles are tried for the same load, for the verdict.</summary>
    public bool Compare { get; init; } = true;

    /// <summary>The kind that is really created: the per-CPU one for <see cref="UpdateStyle.PerCpu"/>.</summary>
    public MapType EffectiveKind => Style != UpdateStyle.PerCpu ? Kind : Kind switch
    {
        MapType.Array => MapType.PercpuArray,
        MapType.Hash => MapType.PercpuHash,
        MapType.LruHash => MapType.LruPercpuHash,
        _ => Kind,
    };

    /// <summary>Whether CPUs send records to a consumer instead of counting: ringbuf and perf_event_array, of <see cref="MaxEntries"/> bytes in all.</summary>
    public bool CarriesRecords => Kind is MapType.Ringbuf or MapType.PerfEventArray;

    /// <summary>Whether the keys are objects of the kernel that carry the values.</summary>
    public bool IsStorage => Kind == MapType.TaskStorage;

    /// <summary>Says in one line what is wrong with the experiment, null if nothing is.</summary>
    public string? Problem()
    {
        var array = Kind is MapType.Array or MapType.PercpuArray;
        if (CarriesRecords)
        {
            if (ValueSize < 8) return $"value size {ValueSize}: records have at least 8 bytes";
            if (Style != UpdateStyle.Plain || ReadPercent + DeletePercent > 0) return "records are only sent: no style, no reads, no deletions";
            if (MaxEntries < 4096 || !System.Numerics.BitOperations.IsPow2(MaxEntries)) return $"max_entries {MaxEntries}: buffers have a power of two of bytes, at least 4096";
            if (Cpus.Count == 0 || Cpus.Any(c => c is 0 or > 256)) return $"cpus {string.Join(',', Cpus)}: from 1 to 256";
            return Duration <= TimeSpan.Zero ? $"duration {Duration}: it must be above 0" : null;
        }

        if (!array && !IsStorage && Kind is not (MapType.Hash or MapType.PercpuHash or MapType.LruHash or MapType.LruPercpuHash))
            return $"kind {MapTypes.Find(Kind)?.Name ?? Kind.ToString()} holds no counters: choose array, hash, lru_hash or their percpu kinds, task_storage, ringbuf or perf_event_array";
        if (IsStorage && (Style is UpdateStyle.PerCpu or UpdateStyle.Mailbox || FullUpdate)) return "local storage is updated in place by programs: plain, atomic or spinlock";
        if (Keys == 0) return "keys = 0: there must be at least one key";
        if (ValueSize < (Style == UpdateStyle.SpinLock ? 16 : 8))
            return $"value size {ValueSize}: a counter {(Style == UpdateStyle.SpinLock ? "and its lock need 16 bytes" : "needs 8 bytes")}";
        if (KeySize < 4) return $"key size {KeySize}: keys have at least 4 bytes";
        if (array && Keys > MaxEntries) return $"{Keys} keys do not fit into an array of {MaxEntries}";
        if (array && DeletePercent > 0) return "elements of arrays cannot be deleted";
        if (ReadPercent < 0 || DeletePercent < 0 || ReadPercent + DeletePercent > 100)
            return $"read {ReadPercent} % and delete {DeletePercent} % leave nothing for updates";
        if (Distribution == KeyDistribution.Zipf && !(ZipfExponent > 0)) return $"zipf exponent {ZipfExponent}: it must be above 0";
        if (Style == UpdateStyle.SpinLock && MapTypes.Get(Kind).IsPerCpu) return "values of per-CPU maps have no spin lock";
        if (Cpus.Count == 0 || Cpus.Any(c => c is 0 or > 256)) return $"cpus {string.Join(',', Cpus)}: from 1 to 256";
        if (Duration <= TimeSpan.Zero) return $"duration {Duration}: it must be above 0";
        var errno = MapFactory.Check(MapSpec(Cpus.Max()), Cpus.Max());
        return errno == Errno.None ? null : $"the kernel refuses this map with {errno}";
    }

    /// <summary>The map that the experiment creates.</summary>
    internal MapSpec MapSpec(uint cpus)
    {
        if (Kind == MapType.Ringbuf) return new MapSpec { Name = "laboratory", Type = Kind, MaxEntries = MaxEntries };
        if (Kind == MapType.PerfEventArray) return new MapSpec { Name = "laboratory", Type = Kind, KeySize = 4, ValueSize = 4, MaxEntries = cpus };
        var flags = IsStorage ? MapFlags.NoPrealloc : MapFlags.None;
        if (!Preallocate && EffectiveKind is MapType.Hash or MapType.PercpuHash && !Preallocate) flags |= MapFlags.NoPrealloc;
        if (OwnLruLists && EffectiveKind is MapType.LruHash or MapType.LruPercpuHash && OwnLruLists) flags |= MapFlags.NoCommonLru;
        return new MapSpec
        {
            Name = "laboratory",
            Type = EffectiveKind,
            KeySize = KeySize,
            ValueSize = ValueSize,
            MaxEntries = IsStorage ? 0 : MaxEntries,
            // Storage maps must have BTF; its content does not matter here.
            BtfKeyTypeId = IsStorage ? 1u : 0,
            BtfValueTypeId = IsStorage ? 2u : 0,
            Flags = (uint)flags,
            SpecialFields = Style == UpdateStyle.SpinLock ? [new SpecialField(SpecialFieldKind.SpinLock, 8, 4)] : [],
        };
    }
}

/// <summary>Experiments with the names of the kernel's own benchmarks (tools/testing/selftests/bpf/bench) and what those load.</summary>
public static class ContentionPresets
{
    /// <summary>All presets.</summary>
    public static IReadOnlyList<ContentionSpec> All { get; } =
    [
        new() { Name = "hashmap-lookup", Kind = MapType.Hash, ReadPercent = 100, MaxEntries = 1000, Keys = 500 },
        new() { Name = "hashmap-full-update", Kind = MapType.Hash, MaxEntries = 1000, Keys = 1000, FullUpdate = true },
        new() { Name = "htab-mem", Kind = MapType.Hash, Preallocate = false, MaxEntries = 16384, Keys = 8192, DeletePercent = 50, Distribution = KeyDistribution.Disjoint },
        new() { Name = "ringbufs", Kind = MapType.Ringbuf, MaxEntries = 512 << 10, ValueSize = 16, Keys = 1 },
        new() { Name = "local-storage", Kind = MapType.TaskStorage, Keys = 1000, Style = UpdateStyle.Atomic },
        new() { Name = "hot-counter", Kind = MapType.Array, MaxEntries = 1, Keys = 1 },
        new() { Name = "zipf-labels", Kind = MapType.Hash, MaxEntries = 10_240, Keys = 10_000, Distribution = KeyDistribution.Zipf },
        new() { Name = "lru-pressure", Kind = MapType.LruHash, MaxEntries = 1024, Keys = 4096, Distribution = KeyDistribution.Zipf },
    ];

    /// <summary>The preset with a name, or null.</summary>
    public static ContentionSpec? Find(string name) => All.FirstOrDefault(p => p.Name == name);
}
