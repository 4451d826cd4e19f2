using System.CommandLine;
using BpfSim.Cli.Commands;

namespace BpfSim.Cli;

/// <summary>Every command of <c>bpfsim</c>, in the order of its help.</summary>
internal static class CommandList
{
    /// <summary>The top-level commands.</summary>
    public static Command[] Create() =>
    [
        new RunCommand(),
        new StraceCommand(),
        MapCommand.Create(),
        AgentCheckCommand.Create(),
        new VerifyCommand(),
        Commands.Prog.ProgCommands.Create(),
        Commands.Btf.BtfCommands.Create(),
        new AsmCommand(),
        new DisasmCommand(),
        new ConformanceCommand(),
        new CommandGroup("bench", "Benchmarks with a table of ratios against the rivals found on the machine", "bpfsim bench maps hot-counter", Bench()),
    ];

    /// <summary>The commands under <c>bpfsim bench</c>.</summary>
    public static Command[] Bench() =>
    [
        new Bench.BenchVmCommand(),
        new Bench.BenchMapsCommand(),
        new Bench.BenchEventsCommand(),
        new Bench.BenchVerifierCommand(),
    ];
}
