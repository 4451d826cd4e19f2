using BpfSim.Maps;

namespace BpfSim.Kernel.Libbpf;

/// <summary>What libbpf does to map definitions before it creates them, and what tools do to those that they size at run time.</summary>
internal static class MapFixups
{
    private const uint PageSize = 4096;

    /// <summary>libbpf's adjustments: arrays of perf events get a slot a CPU, ring buffers whole pages in a power of two.</summary>
    public static MapSpec ForLoad(MapSpec spec, uint cpus)
    {
        if (spec.Name.Length > 15) spec = spec with { Name = spec.Name[..15] };
        if (spec.InnerMap is { } inner) spec = spec with { InnerMap = ForLoad(inner, cpus) };
        return spec.Type switch
        {
            MapType.PerfEventArray when spec.MaxEntries == 0 => spec with { MaxEntries = cpus },
            MapType.Ringbuf or MapType.UserRingbuf => spec with { MaxEntries = RingSize(spec.MaxEntries) },
            _ => spec,
        };
    }

    /// <summary>
    /// A plain size for maps that the object leaves to the tool that loads it (max_entries or a stack trace's
    /// value_size 0), so that the programs can be verified without that tool.
    /// </summary>
    public static MapSpec WithPlainSize(MapSpec spec)
    {
        if (spec.Type == MapType.StackTrace && spec.ValueSize == 0) spec = spec with { ValueSize = 127 * 8 };
        if (spec.MaxEntries != 0) return spec;
        return spec.Type switch
        {
            MapType.Hash or MapType.LruHash or MapType.PercpuHash or MapType.LruPercpuHash or MapType.Array or MapType.PercpuArray
                or MapType.Queue or MapType.Stack or MapType.LpmTrie or MapType.StackTrace or MapType.BloomFilter
                or MapType.ProgArray or MapType.CgroupArray or MapType.ArrayOfMaps or MapType.HashOfMaps => spec with { MaxEntries = 10240 },
            MapType.Ringbuf or MapType.UserRingbuf => spec with { MaxEntries = 256 * 1024 },
            _ => spec,
        };
    }

    private static uint RingSize(uint size)
    {
        if (size == 0 || (size % PageSize == 0 && (size & (size - 1)) == 0)) return size;
        ulong rounded = System.Numerics.BitOperations.RoundUpToPowerOf2(Math.Max(size, PageSize));
        return rounded > int.MaxValue ? size : (uint)rounded;
    }
}
