using Akka.Actor;
using BpfSim.Agent.Config;
using BpfSim.Agent.Decoders;
using BpfSim.Agent.Export;
using BpfSim.Maps;

namespace BpfSim.Agent;

/// <summary>A map that the agent reads, by its actor.</summary>
/// <param name="Name">The map's name, which is the metric's.</param>
/// <param name="Spec">Its blueprint.</param>
/// <param name="Cpus">Copies of each value if it is a per-CPU map.</param>
/// <param name="Actor">The map's actor, user space's door to it.</param>
public sealed record ObservedMap(string Name, MapSpec Spec, uint Cpus, IActorRef Actor);

/// <summary>What the agent reports about a loaded program.</summary>
/// <param name="Id">The program's id.</param>
/// <param name="Name">Its name.</param>
/// <param name="Tag">Its tag in hex.</param>
/// <param name="Attached">Whether a link attaches it.</param>
/// <param name="RunTimeNs">Nanoseconds spent in it.</param>
/// <param name="RunCount">How often it ran.</param>
public readonly record struct ProgramStatus(uint Id, string Name, string Tag, bool Attached, ulong RunTimeNs, ulong RunCount);

/// <summary>Everything that an agent is started with; a restarted agent gets the same and resumes from the maps.</summary>
public sealed record AgentSpec
{
    /// <summary>What to export.</summary>
    public required ExporterConfig Config { get; init; }

    /// <summary>The maps that exist.</summary>
    public IReadOnlyList<ObservedMap> Maps { get; init; } = [];

    /// <summary>Counts of the records of perf_event_arrays, which no map holds.</summary>
    public IReadOnlyList<RecordCounts> Records { get; init; } = [];

    /// <summary>The kernel's names for numbers.</summary>
    public KernelNames Names { get; init; } = new();

    /// <summary>Time between two readings of the maps, in wall time; zero: only when asked.</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How long a map may take to answer before the reading goes on without it.</summary>
    public TimeSpan MapTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The loaded programs as they stand now.</summary>
    public Func<IReadOnlyList<ProgramStatus>> Programs { get; init; } = () => [];

    /// <summary>Where OTLP goes, or null.</summary>
    public OtlpEndpoint? Otlp { get; init; }

    /// <summary>What OTLP's resource says beside service.name and service.version.</summary>
    public IReadOnlyList<KeyValuePair<string, object>> ResourceAttributes { get; init; } = [];
}
