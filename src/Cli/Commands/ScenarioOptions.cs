using System.CommandLine;
using System.Globalization;
using BpfSim.Agent.Scenarios;
using BpfSim.Kernel;

namespace BpfSim.Cli.Commands;

/// <summary>The options that change a scenario, and what they make of it.</summary>
internal sealed class ScenarioOptions
{
    private readonly Argument<string> _scenario = new("SCENARIO")
    {
        Description = "Scenario file or name of a built-in scenario",
        DefaultValueFactory = _ => "hello-world",
    };

    private readonly Option<ulong?> _seed = new("--seed") { Description = "Where all randomness comes from: same seed, same output", HelpName = "N" };
    private readonly Option<uint?> _cpus = new("--cpus") { Description = "Simulated CPUs, 1 to 256", HelpName = "N" };
    private readonly Option<TimeSpan?> _duration = CliOptions.Duration("--duration", "Simulated time, such as 10s or 250ms");
    private readonly Option<string?> _mode = new("--mode") { Description = "How time runs" };
    private readonly Option<string?> _engine = new("--engine") { Description = "How programs are run (default: jit)" };

    /// <summary>Adds the argument and the options to a command.</summary>
    public ScenarioOptions(Command command)
    {
        _mode.AcceptOnlyFromAmong("virtual", "realtime", "flood");
        _engine.AcceptOnlyFromAmong("jit", "interpreter", "checked");
        _cpus.Validators.Add(r =>
        {
            if (r.Tokens.Count == 1 && uint.TryParse(r.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out uint n) && n is 0 or > 256)
                r.AddError($"--cpus must be from 1 to 256, not {r.Tokens[0].Value}");
        });
        command.Arguments.Add(_scenario);
        foreach (Option option in (Option[])[_seed, _cpus, _duration, _mode, _engine]) command.Options.Add(option);
    }

    /// <summary>Opens the scenario and applies the options.</summary>
    public Scenario Open(ParseResult parsed)
    {
        Scenario scenario = ScenarioReader.Open(parsed.GetValue(_scenario)!);
        MachineSpec machine = scenario.Machine;
        return scenario with
        {
            Duration = parsed.GetValue(_duration) ?? scenario.Duration,
            Machine = machine with
            {
                Seed = parsed.GetValue(_seed) ?? machine.Seed,
                Cpus = parsed.GetValue(_cpus) ?? machine.Cpus,
                Mode = parsed.GetValue(_mode) switch { "virtual" => RunMode.Virtual, "realtime" => RunMode.Realtime, "flood" => RunMode.Flood, _ => machine.Mode },
                Engine = parsed.GetValue(_engine) switch { "jit" => EngineKind.Jit, "interpreter" => EngineKind.Interpreter, "checked" => EngineKind.Checked, _ => machine.Engine },
            },
        };
    }
}
