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
    private const ulong ListNode = 8;
    private const ulong Page = 4096;
    private const ulong StorageHead = 448;

    public static ulong Array(MapSpec s, uint cpus)
    {
        var values = (ulong)s.MaxEntries * BpfMap.RoundUp8(s.ValueSize);
        if (s.Type == MapType.PercpuArray) return ArrayHead + (8ul * s.MaxEntries) + (values * cpus);
        return ((MapFlags)s.Flags & MapFlags.Mmapable) != 0 ? Page + PageAlign(values) : ArrayHead + values;
    }

    /// <summary>Arrays of pointers: programs, events, cgroups, inner maps, sockets.</summary>
    public static ulong ReferenceArray(MapSpec s) => (8ul * s.MaxEntries) + s.Type switch
    {
        MapType.Sockmap => 376,
        MapType.ReuseportSockarray => 296,
        MapType.Xskmap => 304,
        _ => ArrayHead,
    };

    public static ulong Hash(MapSpec s, uint cpus, ulong capacity, ulong used)
    {
        var preallocated = ((MapFlags)s.Flags & MapFlags.NoPrealloc) == 0;
        var perCpu = MapTypes.Get(s.Type).IsPerCpu;
        var value = BpfMap.RoundUp8(s.ValueSize);
        var element = HashElementHead + BpfMap.RoundUp8(s.KeySize) + (perCpu ? 8ul : value);
        var bytes = HashHead + (BucketHead * System.Numerics.BitOperations.RoundUpToPowerOf2(capacity));
        // What is not preallocated comes from an allocator that keeps a list node with every block.
        if (!preallocated) return bytes + (used * (element + ListNode + (perCpu ? (value + ListNode) * cpus : 0)));
        if (s.Type is MapType.Hash or MapType.HashOfMaps) bytes += 8ul * cpus;
        if (s.Type == MapType.Hash) capacity += cpus;
        return bytes + (capacity * (element + (perCpu ? (ulong)value * cpus : 0)));
    }

    public static ulong StackTrace(MapSpec s, uint buckets) => 320 + (8ul * buckets) + (s.MaxEntries * (16ul + s.ValueSize));

    public static ulong LpmTrie(MapSpec s, ulong used) => used * (24ul + (s.KeySize - 4) + s.ValueSize);

    /// <summary>One slot more than entries; the kernel's sum wraps at 32 bits.</summary>
    public static ulong Queue(MapSpec s) => ArrayHead + ((ulong)unchecked(s.MaxEntries + 1) * s.ValueSize);

    public static ulong BloomFilter(ulong bits) => ArrayHead + (bits / 8);

    /// <summary>Three pages of administration, the data, and the pointers to all pages, those of the data twice.</summary>
    public static ulong Ringbuf(uint size) => 304 + (3 * Page) + size + (8 * (3 + (2 * (size / Page))));

    public static ulong LocalStorage(uint cpus) => StorageHead + (BucketHead * Math.Max(2, System.Numerics.BitOperations.RoundUpToPowerOf2(cpus)));

    public static ulong Device(MapSpec s) => s.Type switch
    {
        MapType.Cpumap => 304 + (8ul * s.MaxEntries),
        MapType.DevmapHash => 344 + (8ul * System.Numerics.BitOperations.RoundUpToPowerOf2(s.MaxEntries)),
        _ => 344 + (8ul * s.MaxEntries),
    };

    public static ulong Opaque(MapSpec s) => s.Type switch
    {
        MapType.Sockhash => 384 + (BucketHead * System.Numerics.BitOperations.RoundUpToPowerOf2(s.MaxEntries)),
        MapType.CgroupStorage or MapType.PercpuCgroupStorage => 328,
        _ => 0,
    };

    private static ulong PageAlign(ulong bytes) => (bytes + Page - 1) & ~(Page - 1);
}
