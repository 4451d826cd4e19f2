using System.Globalization;
using System.Text.RegularExpressions;
using BpfSim.Agent.Decoders;

namespace BpfSim.Agent.Config;

/// <summary>Reads ebpf_exporter's YAML form; what it does not know is an error with file and line.</summary>
public static partial class ExporterConfigReader
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="ConfigException">The file cannot be read or used.</exception>
    public static ExporterConfig ReadFile(string path)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ConfigException(path, 0, e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message);
        }
        return Parse(path, text);
    }

    /// <summary>Reads a text; <paramref name="file"/> names it in errors and gives the configuration its name.</summary>
    /// <exception cref="ConfigException">The text cannot be used.</exception>
    public static ExporterConfig Parse(string file, string text) =>
        Read(YamlMap.Parse(file, text), Path.GetFileNameWithoutExtension(file));

    /// <summary>Reads a mapping, also one inside a scenario.</summary>
    internal static ExporterConfig Read(YamlMap top, string name)
    {
        top.Text("name");
        YamlMap? metrics = top.Map("metrics"), tracing = top.Map("tracing");
        ExporterConfig config = new()
        {
            Name = name,
            Counters = [.. (metrics?.Maps("counters") ?? []).Select(ReadCounter)],
            Histograms = [.. (metrics?.Maps("histograms") ?? []).Select(ReadHistogram)],
            Spans = [.. (tracing?.Maps("spans") ?? []).Select(ReadSpan)],
            KernelAddresses = top.Texts("kaddrs"),
            CgroupIdMap = top.Map("cgroup_id_map") is { } cgroups ? ReadCgroupIdMap(cgroups) : null,
            CardinalityLimit = (int)(top.Integer("cardinality_limit", 1, 10_000_000) ?? ExporterConfig.DefaultCardinalityLimit),
        };
        top.RejectUnknownKeys();
        metrics?.RejectUnknownKeys();
        tracing?.RejectUnknownKeys();
        string? twice = config.Counters.Select(c => c.Name).Concat(config.Histograms.Select(h => h.Name))
            .GroupBy(n => n).FirstOrDefault(g => g.Count() > 1)?.Key;
        return twice == null ? config : throw top.Error("metrics", $"two metrics are named '{twice}'");
    }

    private static CounterConfig ReadCounter(YamlMap map)
    {
        CounterConfig counter = new(
            MetricName(map), map.Text("help") ?? "", map.Flag("perf_event_array"), FlushInterval(map), ReadLabels(map));
        map.RejectUnknownKeys();
        return counter;
    }

    private static TimeSpan FlushInterval(YamlMap map)
    {
        if (map.Text("flush_interval") is not { } text) return TimeSpan.Zero;
        Match match = GoDuration().Match(text);
        if (!match.Success) throw map.Error("flush_interval", $"'flush_interval' must be a time such as 10s or 1m, not '{text}'");
        double number = double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
        return TimeSpan.FromSeconds(number * match.Groups[2].Value switch { "ms" => 0.001, "m" => 60, "h" => 3600, _ => 1 });
    }

    private static HistogramConfig ReadHistogram(YamlMap map)
    {
        BucketType type = map.Word("bucket_type", "exp2", "exp2zero", "linear", "fixed", "log2", "log2zero") switch
        {
            "exp2" => BucketType.Exp2,
            "exp2zero" => BucketType.Exp2Zero,
            "linear" => BucketType.Linear,
            "fixed" => BucketType.Fixed,
            "log2" => BucketType.Log2,
            "log2zero" => BucketType.Log2Zero,
            _ => throw map.Error("bucket_type", "'bucket_type' is missing"),
        };
        double multiplier = map.Number("bucket_multiplier", 0, 1e18) ?? 0;
        int min = (int)(map.Integer("bucket_min", 0, 1_000_000) ?? 0), max = (int)(map.Integer("bucket_max", 0, 1_000_000) ?? 0);
        List<int> keys = [.. map.Texts("bucket_keys").Select(k => int.TryParse(k, NumberStyles.None, CultureInfo.InvariantCulture, out int n)
            ? n : throw map.Error("bucket_keys", $"'bucket_keys' must hold whole numbers, not '{k}'"))];
        keys.Sort();
        if (type == BucketType.Fixed && keys.Count == 0) throw map.Error("bucket_keys", "a fixed histogram needs 'bucket_keys'");
        if (type != BucketType.Fixed && max <= min)
            throw map.Error("bucket_max", $"histogram buckets have no size: bucket_min is {min}, bucket_max is {max}");
        if (type is not (BucketType.Fixed or BucketType.Linear) && max > 63)
            throw map.Error("bucket_max", $"'bucket_max' must be at most 63 for {map.Text("bucket_type")}, not {max}");
        IReadOnlyList<LabelConfig> labels = ReadLabels(map);
        if (labels.Count == 0) throw map.Error("labels", "a histogram needs at least the bucket as a label");
        HistogramConfig histogram = new(MetricName(map), map.Text("help") ?? "", type, multiplier == 0 ? 1 : multiplier, min, max, keys, labels);
        map.RejectUnknownKeys();
        return histogram;
    }

    private static SpanConfig ReadSpan(YamlMap map)
    {
        SpanConfig span = new(map.RequiredText("ringbuf"), map.RequiredText("name"), map.Text("service") ?? "", ReadLabels(map));
        map.RejectUnknownKeys();
        return span;
    }

    private static CgroupIdMapConfig ReadCgroupIdMap(YamlMap map)
    {
        CgroupIdMapConfig result = new(map.RequiredText("name"), map.Word("type", "hash", "cgrp_storage") ?? "hash", Regexps(map));
        map.RejectUnknownKeys();
        return result;
    }

    private static IReadOnlyList<LabelConfig> ReadLabels(YamlMap map) => [.. map.Maps("labels").Select(ReadLabel)];

    private static LabelConfig ReadLabel(YamlMap map)
    {
        string name = map.RequiredText("name");
        if (!LabelName().IsMatch(name)) throw map.Error("name", $"'{name}' is not a label name");
        LabelConfig label = new(name, (int)(map.Integer("size", 1, 1 << 20) ?? throw map.Error("size", $"label '{name}' has no size")),
            (int)(map.Integer("padding", 0, 1 << 20) ?? 0), [.. map.Maps("decoders").Select(ReadDecoder)]);
        if (label.Decoders.Count == 0) throw map.Error("decoders", $"label '{name}' has no decoders");
        map.RejectUnknownKeys();
        return label;
    }

    private static DecoderConfig ReadDecoder(YamlMap map)
    {
        string name = map.RequiredText("name");
        if (!DecoderTable.Names.Contains(name))
            throw map.Error("name", $"unknown decoder '{name}' (known: {string.Join(", ", DecoderTable.Names)})");
        DecoderConfig decoder = new(name, map.Dictionary("static_map"), Regexps(map), map.Flag("allow_unknown"));
        map.RejectUnknownKeys();
        return decoder;
    }

    private static IReadOnlyList<string> Regexps(YamlMap map)
    {
        IReadOnlyList<string> patterns = map.Texts("regexps");
        foreach (string pattern in patterns)
        {
            try
            {
                _ = new Regex(pattern, RegexOptions.NonBacktracking);
            }
            catch (Exception e) when (e is ArgumentException or NotSupportedException)
            {
                throw map.Error("regexps", $"'{pattern}' is not a regular expression: {e.Message}");
            }
        }
        return patterns;
    }

    private static string MetricName(YamlMap map)
    {
        string name = map.RequiredText("name");
        return LabelName().IsMatch(name) ? name : throw map.Error("name", $"'{name}' is not a metric name");
    }

    [GeneratedRegex("^[a-zA-Z_][a-zA-Z0-9_]*$")]
    private static partial Regex LabelName();

    [GeneratedRegex("^([0-9]+(?:\\.[0-9]+)?)(ms|s|m|h)$")]
    private static partial Regex GoDuration();
}
