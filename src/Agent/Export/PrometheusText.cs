using System.Globalization;
using System.Text;
using BpfSim.Agent.Metrics;

namespace BpfSim.Agent.Export;

/// <summary>The Prometheus text exposition format, version 0.0.4.</summary>
public static class PrometheusText
{
    /// <summary>The media type of <see cref="Write(MetricSnapshot)"/>'s result.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Label of the series that holds what the cardinality limit folded.</summary>
    public const string OverflowLabel = "otel_metric_overflow";

    /// <summary>All metrics as text.</summary>
    public static string Write(MetricSnapshot snapshot)
    {
        StringBuilder text = new();
        foreach (MetricFamily family in snapshot.Families) Write(text, family);
        return text.ToString();
    }

    /// <summary>A number as Go's shortest form prints it, which is what ebpf_exporter's users see.</summary>
    public static string Number(double value)
    {
        if (double.IsPositiveInfinity(value)) return "+Inf";
        if (double.IsNegativeInfinity(value)) return "-Inf";
        if (double.IsNaN(value)) return "NaN";
        if (value == 0) return "0";
        string shortest = value.ToString("R", CultureInfo.InvariantCulture).TrimStart('-');
        int exponent = Exponent(shortest);
        string digits = Digits(shortest);
        if (exponent is >= -4 and < 6) return Plain(value < 0, digits, exponent);
        string mantissa = digits.Length > 1 ? $"{digits[0]}.{digits[1..]}" : digits;
        return $"{(value < 0 ? "-" : "")}{mantissa}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
    }

    /// <summary>The power of ten of a number's first digit, from its shortest form.</summary>
    private static int Exponent(string number)
    {
        int e = number.IndexOf('E', StringComparison.Ordinal);
        if (e >= 0) return int.Parse(number.AsSpan(e + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        int point = number.IndexOf('.', StringComparison.Ordinal), first = number.AsSpan().IndexOfAnyInRange('1', '9');
        if (point < 0) point = number.Length;
        return first < point ? point - first - 1 : point - first;
    }

    private static string Digits(string number)
    {
        int end = number.IndexOf('E', StringComparison.Ordinal);
        string mantissa = (end < 0 ? number : number[..end]).Replace(".", "", StringComparison.Ordinal);
        string digits = mantissa.TrimStart('0').TrimEnd('0');
        return digits.Length == 0 ? "0" : digits;
    }

    private static string Plain(bool negative, string digits, int exponent)
    {
        string body = exponent < 0 ? $"0.{new string('0', -exponent - 1)}{digits}"
            : digits.Length <= exponent + 1 ? digits.PadRight(exponent + 1, '0')
            : $"{digits[..(exponent + 1)]}.{digits[(exponent + 1)..]}";
        return negative ? "-" + body : body;
    }

    private static void Write(StringBuilder text, MetricFamily family)
    {
        text.Append("# HELP ").Append(family.Name).Append(' ').Append(family.Help.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)).Append('\n');
        text.Append("# TYPE ").Append(family.Name).Append(' ').Append(family.Kind switch
        {
            MetricKind.Counter => "counter",
            MetricKind.Gauge => "gauge",
            _ => "histogram",
        }).Append('\n');
        foreach (Sample sample in family.Samples)
        {
            Name(text, family.Name, family.LabelNames, sample.Labels, null);
            string value = family.Scale == 1 ? sample.Value.ToString(CultureInfo.InvariantCulture) : Number(sample.Value * family.Scale);
            text.Append(' ').Append(value).Append('\n');
        }
        foreach (HistogramSample sample in family.Histograms) Write(text, family, sample);
    }

    private static void Write(StringBuilder text, MetricFamily family, HistogramSample sample)
    {
        ulong cumulative = 0;
        for (int i = 0; i < sample.Bounds.Length; i++)
        {
            cumulative += sample.Counts[i];
            Name(text, family.Name + "_bucket", family.LabelNames, sample.Labels, Number(sample.Bounds[i]));
            text.Append(' ').Append(cumulative).Append('\n');
        }
        Name(text, family.Name + "_bucket", family.LabelNames, sample.Labels, "+Inf");
        text.Append(' ').Append(cumulative).Append('\n');
        Name(text, family.Name + "_sum", family.LabelNames, sample.Labels, null);
        text.Append(' ').Append(Number(sample.Sum)).Append('\n');
        Name(text, family.Name + "_count", family.LabelNames, sample.Labels, null);
        text.Append(' ').Append(cumulative).Append('\n');
    }

    private static void Name(StringBuilder text, string name, IReadOnlyList<string> labelNames, string[]? labels, string? le)
    {
        text.Append(name);
        List<string> pairs = labels == null
            ? [$"{OverflowLabel}=\"true\""]
            : [.. labelNames.Select((label, i) => $"{label}=\"{Escape(labels[i])}\"")];
        if (le != null) pairs.Add($"le=\"{le}\"");
        if (pairs.Count > 0) text.Append('{').AppendJoin(',', pairs).Append('}');
    }

    private static string Escape(string value) => value.Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}
