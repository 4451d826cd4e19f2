using Akka.Actor;
using BpfSim.Agent.Config;
using BpfSim.Agent.Decoders;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;
using BpfSim.Kernel;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Agent.Scenarios;

/// <summary>What of a run is not the scenario's business: where its metrics go.</summary>
public sealed record ScenarioRunOptions
{
    /// <summary>Where OTLP goes, or null.</summary>
    public OtlpEndpoint? Otlp { get; init; }

    /// <summary>Where Prometheus may scrape, or null. Port 0 takes a free one.</summary>
    public (string Host, int Port)? Prometheus { get; init; }

    /// <summary>Time between two readings of the maps by the agent, in wall time; zero: only at the end.</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromMilliseconds(250);
}

/// <summary>
/// A scenario on its machine: programs loaded and attached, the agent reading their maps. In use:
/// <code>
/// using var run = new ScenarioRun(ScenarioReader.Open("hello-world"), new ScenarioRunOptions());
/// run.Run();
/// Flushed result = await run.FlushAsync();
/// Reconciliation account = run.Reconcile(result.Metrics);
/// </code>
/// </summary>
public sealed class ScenarioRun : IDisposable
{
    private const int ProgressSteps = 100;
    private readonly List<BpfObject> _objects = [];
    private readonly PrometheusServer? _prometheus;
    private readonly IActorRef _agent;
    private readonly UserSpace? _userSpace;

    /// <summary>Builds the machine, loads and attaches the programs, starts the agent; no time passes yet.</summary>
    /// <param name="scenario">What to run.</param>
    /// <param name="options">Where its metrics go.</param>
    /// <param name="calls">Sees every bpf(2) call, from the first on; may be null.</param>
    /// <exception cref="ConfigException">The scenario names what it does not have.</exception>
    /// <exception cref="BpfObjectException">The kernel refuses a program or map.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">The Prometheus port is in use.</exception>
    public ScenarioRun(Scenario scenario, ScenarioRunOptions options, Action<BpfCall>? calls = null)
    {
        Scenario = scenario;
        LatestMetrics latest = new();
        if (options.Prometheus is { } endpoint)
            _prometheus = new PrometheusServer(endpoint.Host, endpoint.Port, () => PrometheusText.Write(latest.Value));
        Machine = new Machine(scenario.Machine);
        try
        {
            if (calls != null) Machine.Bpf.Called += calls;
            HashSet<string> addresses = [];
            foreach (ProgramSource source in scenario.Programs)
                _objects.Add(ScenarioLoader.Load(Machine, scenario.File, source, o => UserSpace.SetKernelAddresses(scenario, o, addresses)));
            if (scenario.Agent.KernelAddresses.FirstOrDefault(k => !addresses.Contains(k)) is { } unused)
                throw new ConfigException(scenario.File, 0, $"kaddrs: no program has a variable 'kaddr_{unused}'");
            _userSpace = new UserSpace(Machine, scenario, _objects);
        }
        catch
        {
            Dispose();
            throw;
        }
        _agent = Machine.ActorSystem.ActorOf(AgentActor.Props(AgentSpec(options), latest), "agent");
    }

    /// <summary>What is run.</summary>
    public Scenario Scenario { get; }

    /// <summary>The machine, for its ledger, trace and hooks.</summary>
    public Machine Machine { get; }

    /// <summary>The loaded objects, in the scenario's order.</summary>
    public IReadOnlyList<BpfObject> Objects => _objects;

    /// <summary>The agent, for tests that make it crash.</summary>
    internal IActorRef Agent => _agent;

    /// <summary>The port that Prometheus may scrape; 0 if there is none.</summary>
    public int PrometheusPort => _prometheus?.Port ?? 0;

    /// <summary>Lets the scenario's time pass.</summary>
    /// <param name="progress">Told the finished part, 0 to 1, as it grows.</param>
    /// <param name="cancellation">Ends the run early.</param>
    public void Run(Action<double>? progress = null, CancellationToken cancellation = default)
    {
        ulong start = Machine.NowNs;
        double total = Scenario.Duration.Ticks * 100.0;
        // Windows end where user space is called: always at the same moments, whether anybody looks or not.
        using IDisposable _ = Machine.Every(TimeSpan.FromTicks(Math.Max(1, Scenario.Duration.Ticks / ProgressSteps)), now => progress?.Invoke((now - start) / total));
        Machine.Run(Scenario.Duration, cancellation);
    }

    /// <summary>Reads the maps a last time and delivers all metrics.</summary>
    public Task<Flushed> FlushAsync()
    {
        _userSpace?.Consume();
        return _agent.Ask<Flushed>(new Flush(), TimeSpan.FromSeconds(30));
    }

    /// <summary>Draws up the final account.</summary>
    public Reconciliation Reconcile(MetricSnapshot metrics) =>
        Reconciliation.Of(Scenario, Machine.Hooks.AllAttachments, Machine.Ledger, metrics, Machine.Crashes);

    /// <summary>Stops the agent and the machine.</summary>
    public void Dispose()
    {
        _prometheus?.Dispose();
        _userSpace?.Dispose();
        // First its actors, which read maps, then the maps: the machine knows the order.
        Machine.Dispose();
    }

    private AgentSpec AgentSpec(ScenarioRunOptions options)
    {
        List<ObservedMap> maps = [];
        foreach (BpfObjectMap map in _objects.SelectMany(o => o.Maps))
            if (map.Fd >= 0 && maps.All(m => m.Name != map.Name))
                maps.Add(new ObservedMap(map.Name, map.Live.Spec with { Name = map.Name }, map.Live.Cpus, Machine.ActorSystem.ActorOf(MapActor.Props(map.Live))));
        return new AgentSpec
        {
            Config = Scenario.Agent,
            Maps = maps,
            Records = _userSpace!.Counts,
            Names = Names(),
            PollInterval = options.PollInterval,
            Programs = Programs,
            Otlp = options.Otlp,
            ResourceAttributes =
            [
                new("bpfsim.scenario", Scenario.Name), new("bpfsim.seed", (long)Scenario.Machine.Seed), new("bpfsim.cpus", (long)Scenario.Machine.Cpus),
            ],
        };
    }

    private KernelNames Names() => new()
    {
        Symbol = KernelSymbols.NameOf,
        Cgroup = id => Scenario.Machine.Workload.Cgroups.FirstOrDefault(c => c.Id == id).Path,
        Interface = index => WorkloadSpec.Interfaces.GetValueOrDefault(index),
        BlockDevice = (major, minor) => Scenario.Machine.Workload.Disks.FirstOrDefault(d => d.Major == major && d.Minor == minor)?.Name,
    };

    private List<ProgramStatus> Programs()
    {
        IReadOnlyList<Attachment> attachments = Machine.Hooks.AllAttachments;
        return [.. Machine.Bpf.Programs.Select(p => new ProgramStatus(p.Id, p.Name, p.TagText, attachments.Any(a => a.Program == p),
            p.RunTimeNs, attachments.Where(a => a.Program == p).Aggregate(0UL, (sum, a) => sum + a.Runs)))];
    }
}
