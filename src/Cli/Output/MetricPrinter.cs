using System.Globalization;
using System.Text.Json.Nodes;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;

namespace BpfSim.Cli.Output;

/// <summary>Metrics for the terminal: a line for each series, a bar chart for each histogram.</summary>
internal static class MetricPrinter
{
    private const int MaxSeries = 40, BarWidth = 40;

    /// <summary>Prints what the programs observed; the agent's own metrics are left to the exporters.</summary>
    public static void Print(TextWriter output, MetricSnapshot metrics)
    {
        foreach (MetricFamily family in metrics.Families.Where(f => !f.Own))
        {
            foreach (Sample sample in family.Samples.Take(MaxSeries))
                output.Write($"{Series(family, sample.Labels)} {PrometheusNumber(family, sample)}\n");
            if (family.Samples.Count > MaxSeries) output.Write($"{family.Name}: {family.Samples.Count - MaxSeries} more series\n");
            foreach (HistogramSample histogram in family.Histograms.Take(MaxSeries)) Print(output, family, histogram);
            if (family.Histograms.Count > MaxSeries) output.Write($"{family.Name}: {family.Histograms.Count - MaxSeries} more series\n");
        }
        if (metrics.DecoderErrors > 0) output.Write($"{metrics.DecoderErrors} elements could not be decoded\n");
        if (metrics.OverflowedSeries > 0) output.Write($"{metrics.OverflowedSeries} series beyond the cardinality limit were folded\n");
    }

    /// <summary>The same as JSON, complete.</summary>
    public static JsonArray Json(MetricSnapshot metrics)
    {
        JsonArray families = [];
        foreach (MetricFamily family in metrics.Families.Where(f => !f.Own))
        {
            JsonArray series = [];
            foreach (Sample sample in family.Samples)
                series.Add(new JsonObject { ["labels"] = Labels(family, sample.Labels), ["value"] = sample.Value });
            foreach (HistogramSample histogram in family.Histograms)
                series.Add(new JsonObject
                {
                    ["labels"] = Labels(family, histogram.Labels),
                    ["count"] = histogram.Count,
                    ["sum"] = histogram.Sum,
                    ["bounds"] = new JsonArray([.. histogram.Bounds.Select(b => (JsonNode)b)]),
                    ["counts"] = new JsonArray([.. histogram.Counts.Select(c => (JsonNode)c)]),
                });
            families.Add(new JsonObject { ["name"] = family.Name, ["kind"] = family.Kind.ToString().ToLowerInvariant(), ["series"] = series });
        }
        return families;
    }

    private static JsonObject Labels(MetricFamily family, string[]? labels)
    {
        JsonObject json = [];
        if (labels == null) json["otel.metric.overflow"] = "true";
        else for (int i = 0; i < labels.Length; i++) json[family.LabelNames[i]] = labels[i];
        return json;
    }

    private static string Series(MetricFamily family, string[]? labels) => labels == null ? family.Name + "{otel.metric.overflow=\"true\"}"
        : labels.Length == 0 ? family.Name
        : $"{family.Name}{{{string.Join(',', family.LabelNames.Select((n, i) => $"{n}=\"{labels[i]}\""))}}}";

    private static string PrometheusNumber(MetricFamily family, Sample sample) => family.Scale == 1
        ? sample.Value.ToString(CultureInfo.InvariantCulture)
        : PrometheusText.Number(sample.Value * family.Scale);

    private static void Print(TextWriter output, MetricFamily family, HistogramSample histogram)
    {
        output.Write($"{Series(family, histogram.Labels)} count {histogram.Count} sum {PrometheusText.Number(histogram.Sum)}\n");
        int first = Array.FindIndex(histogram.Counts, c => c != 0), last = Array.FindLastIndex(histogram.Counts, c => c != 0);
        if (first < 0) return;
        ulong most = histogram.Counts.Max();
        for (int i = first; i <= last; i++)
        {
            string bound = histogram.Bounds[i].ToString("0.######", CultureInfo.InvariantCulture);
            string bar = new('*', (int)Math.Round(BarWidth * (double)histogram.Counts[i] / most));
            output.Write($"  <= {bound,14} : {histogram.Counts[i],-10} |{bar,-BarWidth}|\n");
        }
    }
}
