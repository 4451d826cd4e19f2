using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using BpfSim.Agent.Config;
using BpfSim.Agent.Scenarios;
using BpfSim.Cli.Commands;
using BpfSim.Kernel;
using BpfSim.Kernel.Subsystems;

namespace BpfSim.Cli.Bench;

/// <summary>
/// <c>bpfsim bench events</c>: events a second through subsystem actor, batch, CPU actor and program, in flood mode.
/// Every measurement is reconciled: a number whose events are not all accounted for is a failure.
/// </summary>
internal sealed class BenchEventsCommand : CliCommand
{
    private static readonly (string Name, string Text)[] s_programs =
    [
        ("hello minus printk", """
            .license "GPL"
            .section kprobe/do_sys_openat2
            .func hello
                    r1 = 33
                    *(u16 *)(r10 -4) = r1
                    r1 = 1684828783
                    *(u32 *)(r10 -8) = r1
                    r1 = 0x57202c6f6c6c6548
                    *(u64 *)(r10 -16) = r1
                    r1 = r10
                    r1 += -16
                    r2 = 14
                    r0 = 0
                    exit
            """),
        ("counting", """
            .license "GPL"
            .map counts hash key=4 value=8 entries=10240
            .section kprobe/do_sys_openat2
            .func count
                    call bpf_get_current_pid_tgid
                    r0 >>= 32
                    *(u32 *)(r10 -4) = r0
                    r1 = map[counts]
                    r2 = r10
                    r2 += -4
                    call bpf_map_lookup_elem
                    if r0 != 0 goto add
                    r1 = 0
                    *(u64 *)(r10 -16) = r1
                    r1 = map[counts]
                    r2 = r10
                    r2 += -4
                    r3 = r10
                    r3 += -16
                    r4 = 1
                    call bpf_map_update_elem
                    r1 = map[counts]
                    r2 = r10
                    r2 += -4
                    call bpf_map_lookup_elem
                    if r0 == 0 goto out
            add:
                    r1 = 1
                    lock *(u64 *)(r0 +0) += r1
            out:
                    r0 = 0
                    exit
            """),
    ];

    private readonly Option<TimeSpan?> _duration = CliOptions.Duration("--duration", "Wall time of each measurement (default: 1s)");
    private readonly Option<uint> _cpus = new("--cpus") { Description = "Measure with 1 to this many CPUs", DefaultValueFactory = _ => 2, HelpName = "N" };

    private readonly Option<string?> _engine = new("--engine") { Description = "Only this engine (default: jit and interpreter)" };
    private readonly Option<string?> _program = new("--program") { Description = "Only the program with this name", HelpName = "NAME" };

    public BenchEventsCommand() : base("events", "Events a second through actors, batches and programs, in flood mode", "bpfsim bench events --duration 500ms --cpus 4")
    {
        _cpus.Validators.Add(r =>
        {
            if (r.Tokens.Count == 1 && uint.TryParse(r.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out uint n) && n is 0 or > 64)
                r.AddError($"--cpus must be from 1 to 64, not {r.Tokens[0].Value}");
        });
        _engine.AcceptOnlyFromAmong("jit", "interpreter", "checked");
        foreach (Option option in (Option[])[_duration, _cpus, _engine, _program]) Options.Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancel)
    {
        bool json = parsed.GetValue(CliOptions.Json), holds = true;
        TimeSpan duration = parsed.GetValue(_duration) ?? TimeSpan.FromSeconds(1);
        List<(string Name, string Text)> programs = [.. s_programs, ("counting and latency", Encoding.UTF8.GetString(ScenarioReader.Open("hello-world").Programs[^1].Content))];
        if (parsed.GetValue(_program) is { } only && programs.RemoveAll(p => p.Name != only) > 0 && programs.Count == 0)
            throw new CliException($"--program: there is no '{only}', only {string.Join(", ", s_programs.Select(p => $"'{p.Name}'"))} and 'counting and latency'");
        EngineKind[] engines = Enum.TryParse(parsed.GetValue(_engine), ignoreCase: true, out EngineKind engineOnly) ? [engineOnly] : [EngineKind.Jit, EngineKind.Interpreter];
        JsonArray rows = [];
        if (!json) Console.Out.WriteLine($"{"program",-22} {"engine",-12} {"CPUs",4} {"M events/s",12} {"M a CPU",10} {"ns/event",10} {"cores",6}");
        foreach ((string name, string text) in programs)
            foreach (EngineKind engine in engines)
                for (uint cpus = 1; cpus <= parsed.GetValue(_cpus) && !cancel.IsCancellationRequested; cpus *= 2)
                {
                    (ulong events, double seconds, double cores, bool accounted) = await MeasureAsync(name, text, engine, cpus, duration, cancel).ConfigureAwait(false);
                    holds &= accounted;
                    double rate = events / seconds;
                    if (json)
                        rows.Add(new JsonObject
                        {
                            ["program"] = name,
                            ["engine"] = engine.ToString().ToLowerInvariant(),
                            ["cpus"] = cpus,
                            ["events"] = events,
                            ["seconds"] = seconds,
                            ["events_per_second"] = rate,
                            ["cores"] = cores,
                            ["accounted"] = accounted,
                        });
                    else
                        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                            $"{name,-22} {engine.ToString().ToLowerInvariant(),-12} {cpus,4} {rate / 1e6,12:0.00} {rate / 1e6 / cpus,10:0.00} {1e9 * cpus / rate,10:0.0} {cores,6:0.00}{(accounted ? "" : "  NOT every event is accounted for")}"));
                }
        if (json) Console.Out.WriteLine(new JsonObject { ["results"] = rows }.ToJsonString());
        return cancel.IsCancellationRequested ? ExitCode.Interrupted : holds ? ExitCode.Done : ExitCode.Failed;
    }

    private static async Task<(ulong Events, double Seconds, double Cores, bool Accounted)> MeasureAsync(
        string name, string text, EngineKind engine, uint cpus, TimeSpan duration, CancellationToken cancel)
    {
        Scenario scenario = new()
        {
            Name = name,
            File = name,
            Duration = duration,
            Machine = new MachineSpec
            {
                Cpus = cpus,
                Engine = engine,
                Mode = RunMode.Flood,
                Workload = new WorkloadSpec
                {
                    Processes = [new ProcessSpec { Comm = "flood", Count = (int)cpus * 4, Activities = [new ActivitySpec { Kind = Kernel.Subsystems.ActivityKind.Open, Rate = 1e6 }] }],
                },
            },
            Programs = [new ProgramSource(name + ".bpf.s", ProgramSourceKind.Assembly, Encoding.UTF8.GetBytes(text), new Dictionary<string, string>(), new Dictionary<string, string>(), 0)],
            Agent = new ExporterConfig { Name = name },
        };
        using ScenarioRun run = RunCommand.Start(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero });
        await WarmUpAsync(run, cancel).ConfigureAwait(false);
        ulong before = Runs(run);
        TimeSpan busy = Environment.CpuUsage.TotalTime;
        Stopwatch watch = Stopwatch.StartNew();
        await Task.Run(() => run.Machine.Run(duration, cancel), CancellationToken.None).ConfigureAwait(false);
        double seconds = watch.Elapsed.TotalSeconds;
        double cores = (Environment.CpuUsage.TotalTime - busy).TotalSeconds / seconds;
        return (Runs(run) - before, seconds, cores, run.Machine.Reconcile().All(r => r.Balanced));
    }

    /// <summary>Runs until the runtime has compiled what is hot as well as it can: until two rounds bring nothing more.</summary>
    private static async Task WarmUpAsync(ScenarioRun run, CancellationToken cancel)
    {
        ulong best = 0;
        for (int round = 0, same = 0; round < 12 && same < 2 && !cancel.IsCancellationRequested; round++)
        {
            ulong start = Runs(run);
            await Task.Run(() => run.Machine.Run(TimeSpan.FromMilliseconds(150), cancel), CancellationToken.None).ConfigureAwait(false);
            ulong events = Runs(run) - start;
            same = round > 1 && events < best + best / 20 ? same + 1 : 0;
            best = Math.Max(best, events);
        }
    }

    private static ulong Runs(ScenarioRun run) => run.Machine.Reconcile().Aggregate(0UL, (sum, r) => sum + r.Runs);
}
