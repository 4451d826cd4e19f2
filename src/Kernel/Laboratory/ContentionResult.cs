namespace BpfSim.Kernel.Laboratory;

/// <summary>What one run on one number of CPUs gave.</summary>
/// <param name="Cpus">Simulated CPUs, each a thread.</param>
/// <param name="Seconds">How long the run took.</param>
/// <param name="Operations">Operations of all CPUs.</param>
/// <param name="OperationsPerCpu">Operations of each CPU.</param>
/// <param name="Latency">Percentiles of sampled operations.</param>
/// <param name="Added">Additions that the ledger counts: what the counters should add up to.</param>
/// <param name="Counted">What the map's counters add up to, with what deletions took out.</param>
/// <param name="FailedUpdates">Updates that returned an error (the map was full).</param>
/// <param name="Evictions">Entries that an LRU map gave up.</param>
/// <param name="LockWaits">Bucket locks that were found taken.</param>
/// <param name="KernelBytes">Memory as the kernel would account it.</param>
/// <param name="NativeBytes">Memory that the simulation holds.</param>
public sealed record ContentionRun(
    uint Cpus, double Seconds, long Operations, IReadOnlyList<long> OperationsPerCpu, LatencyPercentiles Latency,
    long Added, long Counted, long FailedUpdates, long Evictions, long LockWaits, ulong KernelBytes, ulong NativeBytes)
{
    /// <summary>Million operations a second, all CPUs together.</summary>
    public double MillionsPerSecond => Operations / Seconds / 1e6;

    /// <summary>Additions that no counter shows: overwritten by a racing one, evicted, or refused because the map was full.</summary>
    public long LostUpdates => Math.Max(0, Added - Counted);

    /// <summary>The share of additions that was lost, in per cent.</summary>
    public double LostPercent => Added == 0 ? 0 : 100.0 * LostUpdates / Added;
}

/// <summary>Latencies in nanoseconds.</summary>
public sealed record LatencyPercentiles(long P50, long P90, long P99, long P999, long Max);

/// <summary>A kind and style with the run that measured it.</summary>
/// <param name="Kind">bpftool's name of the kind.</param>
/// <param name="Style">How counters are added to.</param>
/// <param name="Run">What it gave.</param>
public sealed record ContentionCandidate(string Kind, UpdateStyle Style, ContentionRun Run);

/// <summary>A whole experiment.</summary>
/// <param name="Spec">What was asked.</param>
/// <param name="Runs">One run a number of CPUs.</param>
/// <param name="Candidates">Other kinds and styles under the same load, on the most CPUs.</param>
/// <param name="Verdict">What to choose for this load, in words.</param>
/// <param name="HostCpus">Processors of the machine that it ran on.</param>
public sealed record ContentionResult(
    ContentionSpec Spec, IReadOnlyList<ContentionRun> Runs, IReadOnlyList<ContentionCandidate> Candidates, IReadOnlyList<string> Verdict, int HostCpus);
