using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using BpfSim.Maps;

namespace BpfSim.Kernel.Laboratory;

/// <summary>An experiment as JSON, CSV, or one HTML page that needs nothing but itself.</summary>
public static class ContentionReport
{
    internal static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    /// <summary>Everything, as one JSON document.</summary>
    public static string Json(IReadOnlyList<ContentionResult> results) => JsonSerializer.Serialize(new { results }, JsonOptions);

    /// <summary>One line a run.</summary>
    public static string Csv(IReadOnlyList<ContentionResult> results)
    {
        var text = new StringBuilder("name,kind,style,cpus,seconds,operations,mops,p50_ns,p90_ns,p99_ns,p999_ns,max_ns,added,lost,lost_percent,failed_updates,evictions,lock_waits,memlock_bytes,native_bytes\n");
        foreach (var result in results)
        {
            var kind = MapTypes.Get(result.Spec.EffectiveKind).Name;
            foreach (var run in result.Runs) Append(text, result.Spec.Name, kind, result.Spec.Style, run);
            foreach (var other in result.Candidates.Skip(1)) Append(text, result.Spec.Name, other.Kind, other.Style, other.Run);
        }

        return text.ToString();
    }

    /// <summary>A page with tables and plots, to be opened from disk.</summary>
    public static string Html(IReadOnlyList<ContentionResult> results)
    {
        var page = new StringBuilder("""
            <!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>BpfSim: map contention</title><style>
            body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}
            .wide{overflow-x:auto}table{border-collapse:collapse;margin:1em 0;font-size:13px;font-variant-numeric:tabular-nums}td,th{border-bottom:1px solid #ddd;padding:.25em .6em;text-align:right;white-space:nowrap}
            td:first-child,th:first-child{text-align:left}.verdict{background:#f3f7ee;border-left:4px solid #5a8f29;padding:.6em 1em}
            .plots{display:flex;flex-wrap:wrap;gap:1em;margin-top:1em}svg{background:#fff;border:1px solid #eee}svg text{font:11px system-ui,sans-serif;fill:#444}
            </style></head><body><h1>Map contention laboratory</h1>

            """);
        foreach (var result in results) AppendResult(page, result);
        return page.Append("</body></html>\n").ToString();
    }

    private static void AppendResult(StringBuilder page, ContentionResult result)
    {
        var spec = result.Spec;
        page.Append($"<h2>{Text(spec.Name)}</h2><p>{Text(Describe(spec))}; measured on {result.HostCpus} processors.</p><div class=\"verdict\">");
        foreach (var line in result.Verdict) page.Append($"<p>{Text(line)}</p>");
        page.Append("</div><div class=\"plots\">");
        var cpus = result.Runs.Select(r => (double)r.Cpus).ToArray();
        page.Append(SvgPlot.Lines("Throughput over CPUs", "CPUs", "million operations/s", cpus,
            [("measured", [.. result.Runs.Select(r => r.MillionsPerSecond)]), ("ideal", [.. cpus.Select(c => c / cpus[0] * result.Runs[0].MillionsPerSecond)])]));
        page.Append(SvgPlot.Lines("Latency", "percentile", "ns, logarithmic", [50, 90, 99, 99.9, 100],
            [.. result.Runs.Select(r => (OnCpus(r), new double[] { r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max }))],
            logarithmic: true, evenly: true));
        var (lost, share) = spec.CarriesRecords ? ("Lost records", "% of those sent") : ("Lost updates", "% of additions");
        page.Append(SvgPlot.Bars(lost, share, [.. result.Runs.Select(r => (OnCpus(r), r.LostPercent))]));
        if (result.Candidates.Count > 1)
        {
            page.Append(SvgPlot.Bars("Throughput by kind and style", "million operations/s",
                [.. result.Candidates.Select(c => (Label(c), c.Run.MillionsPerSecond))]));
            page.Append(SvgPlot.Bars($"{lost} by kind and style", share, [.. result.Candidates.Select(c => (Label(c), c.Run.LostPercent))]));
        }

        page.Append("</div><div class=\"wide\"><table><tr>").AppendJoin("", Columns.Select(c => $"<th>{c.Name}</th>")).Append("</tr>");
        foreach (var (name, run) in Rows(result))
            page.Append($"<tr><td>{Text(name)}</td>").AppendJoin("", Columns.Skip(1).Select(c => $"<td>{Text(c.Value(run))}</td>")).Append("</tr>");
        page.Append("</table></div>");

        static string OnCpus(ContentionRun run) => run.Cpus == 1 ? "1 CPU" : $"{run.Cpus} CPUs";

        string Label(ContentionCandidate candidate) => spec.CarriesRecords ? candidate.Kind : $"{candidate.Kind.Replace(" of ", "\n", StringComparison.Ordinal)}\n{candidate.Style.ToString().ToLowerInvariant()}";
    }

    /// <summary>The rows of the result's table: the runs, then the other kinds and styles.</summary>
    public static IEnumerable<(string Name, ContentionRun Run)> Rows(ContentionResult result)
    {
        string Row(string kind, UpdateStyle style) => result.Spec.CarriesRecords ? kind : $"{kind}, {ContentionVerdict.StyleName(style)}";
        var asked = Row(MapTypes.Get(result.Spec.EffectiveKind).Name, result.Spec.Style);
        foreach (var run in result.Runs) yield return (asked, run);
        foreach (var other in result.Candidates.Skip(1)) yield return (Row(other.Kind, other.Style), other.Run);
    }

    /// <summary>The columns of the result's table; the first is the row's name.</summary>
    public static IReadOnlyList<(string Name, Func<ContentionRun, string> Value)> Columns { get; } =
    [
        ("kind, style", _ => ""),
        ("CPUs", r => r.Cpus.ToString(CultureInfo.InvariantCulture)),
        ("Mops/s", r => r.MillionsPerSecond.ToString("0.##", CultureInfo.InvariantCulture)),
        ("per CPU", r => (r.MillionsPerSecond / r.Cpus).ToString("0.##", CultureInfo.InvariantCulture)),
        ("p50 ns", r => r.Latency.P50.ToString(CultureInfo.InvariantCulture)),
        ("p90", r => r.Latency.P90.ToString(CultureInfo.InvariantCulture)),
        ("p99", r => r.Latency.P99.ToString(CultureInfo.InvariantCulture)),
        ("p99.9", r => r.Latency.P999.ToString(CultureInfo.InvariantCulture)),
        ("max", r => r.Latency.Max.ToString("N0", CultureInfo.InvariantCulture)),
        ("lost", r => r.LostUpdates.ToString("N0", CultureInfo.InvariantCulture)),
        ("lost %", r => r.LostPercent.ToString("0.###", CultureInfo.InvariantCulture)),
        ("failed", r => r.FailedUpdates.ToString("N0", CultureInfo.InvariantCulture)),
        ("evicted", r => r.Evictions.ToString("N0", CultureInfo.InvariantCulture)),
        ("memlock", r => r.KernelBytes.ToString("N0", CultureInfo.InvariantCulture)),
    ];

    /// <summary>An experiment in one line.</summary>
    public static string Describe(ContentionSpec spec)
    {
        var distribution = spec.Distribution switch
        {
            KeyDistribution.Zipf => $"Zipf {spec.ZipfExponent.ToString(CultureInfo.InvariantCulture)}",
            KeyDistribution.Hot => "one hot key",
            KeyDistribution.Disjoint => "keys disjoint by CPU",
            _ => "uniform",
        };
        if (spec.CarriesRecords) return $"{MapTypes.Get(spec.Kind).Name}, records of {spec.ValueSize} B, {spec.MaxEntries} B of buffers, one consumer that sleeps when there are none";
        return $"{MapTypes.Get(spec.EffectiveKind).Name}, {ContentionVerdict.StyleName(spec.Style)}, {(spec.IsStorage ? $"{spec.Keys} tasks" : $"{spec.Keys} key{(spec.Keys == 1 ? "" : "s")} of {spec.KeySize} B")} ({distribution}), " +
            $"values of {spec.ValueSize} B{(spec.IsStorage ? "" : $", max_entries {spec.MaxEntries}")}{(spec.Preallocate ? "" : ", no prealloc")}, " +
            $"read/update/delete {spec.ReadPercent}/{100 - spec.ReadPercent - spec.DeletePercent}/{spec.DeletePercent}";
    }

    private static void Append(StringBuilder text, string name, string kind, UpdateStyle style, ContentionRun run) => text.AppendLine(string.Join(',', new object[]
    {
        name, kind, style.ToString().ToLowerInvariant(), run.Cpus, run.Seconds.ToString("0.###", CultureInfo.InvariantCulture), run.Operations,
        run.MillionsPerSecond.ToString("0.###", CultureInfo.InvariantCulture), run.Latency.P50, run.Latency.P90, run.Latency.P99, run.Latency.P999, run.Latency.Max,
        run.Added, run.LostUpdates, run.LostPercent.ToString("0.####", CultureInfo.InvariantCulture), run.FailedUpdates, run.Evictions, run.LockWaits, run.KernelBytes, run.NativeBytes,
    }));

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
