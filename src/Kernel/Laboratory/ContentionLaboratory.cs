using System.Diagnostics;
using Akka.Actor;
using BpfSim.Maps;
using HdrHistogram;

namespace BpfSim.Kernel.Laboratory;

/// <summary>Runs experiments: threads that act as CPUs on one map, measured in real time.</summary>
public sealed class ContentionLaboratory
{
    private static readonly TimeSpan s_warmUp = TimeSpan.FromMilliseconds(50);
    private const int MostWarmUps = 12;
    private readonly IProgress<ContentionProgress>? _progress;
    private readonly HashSet<(MapType, UpdateStyle)> _warm = [];

    /// <summary>A laboratory that reports how far it is.</summary>
    public ContentionLaboratory(IProgress<ContentionProgress>? progress = null) => _progress = progress;

    /// <summary>
    /// Measures the spec on every number of CPUs, then, if asked, other kinds and styles on the most CPUs. Throws <see cref="ArgumentException"/> with
    /// one line for a spec that cannot be run (<see cref="ContentionSpec.Problem"/>).
    /// </summary>
    public ContentionResult Run(ContentionSpec spec, CancellationToken cancellation = default)
    {
        if (spec.Problem() is { } problem) throw new ArgumentException(problem, nameof(spec));
        _warm.Clear();
        var candidates = spec.Compare ? Candidates(spec).ToList() : [];
        var (done, all) = (0, spec.Cpus.Count + candidates.Count);
        var runs = new List<ContentionRun>();
        foreach (var cpus in spec.Cpus)
        {
            cancellation.ThrowIfCancellationRequested();
            Report(spec, cpus);
            runs.Add(Measure(spec, cpus));
        }

        var most = spec.Cpus.Max();
        var measured = new List<ContentionCandidate> { new(MapTypes.Get(spec.EffectiveKind).Name, spec.Style, runs[spec.Cpus.ToList().IndexOf(most)]) };
        foreach (var candidate in candidates)
        {
            cancellation.ThrowIfCancellationRequested();
            Report(candidate, most);
            var kind = MapTypes.Get(candidate.EffectiveKind).Name;
            if (candidate.MaxEntries != spec.MaxEntries) kind += $" of {candidate.MaxEntries}";
            measured.Add(new(kind, candidate.Style, Measure(candidate, most)));
        }

        _progress?.Report(new ContentionProgress(all, all, "done"));
        return new ContentionResult(spec, runs, measured, ContentionVerdict.Of(spec, runs, measured), Environment.ProcessorCount);

        void Report(ContentionSpec what, uint cpus) => _progress?.Report(new ContentionProgress(done++, all,
            $"{MapTypes.Get(what.EffectiveKind).Name}, {what.Style.ToString().ToLowerInvariant()}, {cpus} CPU{(cpus == 1 ? "" : "s")}"));
    }

    /// <summary>The other ways to count under the same load.</summary>
    private static IEnumerable<ContentionSpec> Candidates(ContentionSpec spec)
    {
        if (spec.CarriesRecords)
        {
            yield return spec with { Kind = spec.Kind == MapType.Ringbuf ? MapType.PerfEventArray : MapType.Ringbuf };
            yield break;
        }

        if (spec.ReadPercent + spec.DeletePercent == 100) yield break;
        foreach (var style in Enum.GetValues<UpdateStyle>())
        {
            var other = spec with { Style = style, FullUpdate = false, ValueSize = style == UpdateStyle.SpinLock ? Math.Max(16, spec.ValueSize) : spec.ValueSize };
            if (style != spec.Style && other.EffectiveKind != spec.EffectiveKind | style != UpdateStyle.PerCpu && other.Problem() is null) yield return other;
        }

        if (spec.Kind == MapType.LruHash && spec.Keys > spec.MaxEntries)
            yield return spec with { MaxEntries = System.Numerics.BitOperations.RoundUpToPowerOf2(spec.Keys * 2), Style = UpdateStyle.Atomic, FullUpdate = false };
    }

    /// <summary>Measures once; before the first time of a kind and style, lets the runtime compile what it will run.</summary>
    private ContentionRun Measure(ContentionSpec spec, uint cpus)
    {
        if (_warm.Add((spec.EffectiveKind, spec.Style)) && spec.Duration > 2 * s_warmUp)
        {
            // On a busy machine the compiler's thread gets its turn late: until it is no longer getting faster, but not for ever.
            var (best, steady) = (0.0, 0);
            for (var i = 0; i < MostWarmUps && steady < 3; i++)
            {
                var speed = MeasureOnce(spec with { Duration = s_warmUp }, cpus).MillionsPerSecond;
                steady = speed > best * 1.2 ? 0 : steady + 1;
                best = Math.Max(best, speed);
                Thread.Sleep(s_warmUp);
            }
        }

        return MeasureOnce(spec, cpus);
    }

    private static ContentionRun MeasureOnce(ContentionSpec spec, uint cpus)
    {
        if (spec.CarriesRecords) return RecordRun.Measure(spec, cpus);
        var (map, errno) = MapFactory.Create(spec.MapSpec(cpus), cpus);
        if (map is null) throw new ArgumentException($"the map cannot be created: {errno}", nameof(spec));
        using (map)
        {
            if (spec.DeletePercent == 0) Fill(spec, map);
            using var system = spec.Style == UpdateStyle.Mailbox ? ActorSystem.Create("laboratory", "akka.loglevel = ERROR") : null;
            var door = system?.ActorOf(MapActor.Props(map));
            var workers = Enumerable.Range(0, (int)cpus).Select(i => new CpuWorker(spec, map, door, (uint)i, cpus)).ToList();
            var stop = false;
            using var start = new Barrier((int)cpus + 1);
            var threads = workers.Select(w => new Thread(() =>
            {
                start.SignalAndWait();
                if (door is null) w.Run(() => Volatile.Read(ref stop));
                else w.RunThroughMailbox(() => Volatile.Read(ref stop)).GetAwaiter().GetResult();
            })
            { IsBackground = true }).ToList();
            threads.ForEach(t => t.Start());
            start.SignalAndWait();
            var begin = Stopwatch.GetTimestamp();
            Thread.Sleep(spec.Duration);
            Volatile.Write(ref stop, true);
            threads.ForEach(t => t.Join());
            return Summarise(spec, map, workers, door is not null, cpus, Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }
    }

    /// <summary>All keys are there at the start with counters of 0, as far as they fit: what is measured is the steady state.</summary>
    private static void Fill(ContentionSpec spec, BpfMap map)
    {
        var key = new byte[spec.KeySize];
        var value = new byte[map.UserValueSize];
        for (var i = 0u; i < (spec.IsStorage ? spec.Keys : Math.Min(spec.Keys, spec.MaxEntries)); i++)
        {
            BitConverter.TryWriteBytes(key, i);
            if (map is LocalStorageMap storage) CreateIn(storage, i);
            else map.Update(key, value);
        }
    }

    private static unsafe void CreateIn(LocalStorageMap storage, uint key) => storage.ProgramGet(CpuWorker.OwnerOf(key), null, LocalStorageMap.Create);

    private static unsafe long ValueIn(LocalStorageMap storage, uint key)
    {
        var value = (long*)storage.ProgramGet(CpuWorker.OwnerOf(key), null, 0);
        return value == null ? 0 : *value;
    }

    private static ContentionRun Summarise(ContentionSpec spec, BpfMap map, List<CpuWorker> workers, bool door, uint cpus, double seconds)
    {
        var latency = new LongHistogram(TimeSpan.TicksPerMinute * 100, 3);
        foreach (var worker in workers) latency.Add(worker.Latency);
        var counted = workers.Sum(w => w.Taken);
        var step = map.Info.IsPerCpu ? (int)(map.UserValueSize / cpus) : (int)map.UserValueSize;
        if (map is LocalStorageMap storage)
            for (var i = 0u; i < spec.Keys; i++) counted += ValueIn(storage, i);
        else foreach (var (_, value) in map.Snapshot().Entries())
            for (var at = 0; at < value.Length; at += step) counted += BitConverter.ToInt64(value, at);
        var totals = map.Statistics.Total;
        return new ContentionRun(cpus, seconds, workers.Sum(w => w.Operations), [.. workers.Select(w => w.Operations)],
            new LatencyPercentiles(Percentile(50), Percentile(90), Percentile(99), Percentile(99.9), Percentile(100)),
            workers.Sum(w => w.Added), counted, Math.Max(workers.Sum(w => w.Failed), door ? totals.FailedUpdates : 0), totals.Evictions, totals.LockWaits, map.MemoryBytes, map.NativeBytes);

        // On a busy machine a short run may end before its first sample.
        long Percentile(double percent) => latency.TotalCount == 0 ? 0 : latency.GetValueAtPercentile(percent);
    }
}

/// <summary>How far an experiment is.</summary>
/// <param name="Done">Runs finished.</param>
/// <param name="All">Runs in all.</param>
/// <param name="What">What runs now.</param>
public readonly record struct ContentionProgress(int Done, int All, string What);
