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
}
