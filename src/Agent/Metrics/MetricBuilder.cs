using System.Globalization;
using BpfSim.Agent.Config;
using BpfSim.Agent.Decoders;

namespace BpfSim.Agent.Metrics;

/// <summary>From map contents to metrics, as the configuration says. Holds nothing that the maps do not hold.</summary>
internal sealed class MetricBuilder
{
    /// <summary>What every metric's name begins with.</summary>
    public const string Prefix = "ebpf_exporter_";

    private readonly ExporterConfig _config;
    private readonly IReadOnlyList<(CounterConfig Config, KeyDecoder Decoder)> _counters;
    private readonly IReadOnlyList<(HistogramConfig Config, KeyDecoder Decoder)> _histograms;

    /// <summary>Prepares the decoders of a configuration.</summary>
    public MetricBuilder(ExporterConfig config, KernelNames names)
    {
        _config = config;
        _counters = [.. config.Counters.Select(c => (c, new KeyDecoder(c.Labels, names)))];
        _histograms = [.. config.Histograms.Select(h => (h, new KeyDecoder(h.Labels, names)))];
    }

    /// <summary>Names of the maps that must be read.</summary>
    public IEnumerable<string> MapNames => _counters.Select(c => c.Config.Name).Concat(_histograms.Select(h => h.Config.Name));

    /// <summary>The metrics of these maps; a map that is not there gives an empty metric.</summary>
    /// <param name="maps">Contents by map name.</param>
    /// <param name="own">The agent's own metrics, appended as they are.</param>
    public MetricSnapshot Build(IReadOnlyDictionary<string, MapContent> maps, IEnumerable<MetricFamily> own)
    {
        Tally tally = new();
        List<MetricFamily> families = [];
        foreach ((CounterConfig config, KeyDecoder decoder) in _counters)
            families.Add(Counter(config, decoder, maps.GetValueOrDefault(config.Name), tally));
        foreach ((HistogramConfig config, KeyDecoder decoder) in _histograms)
            families.Add(Histogram(config, decoder, maps.GetValueOrDefault(config.Name), tally));
        families.AddRange(own);
        families.Add(OwnCounter("decoder_errors_total", "Elements that could not be decoded at the last reading", tally.Errors));
        families.Add(OwnCounter("overflowed_series", "Series beyond the cardinality limit, folded into one", tally.Overflowed));
        return new MetricSnapshot(families, tally.Errors, tally.Overflowed);
    }

    private MetricFamily OwnCounter(string name, string help, long value) =>
        new(Prefix + name, help, MetricKind.Counter, ["config"], Own: true) { Samples = [new([_config.Name], (ulong)value)] };

    private MetricFamily Counter(CounterConfig config, KeyDecoder decoder, MapContent? map, Tally tally)
    {
        Dictionary<LabelSet, ulong> series = [];
        foreach ((byte[] key, byte[] value) in map?.Elements ?? [])
            if (tally.Try(() => decoder.Decode(key)) is { } labels)
            {
                LabelSet set = new(labels);
                series[set] = series.GetValueOrDefault(set) + map!.Number(value);
            }
        List<Sample> samples = [.. series.OrderBy(s => s.Key).Select(s => new Sample(s.Key.Values, s.Value))];
        if (samples.Count > _config.CardinalityLimit)
        {
            tally.Overflowed += samples.Count - _config.CardinalityLimit;
            ulong rest = samples.Skip(_config.CardinalityLimit).Aggregate(0UL, (sum, s) => sum + s.Value);
            samples = [.. samples.Take(_config.CardinalityLimit), new Sample(null, rest)];
        }
        return new MetricFamily(Prefix + config.Name, config.Help, MetricKind.Counter, [.. config.Labels.Select(l => l.Name)]) { Samples = samples };
    }

    private MetricFamily Histogram(HistogramConfig config, KeyDecoder decoder, MapContent? map, Tally tally)
    {
        int[] buckets = [.. config.Buckets];
        double[] bounds = [.. buckets.Select(config.UpperBound)];
        Dictionary<long, int> slots = buckets.Select((b, i) => (b, i)).ToDictionary(p => (long)p.b, p => p.i);
        SortedDictionary<LabelSet, (ulong[] Counts, ulong Sum)> series = [];
        foreach ((byte[] key, byte[] value) in map?.Elements ?? [])
        {
            if (tally.Try(() => decoder.Decode(key)) is not { } labels) continue;
            if (!long.TryParse(labels[^1], NumberStyles.None, CultureInfo.InvariantCulture, out long bucket))
            {
                tally.Errors++;
                continue;
            }
            LabelSet set = new(labels[..^1]);
            var entry = series.TryGetValue(set, out var known) ? known : (new ulong[buckets.Length], 0UL);
            if (bucket == config.SumBucket) entry.Item2 += map!.Number(value);
            else if (slots.TryGetValue(bucket, out int slot)) entry.Item1[slot] += map!.Number(value);
            series[set] = entry;
        }
        List<HistogramSample> samples = [.. series.Select(s => new HistogramSample(s.Key.Values, bounds, s.Value.Counts, s.Value.Sum * config.BucketMultiplier))];
        if (samples.Count > _config.CardinalityLimit)
        {
            tally.Overflowed += samples.Count - _config.CardinalityLimit;
            List<HistogramSample> rest = samples[_config.CardinalityLimit..];
            ulong[] counts = [.. Enumerable.Range(0, bounds.Length).Select(i => rest.Aggregate(0UL, (sum, h) => sum + h.Counts[i]))];
            samples = [.. samples.Take(_config.CardinalityLimit), new HistogramSample(null, bounds, counts, rest.Sum(h => h.Sum))];
        }
        return new MetricFamily(Prefix + config.Name, config.Help, MetricKind.Histogram, [.. config.Labels.SkipLast(1).Select(l => l.Name)]) { Histograms = samples };
    }

    /// <summary>Counts what went wrong while building.</summary>
    private sealed class Tally
    {
        public long Errors;
        public long Overflowed;

        public string[]? Try(Func<string[]?> decode)
        {
            try
            {
                return decode();
            }
            catch (DecodeException)
            {
                Errors++;
                return null;
            }
        }
    }

    /// <summary>Label values compared by content, ordered as numbers where both are numbers and else as text.</summary>
    private readonly struct LabelSet(string[] values) : IEquatable<LabelSet>, IComparable<LabelSet>
    {
        public string[] Values => values;

        public bool Equals(LabelSet other) => values.AsSpan().SequenceEqual(other.Values);

        public override bool Equals(object? obj) => obj is LabelSet other && Equals(other);

        public override int GetHashCode()
        {
            HashCode hash = default;
            foreach (string value in values) hash.Add(value);
            return hash.ToHashCode();
        }

        public int CompareTo(LabelSet other)
        {
            for (int i = 0; i < values.Length; i++)
            {
                string a = values[i], b = other.Values[i];
                int order = ulong.TryParse(a, NumberStyles.None, CultureInfo.InvariantCulture, out ulong x)
                    && ulong.TryParse(b, NumberStyles.None, CultureInfo.InvariantCulture, out ulong y) && x != y
                    ? x.CompareTo(y)
                    : string.CompareOrdinal(a, b);
                if (order != 0) return order;
            }
            return 0;
        }
    }
}
