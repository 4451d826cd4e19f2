using System.CommandLine;
using System.Text.Json.Nodes;
using BpfSim.Agent.Scenarios;
using BpfSim.Cli.Output;
using BpfSim.Kernel.Bpf;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim map show|dump SCENARIO</c>: runs a scenario in silence and prints its maps as bpftool does.</summary>
internal sealed class MapCommand : CliCommand
{
    private readonly ScenarioOptions _scenario;
    private readonly Argument<string[]> _which = new("MAP") { Description = "id ID or name NAME; all maps if left out", Arity = ArgumentArity.ZeroOrMore };
    private readonly bool _dump;

    private MapCommand(string name, string description, bool dump) : base(name, description, $"bpfsim map {name} hello-world", $"bpfsim map {name} hello-world name openat_total --json")
    {
        _dump = dump;
        _scenario = new ScenarioOptions(this);
        Arguments.Add(_which);
        SetAction(RunAsync);
    }

    /// <summary>The group <c>map</c>.</summary>
    public static Command Create() => new CommandGroup("map", "Prints the maps of a scenario as they stand at its end", "bpfsim map dump hello-world name openat_total",
        new MapCommand("show", "Lists maps, as bpftool map show", false), new MapCommand("list", "The same as show", false), new MapCommand("dump", "Prints the elements of maps, as bpftool map dump", true));

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancel)
    {
        Scenario scenario = _scenario.Open(parsed);
        Func<MapObject, bool> selected = Selector(parsed.GetValue(_which) ?? []);
        using ScenarioRun run = RunCommand.Start(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero });
        run.Machine.Trace.LineWritten += _ => { };
        await Task.Run(() => run.Run(null, cancel), CancellationToken.None).ConfigureAwait(false);
        List<MapObject> maps = [.. run.Machine.Bpf.Maps.Where(selected)];
        if (maps.Count == 0) throw new CliException("no such map", ExitCode.Failed);
        bool json = parsed.GetValue(CliOptions.Json);
        if (json) Console.Out.WriteLine(Json(maps).ToJsonString());
        else
            foreach (MapObject map in maps)
            {
                if (!_dump || maps.Count > 1) MapPrinter.Show(Console.Out, map);
                if (_dump) MapPrinter.DumpTyped(Console.Out, map);
            }
        return cancel.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Done;
    }

    /// <summary>As bpftool: one map alone is not wrapped in a list.</summary>
    private JsonNode Json(List<MapObject> maps)
    {
        if (maps.Count == 1) return _dump ? MapPrinter.DumpJson(maps[0]) : MapPrinter.ShowJson(maps[0]);
        JsonArray all = [];
        foreach (MapObject map in maps)
        {
            JsonObject json = MapPrinter.ShowJson(map);
            if (_dump) json["elements"] = MapPrinter.DumpJson(map);
            all.Add(json);
        }
        return all;
    }

    private static Func<MapObject, bool> Selector(string[] words) => words switch
    {
        [] => _ => true,
        ["id", var id] => uint.TryParse(id, out uint number) ? map => map.Id == number : throw new CliException($"'{id}' is not a map id"),
        ["name", var name] => map => map.Name == (name.Length > 15 ? name[..15] : name),
        _ => throw new CliException($"expected 'id ID' or 'name NAME', not '{string.Join(' ', words)}'"),
    };
}
