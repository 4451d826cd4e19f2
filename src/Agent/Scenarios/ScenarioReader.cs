using System.Globalization;
using BpfSim.Agent.Config;
using BpfSim.Kernel;
using BpfSim.Kernel.Subsystems;

namespace BpfSim.Agent.Scenarios;

/// <summary>Reads scenarios: YAML files, or the built-in ones by name.</summary>
public static class ScenarioReader
{
    private const string BuiltInPrefix = "BpfSim.Agent.BuiltIn.";

    /// <summary>Names of the built-in scenarios.</summary>
    public static IReadOnlyList<string> BuiltIn { get; } =
        [.. typeof(ScenarioReader).Assembly.GetManifestResourceNames()
            .Where(n => n.StartsWith(BuiltInPrefix + "scenarios.", StringComparison.Ordinal))
            .Select(n => Path.GetFileNameWithoutExtension(n[(BuiltInPrefix.Length + "scenarios.".Length)..])).Order()];

    /// <summary>Reads a built-in scenario, or else a file.</summary>
    /// <exception cref="ConfigException">There is none, or it cannot be used.</exception>
    public static Scenario Open(string nameOrPath)
    {
        if (BuiltIn.Contains(nameOrPath))
            return Parse(nameOrPath + ".yaml", System.Text.Encoding.UTF8.GetString(Resource($"scenarios.{nameOrPath}.yaml")!),
                path => Resource("programs." + Path.GetFileName(path)));
        string text;
        try
        {
            text = File.ReadAllText(nameOrPath);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ConfigException(nameOrPath, 0, $"no such file, and no built-in scenario of this name ({string.Join(", ", BuiltIn)})");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ConfigException(nameOrPath, 0, Directory.Exists(nameOrPath) ? "is a directory" : e.Message);
        }
        string folder = Path.GetDirectoryName(Path.GetFullPath(nameOrPath))!;
        return Parse(nameOrPath, text, path => File.Exists(Path.Combine(folder, path)) ? File.ReadAllBytes(Path.Combine(folder, path)) : null);
    }

    /// <summary>Reads a scenario's text.</summary>
    /// <param name="file">Names it in errors.</param>
    /// <param name="text">The YAML.</param>
    /// <param name="open">Finds the files that it names; null for one that is not there.</param>
    /// <exception cref="ConfigException">It cannot be used.</exception>
    public static Scenario Parse(string file, string text, Func<string, byte[]?> open)
    {
        YamlMap top = YamlMap.Parse(file, text);
        string name = Path.GetFileNameWithoutExtension(file);
        top.Text("name");
        ExporterConfig agent = ReadAgent(top, name, open);
        string[] metrics = [.. agent.Counters.Select(c => c.Name), .. agent.Histograms.Select(h => h.Name)];
        Scenario scenario = new()
        {
            Name = name,
            File = file,
            Description = top.Text("description") ?? "",
            Duration = Duration(top, "duration") ?? TimeSpan.FromSeconds(1),
            Machine = new MachineSpec
            {
                Cpus = (uint)(top.Integer("cpus", 1, 256) ?? 2),
                Seed = (ulong)(top.Integer("seed", 0, long.MaxValue) ?? 1),
                Mode = top.Word("mode", "virtual", "realtime", "flood") switch { "realtime" => RunMode.Realtime, "flood" => RunMode.Flood, _ => RunMode.Virtual },
                Engine = top.Word("engine", "jit", "interpreter", "checked") switch { "interpreter" => EngineKind.Interpreter, "checked" => EngineKind.Checked, _ => EngineKind.Jit },
                Workload = new WorkloadSpec
                {
                    Processes = [.. top.Maps("processes").Select(ReadProcess)],
                    Disks = top.Has("disks") ? [.. top.Maps("disks").Select(ReadDisk)] : [new DiskSpec()],
                },
            },
            Programs = [.. top.Maps("programs").Select(p => ReadProgram(p, open))],
            Agent = agent,
            Expectations = [.. top.Maps("expect").Select(e => ReadExpectation(e, metrics))],
            Contention = [.. top.Maps("contention").Select(ContentionReader.Read)],
        };
        top.RejectUnknownKeys();
        if (scenario.Machine.Workload.Processes.Count + scenario.Programs.Count + scenario.Contention.Count == 0)
            throw new ConfigException(file, 0, "nothing to run: neither 'processes' nor 'programs' nor 'contention'");
        return scenario;
    }

    /// <summary>Reads a time such as 10s, 250ms or 2m; null if absent.</summary>
    private static TimeSpan? Duration(YamlMap map, string key)
    {
        if (map.Text(key) is not { } text) return null;
        return DurationText.TryParse(text, out TimeSpan value) ? value
            : throw map.Error(key, $"'{key}' must be a time such as 10s, 250ms or 2m, not '{text}'");
    }

    private static byte[]? Resource(string name)
    {
        using Stream? stream = typeof(ScenarioReader).Assembly.GetManifestResourceStream(BuiltInPrefix + name);
        if (stream == null) return null;
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    private static ExporterConfig ReadAgent(YamlMap top, string name, Func<string, byte[]?> open)
    {
        if (top.Has("agent_config"))
        {
            string path = top.RequiredText("agent_config");
            byte[] bytes = open(path) ?? throw top.Error("agent_config", $"no such file '{path}'");
            return ExporterConfigReader.Parse(path, System.Text.Encoding.UTF8.GetString(bytes));
        }
        return top.Map("agent") is { } inline ? ExporterConfigReader.Read(inline, name) : new ExporterConfig { Name = name };
    }

    private static ProgramSource ReadProgram(YamlMap map, Func<string, byte[]?> open)
    {
        (string Key, ProgramSourceKind Kind)[] kinds =
            [("object", ProgramSourceKind.Object), ("asm", ProgramSourceKind.Assembly), ("bytes", ProgramSourceKind.Bytes)];
        (string Key, ProgramSourceKind Kind)[] given = [.. kinds.Where(k => map.Has(k.Key))];
        if (given.Length != 1) throw new ConfigException(map.File, map.Line, "a program needs one of 'object', 'asm' or 'bytes'");
        string path = map.RequiredText(given[0].Key);
        byte[] content = open(path) ?? throw map.Error(given[0].Key, $"no such file '{path}'");
        ProgramSource source = new(path, given[0].Kind, content, map.Dictionary("attach"), map.Dictionary("max_entries"), map.LineOf(given[0].Key));
        map.RejectUnknownKeys();
        return source;
    }

    private static ProcessSpec ReadProcess(YamlMap map)
    {
        string comm = map.RequiredText("comm");
        if (System.Text.Encoding.UTF8.GetByteCount(comm) > 15) throw map.Error("comm", $"'comm' has at most 15 bytes, not '{comm}'");
        ProcessSpec process = new()
        {
            Comm = comm,
            Count = (int)(map.Integer("count", 1, 100_000) ?? 1),
            Threads = (int)(map.Integer("threads", 1, 10_000) ?? 1),
            Pid = (uint)(map.Integer("pid", 0, 4_194_303) ?? 0),
            Uid = (uint)(map.Integer("uid", 0, uint.MaxValue) ?? 0),
            Gid = (uint)(map.Integer("gid", 0, uint.MaxValue) ?? 0),
            Executable = map.Text("executable"),
            Cgroup = map.Text("cgroup") ?? "/",
            Nice = (int)(map.Integer("nice", -20, 19) ?? 0),
            StartSeconds = Duration(map, "start")?.TotalSeconds ?? 0,
            StopSeconds = Duration(map, "stop")?.TotalSeconds,
            Activities = [.. map.Maps("activities").Select(ReadActivity)],
        };
        map.RejectUnknownKeys();
        return process;
    }

    private static ActivitySpec ReadActivity(YamlMap map)
    {
        string[] kinds = [.. Enum.GetNames<ActivityKind>().Select(n => n == "UserCall" ? "user_call" : n.ToLowerInvariant())];
        string kind = map.Word("kind", kinds) ?? throw map.Error("kind", $"'kind' is missing: one of {string.Join(", ", kinds)}");
        ActivitySpec standard = new() { Kind = (ActivityKind)Array.IndexOf(kinds, kind) };
        ActivitySpec activity = standard with
        {
            Rate = map.Number("rate", 1e-6, 1e7) ?? standard.Rate,
            Files = map.Texts("files"),
            Bytes = (uint)(map.Integer("bytes", 0, 1 << 30) ?? standard.Bytes),
            MissChance = map.Number("miss_chance", 0, 1) ?? standard.MissChance,
            ComputeNs = (ulong)((Duration(map, "compute")?.Ticks * 100) ?? (long)standard.ComputeNs),
            Sync = map.Flag("sync"),
            Peer = map.Text("peer"),
            Target = map.Text("target"),
        };
        map.RejectUnknownKeys();
        return activity;
    }

    private static DiskSpec ReadDisk(YamlMap map)
    {
        DiskSpec standard = new();
        DiskSpec disk = standard with
        {
            Name = map.Text("name") ?? standard.Name,
            Major = (uint)(map.Integer("major", 0, 4095) ?? standard.Major),
            Minor = (uint)(map.Integer("minor", 0, 1_048_575) ?? standard.Minor),
            ReadLatencyNs = (ulong)((Duration(map, "read_latency")?.Ticks * 100) ?? (long)standard.ReadLatencyNs),
            WriteLatencyNs = (ulong)((Duration(map, "write_latency")?.Ticks * 100) ?? (long)standard.WriteLatencyNs),
            Spread = map.Number("spread", 0, 10) ?? standard.Spread,
            QueueDepth = (int)(map.Integer("queue_depth", 1, 65536) ?? standard.QueueDepth),
        };
        map.RejectUnknownKeys();
        return disk;
    }

    private static Expectation ReadExpectation(YamlMap map, IReadOnlyCollection<string> metrics)
    {
        string metric = map.RequiredText("metric");
        if (!metrics.Contains(metric)) throw map.Error("metric", $"'{metric}' is no metric of this scenario's agent");
        Expectation expectation = new(metric, map.RequiredText("measure"),
            map.Word("value", "count", "sum", "errors") switch { "sum" => ExpectedValue.Sum, "errors" => ExpectedValue.Errors, _ => ExpectedValue.Count },
            (ulong)(map.Integer("unit", 1, 1_000_000_000) ?? 1), map.LineOf("metric"));
        map.RejectUnknownKeys();
        return expectation;
    }
}
