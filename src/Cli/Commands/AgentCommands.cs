using System.CommandLine;
using System.Text.Json.Nodes;
using BpfSim.Agent.Config;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Object;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim agent check CONFIG.yaml</c>: checks an exporter configuration, alone or against an object file.</summary>
internal sealed class AgentCheckCommand : CliCommand
{
    private readonly Argument<string> _config = new("CONFIG") { Description = "Configuration in ebpf_exporter's YAML form" };
    private readonly Argument<string?> _object = new("OBJECT") { Description = "The object file with the maps (default: CONFIG with .bpf.o, if it is there)", Arity = ArgumentArity.ZeroOrOne };

    private AgentCheckCommand() : base("check", "Checks an exporter configuration against an object file", "bpfsim agent check biolatency.yaml biolatency.bpf.o")
    {
        Arguments.Add(_config);
        Arguments.Add(_object);
        SetAction(Run);
    }

    /// <summary>The group <c>agent</c>.</summary>
    public static Command Create() => new CommandGroup("agent", "The user-space agent that exports maps as metrics", "bpfsim agent check biolatency.yaml biolatency.bpf.o", new AgentCheckCommand());

    private int Run(ParseResult parsed)
    {
        string path = parsed.GetValue(_config)!;
        ExporterConfig config = ExporterConfigReader.ReadFile(path);
        string? objectPath = parsed.GetValue(_object) ?? (File.Exists(Path.ChangeExtension(path, ".bpf.o")) ? Path.ChangeExtension(path, ".bpf.o") : null);
        List<string> problems = objectPath == null ? [] : [.. Problems(config, Open(objectPath))];
        if (parsed.GetValue(CliOptions.Json))
            Console.Out.WriteLine(new JsonObject
            {
                ["config"] = config.Name,
                ["object"] = objectPath,
                ["counters"] = config.Counters.Count,
                ["histograms"] = config.Histograms.Count,
                ["spans"] = config.Spans.Count,
                ["ok"] = problems.Count == 0,
                ["problems"] = new JsonArray([.. problems.Select(p => (JsonNode)p)]),
            }.ToJsonString());
        else
        {
            foreach (string problem in problems) Console.Out.WriteLine($"{path}: {problem}");
            if (problems.Count == 0)
                Console.Out.WriteLine($"{path}: {config.Counters.Count} counters, {config.Histograms.Count} histograms, {config.Spans.Count} spans: ok{(objectPath == null ? " (no object file to check against)" : $" with {objectPath}")}");
        }
        return problems.Count == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    private static ObjectSpec Open(string path)
    {
        try
        {
            return ObjectSource.Open(path);
        }
        catch (Exception e) when (e is ObjectException or IOException or UnauthorizedAccessException)
        {
            throw new CliException($"{path}: {e.Message}");
        }
    }

    private static IEnumerable<string> Problems(ExporterConfig config, ObjectSpec spec)
    {
        foreach (CounterConfig counter in config.Counters)
            foreach (string problem in Problems($"counter '{counter.Name}'", counter.Name, counter.Labels, spec, counter.PerfEventArray)) yield return problem;
        foreach (HistogramConfig histogram in config.Histograms)
            foreach (string problem in Problems($"histogram '{histogram.Name}'", histogram.Name, histogram.Labels, spec, false)) yield return problem;
        foreach (SpanConfig span in config.Spans)
            if (spec.FindMap(span.Ringbuf) is not { Type: MapType.Ringbuf }) yield return $"span '{span.Name}': the object has no ring buffer '{span.Ringbuf}'";
        if (config.CgroupIdMap is { } cgroups && spec.FindMap(cgroups.Name) == null) yield return $"cgroup_id_map: the object has no map '{cgroups.Name}'";
    }

    private static IEnumerable<string> Problems(string metric, string mapName, IReadOnlyList<LabelConfig> labels, ObjectSpec spec, bool perfEventArray)
    {
        if (spec.FindMap(mapName) is not { } map)
        {
            yield return $"{metric}: the object has no map of this name (it has {string.Join(", ", spec.Maps.Select(m => m.Name))})";
            yield break;
        }
        if (perfEventArray != (map.Type == MapType.PerfEventArray))
            yield return $"{metric}: the map is {(map.Type == MapType.PerfEventArray ? "a" : "no")} perf_event_array, but perf_event_array is {(perfEventArray ? "true" : "not set")}";
        if (perfEventArray) yield break;
        int size = labels.Sum(l => l.Size + l.Padding);
        if (labels.Count > 0 && size != map.KeySize) yield return $"{metric}: its labels take {size} bytes, the map's key has {map.KeySize}";
        if (map.ValueSize is not (1 or 2 or 4 or 8)) yield return $"{metric}: the map's value has {map.ValueSize} bytes; a number has 1, 2, 4 or 8";
    }
}
