namespace BpfSim.Maps;

/// <summary>BPF_MAP_CREATE: checks a spec by the kernel's rules and makes the map.</summary>
public static class MapFactory
{
    /// <summary>
    /// Creates a map for a machine with that many possible CPUs. Returns the map and <see cref="Errno.None"/>, or
    /// null and what the kernel would answer: EINVAL for a spec that no such map can have, E2BIG for one that
    /// is too large, ENOMEM where memory is short, ENOTSUPP for LRU maps without preallocation.
    /// </summary>
    public static (BpfMap? Map, Errno Errno) Create(MapSpec spec, uint cpus)
    {
        ArgumentOutOfRangeException.ThrowIfZero(cpus);
        var errno = Check(spec, cpus);
        if (errno != Errno.None) return (null, errno);
        spec = AsCreated(spec);
        try
        {
            return (MapTypes.Get(spec.Type).Create(spec, cpus), Errno.None);
        }
        catch (Exception e) when (e is OutOfMemoryException or OverflowException)
        {
            return (null, Errno.ENOMEM);
        }
    }

    /// <summary>
    /// The spec that a map has once it is made: the kernel forbids programs to write the device numbers that
    /// lookups in device maps give them.
    /// </summary>
    public static MapSpec AsCreated(MapSpec spec) => spec.Type is MapType.Devmap or MapType.DevmapHash
        ? spec with { Flags = spec.Flags | (uint)MapFlags.RdonlyProg } : spec;

    /// <summary>What <see cref="Create"/> would answer, without making the map.</summary>
    public static Errno Check(MapSpec spec, uint cpus)
    {
        var row = MapTypes.Find(spec.Type);
        if (row is null) return Errno.EINVAL;
        var flags = (MapFlags)spec.Flags;
        if (spec.MapExtra != 0 && spec.Type is not (MapType.BloomFilter or MapType.Arena)) return Errno.EINVAL;
        if (Both(flags, MapFlags.Rdonly, MapFlags.Wronly) || Both(flags, MapFlags.RdonlyProg, MapFlags.WronlyProg)) return Errno.EINVAL;
        var refused = flags & ~row.Flags;
        if (refused == MapFlags.NoPrealloc && spec.Type is MapType.LruHash or MapType.LruPercpuHash && refused != 0) return Errno.ENOTSUPP;
        if (refused != 0) return Errno.EINVAL;
        foreach (var field in spec.SpecialFields)
            if (!row.SpecialFields.Contains(field.Kind)) return Errno.EOPNOTSUPP;
        return row.Check(spec, cpus);
    }

    private static bool Both(MapFlags flags, MapFlags a, MapFlags b) => (flags & (a | b)) == (a | b);
}
