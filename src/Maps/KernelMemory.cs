namespace BpfSim.Maps;

/// <summary>
/// What Linux 6.18 on x86-64 accounts for a map (the memlock of fdinfo and bpftool): sizes of the kernel's own
/// structures, found by measuring maps of many sizes. The simulation's own use is <see cref="BpfMap.NativeBytes"/>.
/// </summary>
internal static class KernelMemory
{
    private const ulong ArrayHead = 312;
    private const ulong HashHead = 896;
    private const ulong BucketHead = 16;
    private const ulong HashElementHead = 48;
    private const ulong Page = 4096;

    public static ulong Array(MapSpec s, uint cpus)
    {
        var values = (ulong)s.MaxEntries * BpfMap.RoundUp8(s.ValueSize);
        if (s.Type == MapType.PercpuArray) return ArrayHead + (8ul * s.MaxEntries) + (values * cpus);
        return ((MapFlags)s.Flags & MapFlags.Mmapable) != 0 ? Page + PageAlign(values) : ArrayHead + values;
    }

    /// <summary>Arrays of pointers: programs, events, cgroups, inner maps.</summary>
    public static ulong PointerArray(uint entries) => ArrayHead + (8ul * entries);

    public static ulong Hash(MapSpec s, uint cpus, bool lru, bool perCpu, ulong capacity, ulong used)
    {
        var preallocated = ((MapFlags)s.Flags & MapFlags.NoPrealloc) == 0;
        var value = BpfMap.RoundUp8(s.ValueSize);
        var element = HashElementHead + BpfMap.RoundUp8(s.KeySize) + (perCpu ? 8ul : value);
        var bytes = HashHead + (BucketHead * System.Numerics.BitOperations.RoundUpToPowerOf2(capacity));
        var elements = preallocated ? capacity : used;
        if (preallocated && !lru && !perCpu)
        {
            elements += cpus;
            bytes += 8ul * cpus;
        }

        return bytes + (elements * element) + (perCpu ? (ulong)value * cpus * elements : 0);
    }

    private static ulong PageAlign(ulong bytes) => (bytes + Page - 1) & ~(Page - 1);
}
