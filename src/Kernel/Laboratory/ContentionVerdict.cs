using System.Globalization;
using BpfSim.Maps;

namespace BpfSim.Kernel.Laboratory;

/// <summary>Says in words what the numbers of an experiment mean.</summary>
internal static class ContentionVerdict
{
    /// <summary>The sentences, most important first.</summary>
    public static IReadOnlyList<string> Of(ContentionSpec spec, IReadOnlyList<ContentionRun> runs, IReadOnlyList<ContentionCandidate> candidates)
    {
        if (spec.CarriesRecords) return OfRecords(spec, runs, candidates);
        var lines = new List<string>();
        var asked = candidates[0];
        var exact = candidates.Where(c => !Races(spec, c) && c.Run.LostUpdates == 0 && c.Run.FailedUpdates == 0).OrderByDescending(c => c.Run.MillionsPerSecond).ToList();
        if (candidates.Count > 1 && exact.Count > 0)
        {
            var best = exact[0];
            var same = best == asked || best.Run.MillionsPerSecond < asked.Run.MillionsPerSecond * 1.05 && exact.Contains(asked);
            lines.Add(same
                ? $"Keep {Name(asked)}: it loses nothing, and no other kind or style that counts exactly is faster under this load."
                : $"Choose {Name(best)}: it loses nothing and does {Number(best.Run.MillionsPerSecond)} million operations a second on {best.Run.Cpus} CPUs, " +
                  $"{Number(best.Run.MillionsPerSecond / asked.Run.MillionsPerSecond)} times the speed of {Name(asked)}.");
            if (!same && best.Style == UpdateStyle.PerCpu)
                lines.Add($"It costs memory for every CPU: {Bytes(best.Run.KernelBytes)} instead of {Bytes(asked.Run.KernelBytes)} with {best.Run.Cpus} CPUs.");
        }
        else if (candidates.Count > 1)
            lines.Add("No kind and style counts exactly under this load: the map is too small for its keys.");

        Lost(spec, asked, lines);
        Scaling(spec, runs, lines);
        if (asked.Run.FailedUpdates > 0)
            lines.Add($"{Percent(100.0 * asked.Run.FailedUpdates / Math.Max(1, asked.Run.Added))} of the updates failed because the map was full: " +
                $"{spec.Keys} keys need at least max_entries {spec.Keys}.");
        Oversubscribed(asked, lines);
        return lines;
    }

    private static void Oversubscribed(ContentionCandidate asked, List<string> lines)
    {
        if (asked.Run.Cpus > Environment.ProcessorCount)
            lines.Add($"Mind that {asked.Run.Cpus} CPUs were simulated on {Environment.ProcessorCount} processors: threads took turns, and scaling beyond that says nothing.");
    }

    /// <summary>Records: what arrives counts, and what it costs the sender.</summary>
    private static List<string> OfRecords(ContentionSpec spec, IReadOnlyList<ContentionRun> runs, IReadOnlyList<ContentionCandidate> candidates)
    {
        var lines = new List<string>();
        var asked = candidates[0];
        if (candidates.Count > 1)
        {
            var best = candidates.OrderByDescending(c => c.Run.Counted / c.Run.Seconds).First();
            lines.Add(best == asked
                ? $"Keep {asked.Kind}: {Delivered(asked.Run)} million records a second arrive, with {candidates[1].Kind} {Delivered(candidates[1].Run)}."
                : $"Choose {best.Kind}: {Delivered(best.Run)} million records a second arrive, with {asked.Kind} {Delivered(asked.Run)}; but only a ring buffer keeps the order of all CPUs.");
        }

        if (asked.Run.LostUpdates > 0)
            lines.Add($"{Percent(asked.Run.LostPercent)} of the records of {asked.Kind} found no room in {Bytes(spec.MaxEntries)}: the consumer is slower than {asked.Run.Cpus} CPUs that " +
                "do nothing but send. A larger buffer carries bursts, not this; send less, or count in a map.");
        else lines.Add($"{asked.Kind} lost no record.");
        Scaling(spec, runs, lines);
        Oversubscribed(asked, lines);
        return lines;
    }

    private static string Delivered(ContentionRun run) => Number(run.Counted / run.Seconds / 1e6);

    /// <summary>Whether two CPUs may add to one counter without protection: then no run that lost nothing proves anything.</summary>
    private static bool Races(ContentionSpec spec, ContentionCandidate candidate) => candidate.Style == UpdateStyle.Plain && candidate.Run.Cpus > 1
        && spec.Distribution != KeyDistribution.Disjoint && !MapTypes.Get(spec.Kind).IsPerCpu;

    private static void Lost(ContentionSpec spec, ContentionCandidate asked, List<string> lines)
    {
        var run = asked.Run;
        if (run.LostUpdates == 0)
        {
            if (Races(spec, asked) && run.Added > 0)
                lines.Add($"{Name(asked)} lost nothing in this run, but nothing protects its counters from two CPUs at once: it will.");
            return;
        }

        if (run.Evictions > 0)
            lines.Add($"{Name(asked)} lost {Percent(run.LostPercent)} of the counts: {run.Evictions:N0} entries were evicted, since {spec.Keys} keys press " +
                $"into {spec.MaxEntries}; an LRU map evicts before it is full, so give it at least twice as many entries as there are keys.");
        else if (run.FailedUpdates >= run.LostUpdates)
            lines.Add($"{Name(asked)} lost {Percent(run.LostPercent)} of the counts, all to a full map.");
        else if (spec.DeletePercent > 0)
            lines.Add($"{Name(asked)} lost {Percent(run.LostPercent)} of the counts: additions that met a deletion, and additions that met each other.");
        else
            lines.Add($"{Name(asked)} lost {Percent(run.LostPercent)} of the counts ({run.LostUpdates:N0} of {run.Added:N0}): two CPUs that add to one counter at the same time " +
                "read the same value. Use __sync_fetch_and_add, or a per-CPU map.");
    }

    private static void Scaling(ContentionSpec spec, IReadOnlyList<ContentionRun> runs, List<string> lines)
    {
        if (runs.Count < 2) return;
        var one = runs.MinBy(r => r.Cpus)!;
        var most = runs.Where(r => r.Cpus <= Environment.ProcessorCount).MaxBy(r => r.Cpus) ?? runs.MaxBy(r => r.Cpus)!;
        if (most.Cpus == one.Cpus) return;
        var factor = most.MillionsPerSecond / one.MillionsPerSecond;
        var ideal = (double)most.Cpus / one.Cpus;
        var word = factor >= 0.9 * ideal ? "scales" : factor >= 1.1 ? "scales only partly" : factor >= 0.9 ? "does not scale" : "gets slower";
        var what = spec.CarriesRecords ? "Sending" : $"{MapTypes.Get(spec.EffectiveKind).Name} with {StyleName(spec.Style)}";
        lines.Add($"{what} {word}: {most.Cpus} CPUs do {Number(factor)} times what {one.Cpus} does.");
    }

    private static string Name(ContentionCandidate candidate) => $"{candidate.Kind} with {StyleName(candidate.Style)}";

    /// <summary>How a style is called in sentences.</summary>
    internal static string StyleName(UpdateStyle style) => style switch
    {
        UpdateStyle.Plain => "plain ++",
        UpdateStyle.Atomic => "atomic add",
        UpdateStyle.SpinLock => "bpf_spin_lock",
        UpdateStyle.PerCpu => "a counter per CPU",
        _ => "messages to the map's actor",
    };

    private static string Number(double value) => value.ToString(value < 10 ? "0.##" : "0", CultureInfo.InvariantCulture);

    private static string Percent(double value) => value is > 0 and < 0.01 ? "less than 0.01 %" : value.ToString("0.##", CultureInfo.InvariantCulture) + " %";

    private static string Bytes(ulong bytes) => bytes < 10_000 ? $"{bytes} B" : bytes < 10_000_000 ? $"{bytes / 1024} KiB" : $"{bytes >> 20} MiB";
}
