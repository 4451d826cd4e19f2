using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// Counters of one map, a cache line a CPU, so that counting disturbs nobody. Lookups that emitted code
/// inlines are not seen here (the interpreter's and the facade's are): a lookup of 1.5 ns would cost half as much again for the two
/// counts, and where the key is a constant nothing is left of it but the address. Updates and deletions are counted on every way. A CPU's
/// counters may miss an event if two threads act for the same CPU at once.
/// </summary>
public sealed unsafe class MapStatistics
{
    private readonly CpuCounters* _cpus;
    private readonly uint _count;

    internal MapStatistics(MapMemory memory, uint cpus)
    {
        _count = cpus;
        _cpus = (CpuCounters*)memory.Allocate((nuint)sizeof(CpuCounters) * cpus);
    }

    /// <summary>Sums over all CPUs.</summary>
    public MapCounters Total
    {
        get
        {
            var sum = default(MapCounters);
            for (var i = 0u; i < _count; i++)
            {
                ref var c = ref _cpus[i];
                sum = new MapCounters(sum.Lookups + c.Lookups, sum.Hits + c.Hits, sum.Updates + c.Updates,
                    sum.FailedUpdates + c.FailedUpdates, sum.Deletes + c.Deletes, sum.Evictions + c.Evictions,
                    sum.LockWaits + c.LockWaits, sum.Drops + c.Drops);
            }

            return sum;
        }
    }

    internal CpuCounters* Of(uint cpu) => _cpus + (cpu < _count ? cpu : cpu % _count);

    [StructLayout(LayoutKind.Explicit, Size = HashUpdateLayout.CountersStride)]
    internal struct CpuCounters
    {
        [FieldOffset(0)] public long Lookups;
        [FieldOffset(8)] public long Hits;
        [FieldOffset(HashUpdateLayout.Updates)] public long Updates;
        [FieldOffset(24)] public long FailedUpdates;
        [FieldOffset(HashUpdateLayout.Deletes)] public long Deletes;
        [FieldOffset(40)] public long Evictions;
        [FieldOffset(48)] public long LockWaits;
        [FieldOffset(56)] public long Drops;
    }
}

/// <summary>What has happened to a map.</summary>
/// <param name="Lookups">Lookups that went through a helper or the bpf() facade; those that the JIT inlined are not among them.</param>
/// <param name="Hits">Those that found an entry.</param>
/// <param name="Updates">Successful updates, pushes and records.</param>
/// <param name="FailedUpdates">Updates that returned an error.</param>
/// <param name="Deletes">Successful deletions and pops.</param>
/// <param name="Evictions">Entries that an LRU map gave up for new ones.</param>
/// <param name="LockWaits">Bucket or list locks that were found taken.</param>
/// <param name="Drops">Records that a ring or perf buffer had no room for.</param>
public readonly record struct MapCounters(
    long Lookups, long Hits, long Updates, long FailedUpdates, long Deletes, long Evictions, long LockWaits, long Drops);
