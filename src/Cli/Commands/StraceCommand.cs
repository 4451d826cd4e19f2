using System.CommandLine;
using System.Text.Json.Nodes;
using BpfSim.Agent.Config;
using BpfSim.Agent.Scenarios;
using BpfSim.Kernel;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Vm.Object;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim strace SCENARIO|FILE</c>: the bpf(2) calls that loading makes, as strace prints them.</summary>
internal sealed class StraceCommand : CliCommand
{
    private readonly Argument<string> _target = new("SCENARIO|FILE") { Description = "A scenario, a BPF object file, or assembler text (*.s)" };

    public StraceCommand() : base("strace", "Prints the bpf(2) calls that loading makes, as strace -v -ebpf does",
        "bpfsim strace hello-world", "bpfsim strace programs/opensnoop.bpf.o")
    {
        Arguments.Add(_target);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string target = parsed.GetValue(_target)!;
        List<BpfCall> calls = [];
        string? problem = IsObject(target) ? TraceObject(target, calls) : TraceScenario(target, calls);
        if (parsed.GetValue(CliOptions.Json))
            Console.Out.WriteLine(new JsonArray([.. calls.Select(c => new JsonObject
            {
                ["command"] = c.Command.ToString(), ["result"] = c.Result, ["text"] = BpfStrace.Format(c),
            })]).ToJsonString());
        else
            foreach (BpfCall call in calls) Console.Out.WriteLine(BpfStrace.Format(call));
        return problem == null ? ExitCode.Done : throw new CliException(problem, ExitCode.Failed);
    }

    private static bool IsObject(string path)
    {
        if (!File.Exists(path)) return false;
        if (path.EndsWith(".s", StringComparison.Ordinal)) return true;
        using FileStream file = File.OpenRead(path);
        Span<byte> magic = stackalloc byte[4];
        return file.ReadAtLeast(magic, 4, throwOnEndOfStream: false) == 4 && magic.SequenceEqual("\u007fELF"u8);
    }

    private static string? TraceObject(string path, List<BpfCall> calls)
    {
        using Machine machine = new(new MachineSpec());
        machine.Bpf.Called += calls.Add;
        try
        {
            using BpfObject loaded = BpfObject.Open(path);
            loaded.Load(machine);
            machine.Bpf.Called -= calls.Add;
            return null;
        }
        catch (ObjectException e)
        {
            throw new CliException($"{path}: {e.Message}");
        }
        catch (BpfObjectException e)
        {
            return $"{path}: {e.Message}";
        }
    }

    private static string? TraceScenario(string name, List<BpfCall> calls)
    {
        Scenario scenario = ScenarioReader.Open(name);
        try
        {
            bool loading = true;
            using ScenarioRun run = new(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero }, call =>
            {
                if (loading) calls.Add(call);
            });
            loading = false;
            return null;
        }
        catch (BpfObjectException e)
        {
            return $"{scenario.File}: {e.Message}";
        }
    }
}
