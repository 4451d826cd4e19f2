using System.Globalization;
using BpfSim.Agent.Metrics;

namespace BpfSim.Agent;

/// <summary>What ebpf_exporter reports about itself and its programs.</summary>
internal static class OwnMetrics
{
    /// <summary>The agent's own metrics as they stand now.</summary>
    public static IEnumerable<MetricFamily> Of(AgentSpec spec)
    {
        IReadOnlyList<ProgramStatus> programs = spec.Programs();
        string config = spec.Config.Name;
        yield return Family("enabled_configs", "The set of enabled configs", MetricKind.Gauge, ["name"], [new([config], 1)]);
        yield return Family("ebpf_program_info", "Info about ebpf programs", MetricKind.Gauge, ["config", "id", "program", "tag"],
            [.. programs.Select(p => new Sample([config, Id(p), p.Name, p.Tag], 1))]);
        yield return Family("ebpf_program_attached", "Whether a program is attached", MetricKind.Gauge, ["id"],
            [.. programs.Select(p => new Sample([Id(p)], p.Attached ? 1u : 0u))]);
        yield return Family("ebpf_program_run_time_seconds", "How long the program has been executing", MetricKind.Counter, ["id"],
            [.. programs.Select(p => new Sample([Id(p)], p.RunTimeNs))]) with
        { Scale = 1e-9 };
        yield return Family("ebpf_program_run_count_total", "How many times the program has been executed", MetricKind.Counter, ["id"],
            [.. programs.Select(p => new Sample([Id(p)], p.RunCount))]);
        if (spec.Records.Count > 0)
            yield return Family("lost_records_total", "Records of perf_event_arrays that are in no count", MetricKind.Counter, ["config", "map"],
                [.. spec.Records.Select(r => new Sample([config, r.Name], r.Lost))]);
    }

    private static MetricFamily Family(string name, string help, MetricKind kind, string[] labels, Sample[] samples) =>
        new(MetricBuilder.Prefix + name, help, kind, labels, Own: true) { Samples = samples };

    private static string Id(ProgramStatus program) => program.Id.ToString(CultureInfo.InvariantCulture);
}
