namespace BpfSim.Agent.Metrics;

/// <summary>All metrics as they stood when the maps were last read. Everything is cumulative.</summary>
/// <param name="Families">The metrics, in the configuration's order, the agent's own last.</param>
/// <param name="DecoderErrors">Elements that could not be decoded at this reading.</param>
/// <param name="OverflowedSeries">Series that the cardinality limit folded into overflow series.</param>
public sealed record MetricSnapshot(IReadOnlyList<MetricFamily> Families, long DecoderErrors, long OverflowedSeries)
{
    /// <summary>Before the first reading.</summary>
    public static MetricSnapshot Empty { get; } = new([], 0, 0);
}

/// <summary>What a metric is to a collector.</summary>
public enum MetricKind
{
    /// <summary>Only grows.</summary>
    Counter,

    /// <summary>A present state.</summary>
    Gauge,

    /// <summary>Counts by upper bounds.</summary>
    Histogram,
}

/// <summary>One metric with its series.</summary>
/// <param name="Name">Full name, prefix included.</param>
/// <param name="Help">One sentence.</param>
/// <param name="Kind">What it is to a collector.</param>
/// <param name="LabelNames">Names of the labels, in the order of the values.</param>
/// <param name="Own">Whether it describes the agent and its programs and not what they observe.</param>
public sealed record MetricFamily(string Name, string Help, MetricKind Kind, IReadOnlyList<string> LabelNames, bool Own = false)
{
    /// <summary>Series of a counter or gauge, sorted by label values.</summary>
    public IReadOnlyList<Sample> Samples { get; init; } = [];

    /// <summary>Series of a histogram, sorted by label values.</summary>
    public IReadOnlyList<HistogramSample> Histograms { get; init; } = [];

    /// <summary>Factor from <see cref="Sample.Value"/> to the metric's unit.</summary>
    public double Scale { get; init; } = 1;
}

/// <summary>One series of a counter or gauge.</summary>
/// <param name="Labels">Label values; null for the series that holds what the cardinality limit folded.</param>
/// <param name="Value">The value, before the family's scale.</param>
public readonly record struct Sample(string[]? Labels, ulong Value);

/// <summary>One series of a histogram.</summary>
/// <param name="Labels">Label values; null for the series that holds what the cardinality limit folded.</param>
/// <param name="Bounds">Upper bounds, ascending, each included in its bucket.</param>
/// <param name="Counts">Values per bucket, not cumulative, as many as bounds.</param>
/// <param name="Sum">Sum of all values; 0 where the program keeps none.</param>
public sealed record HistogramSample(string[]? Labels, double[] Bounds, ulong[] Counts, double Sum)
{
    /// <summary>Number of values.</summary>
    public ulong Count => Counts.Aggregate(0UL, (sum, c) => sum + c);
}
