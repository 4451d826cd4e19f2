using BpfSim.Agent.Config;
using BpfSim.Kernel;
using BpfSim.Kernel.Laboratory;

namespace BpfSim.Agent.Scenarios;

/// <summary>A run that can be repeated: a machine, what its processes do, which programs watch it, and what is exported.</summary>
public sealed record Scenario
{
    /// <summary>The scenario's name: the file name without extension.</summary>
    public required string Name { get; init; }

    /// <summary>The file as the user named it.</summary>
    public string File { get; init; } = "";

    /// <summary>One sentence on what it shows.</summary>
    public string Description { get; init; } = "";

    /// <summary>The machine and its workload.</summary>
    public required MachineSpec Machine { get; init; }

    /// <summary>How long it runs, in simulated time.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The programs, in the order of loading.</summary>
    public IReadOnlyList<ProgramSource> Programs { get; init; } = [];

    /// <summary>What the agent exports.</summary>
    public required ExporterConfig Agent { get; init; }

    /// <summary>What maps must hold at the end, by the ledger.</summary>
    public IReadOnlyList<Expectation> Expectations { get; init; } = [];

    /// <summary>Experiments of the contention laboratory: a scenario that has any runs these, and no machine.</summary>
    public IReadOnlyList<ContentionSpec> Contention { get; init; } = [];
}

/// <summary>Where programs come from.</summary>
/// <param name="Name">As written in the scenario.</param>
/// <param name="Kind">How to read the bytes.</param>
/// <param name="Content">The file's bytes.</param>
/// <param name="Attach">Which programs to attach where, by program name; empty: all, where their SEC() says.</param>
/// <param name="MaxEntries">Capacities that replace those of the object, by map name.</param>
/// <param name="Line">Line in the scenario, for errors.</param>
public sealed record ProgramSource(
    string Name, ProgramSourceKind Kind, byte[] Content, IReadOnlyDictionary<string, string> Attach,
    IReadOnlyDictionary<string, string> MaxEntries, long Line);

/// <summary>How a program is given.</summary>
public enum ProgramSourceKind
{
    /// <summary>An ELF object.</summary>
    Object,

    /// <summary>Assembler text.</summary>
    Assembly,

    /// <summary>Instructions as bytes in hex, loaded through bpf(2) as they are.</summary>
    Bytes,
}

/// <summary>A metric that must agree with the ledger, the simulation's own count of what happened.</summary>
/// <param name="Metric">The metric, without prefix.</param>
/// <param name="Measure">The ledger's measure.</param>
/// <param name="Value">What a counter counts: count, sum or errors.</param>
/// <param name="Unit">By what the ledger's values (nanoseconds, bytes) are divided, rounding down, before the program counts them.</param>
/// <param name="Line">Line in the scenario.</param>
public sealed record Expectation(string Metric, string Measure, ExpectedValue Value, ulong Unit, long Line);

/// <summary>What of a ledger's entry a counter counts.</summary>
public enum ExpectedValue
{
    /// <summary>Events.</summary>
    Count,

    /// <summary>The sum of their values.</summary>
    Sum,

    /// <summary>Events that ended in an error.</summary>
    Errors,
}
