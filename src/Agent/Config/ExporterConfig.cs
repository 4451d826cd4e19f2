namespace BpfSim.Agent.Config;

/// <summary>What to export from which map, in the form of ebpf_exporter's YAML files.</summary>
public sealed record ExporterConfig
{
    /// <summary>The configuration's name: the file name without extension.</summary>
    public required string Name { get; init; }

    /// <summary>Counters, one map each.</summary>
    public IReadOnlyList<CounterConfig> Counters { get; init; } = [];

    /// <summary>Histograms, one map each.</summary>
    public IReadOnlyList<HistogramConfig> Histograms { get; init; } = [];

    /// <summary>Spans, one ring buffer each.</summary>
    public IReadOnlyList<SpanConfig> Spans { get; init; } = [];

    /// <summary>Kernel symbols whose addresses the programs ask for as <c>kaddr_NAME</c>.</summary>
    public IReadOnlyList<string> KernelAddresses { get; init; } = [];

    /// <summary>A map to fill with the cgroups that match, or null.</summary>
    public CgroupIdMapConfig? CgroupIdMap { get; init; }

    /// <summary>Series a metric may have before the rest is folded into one overflow series.</summary>
    public int CardinalityLimit { get; init; } = DefaultCardinalityLimit;

    /// <summary>The limit when the configuration sets none.</summary>
    public const int DefaultCardinalityLimit = 100_000;
}

/// <summary>A counter metric: every element of the map is a series, its key the labels, its value the count.</summary>
/// <param name="Name">Name of the metric and of the map.</param>
/// <param name="Help">One sentence.</param>
/// <param name="PerfEventArray">The map is a perf_event_array whose records are keys to be counted.</param>
/// <param name="FlushInterval">How often counts of a perf_event_array are dropped; zero for never.</param>
/// <param name="Labels">How the key decodes.</param>
public sealed record CounterConfig(
    string Name, string Help, bool PerfEventArray, TimeSpan FlushInterval, IReadOnlyList<LabelConfig> Labels);

/// <summary>A histogram metric: the last label of the key is the bucket.</summary>
/// <param name="Name">Name of the metric and of the map.</param>
/// <param name="Help">One sentence.</param>
/// <param name="BucketType">How bucket numbers become bounds.</param>
/// <param name="BucketMultiplier">What bounds and sum are multiplied by; never 0.</param>
/// <param name="BucketMin">First bucket number.</param>
/// <param name="BucketMax">Last bucket number; the slot after it holds the sum.</param>
/// <param name="BucketKeys">The bucket numbers of a fixed histogram, ascending.</param>
/// <param name="Labels">How the key decodes; the last is the bucket.</param>
public sealed record HistogramConfig(
    string Name, string Help, BucketType BucketType, double BucketMultiplier, int BucketMin, int BucketMax,
    IReadOnlyList<int> BucketKeys, IReadOnlyList<LabelConfig> Labels)
{
    /// <summary>The bucket numbers that are exported, ascending.</summary>
    public IEnumerable<int> Buckets => BucketType == BucketType.Fixed ? BucketKeys : Enumerable.Range(BucketMin, BucketMax - BucketMin + 1);

    /// <summary>The bucket number whose slot holds the sum.</summary>
    public int SumBucket => (BucketType == BucketType.Fixed ? BucketKeys[^1] : BucketMax) + 1;

    /// <summary>The upper bound of a bucket, included in it.</summary>
    public double UpperBound(int bucket) => BucketMultiplier * BucketType switch
    {
        BucketType.Exp2 => Math.Pow(2, bucket),
        BucketType.Exp2Zero => bucket == 0 ? 0 : Math.Pow(2, bucket - 1),
        BucketType.Log2 => Math.Pow(2, bucket + 1) - 1,
        BucketType.Log2Zero => Math.Pow(2, bucket) - 1,
        _ => bucket,
    };
}

/// <summary>How the bucket numbers of a histogram become upper bounds.</summary>
public enum BucketType
{
    /// <summary>2^n, as ebpf_exporter reports it.</summary>
    Exp2,

    /// <summary>0, then 2^(n-1), as ebpf_exporter reports it.</summary>
    Exp2Zero,

    /// <summary>n.</summary>
    Linear,

    /// <summary>Listed one by one.</summary>
    Fixed,

    /// <summary>Slot n counts the whole numbers [2^n, 2^(n+1)), slot 0 also 0: exact bounds 1, 3, 7, …</summary>
    Log2,

    /// <summary>Slot 0 counts 0, slot n the whole numbers [2^(n-1), 2^n): exact bounds 0, 1, 3, 7, …</summary>
    Log2Zero,
}

/// <summary>A span from each record of a ring buffer.</summary>
public sealed record SpanConfig(string Ringbuf, string Name, string Service, IReadOnlyList<LabelConfig> Labels);

/// <summary>The map that tells programs which cgroups matter.</summary>
public sealed record CgroupIdMapConfig(string Name, string Type, IReadOnlyList<string> Regexps);

/// <summary>One part of a key or record and how it becomes a label value.</summary>
/// <param name="Name">The label's name.</param>
/// <param name="Size">Bytes of the key it takes.</param>
/// <param name="Padding">Bytes of the key to skip behind it.</param>
/// <param name="Decoders">Applied one after the other.</param>
public sealed record LabelConfig(string Name, int Size, int Padding, IReadOnlyList<DecoderConfig> Decoders);

/// <summary>A decoder and its parameters.</summary>
public sealed record DecoderConfig(
    string Name, IReadOnlyDictionary<string, string> StaticMap, IReadOnlyList<string> Regexps, bool AllowUnknown);
