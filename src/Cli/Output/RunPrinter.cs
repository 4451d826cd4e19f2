using System.Text.Json.Nodes;
using BpfSim.Agent.Metrics;
using BpfSim.Agent.Scenarios;
using BpfSim.Kernel.Bpf;

namespace BpfSim.Cli.Output;

/// <summary>What a run prints after its trace: maps, metrics, reconciliation.</summary>
internal static class RunPrinter
{
    private const int MapElements = 20;

    /// <summary>The three parts, each under its heading.</summary>
    public static void Print(TextWriter output, ScenarioRun run, MetricSnapshot metrics, Reconciliation account)
    {
        output.Write("\nmaps\n");
        foreach (MapObject map in run.Machine.Bpf.Maps)
        {
            MapPrinter.Show(output, map);
            MapPrinter.Dump(output, map, skipZero: true, MapElements);
        }
        output.Write("\nmetrics\n");
        MetricPrinter.Print(output, metrics);
        output.Write("\nreconciliation\n");
        Print(output, account);
    }

    /// <summary>The same and the trace as one JSON document.</summary>
    public static JsonObject Json(ScenarioRun run, IReadOnlyList<string> trace, MetricSnapshot metrics, Reconciliation account)
    {
        JsonArray maps = [];
        foreach (MapObject map in run.Machine.Bpf.Maps)
        {
            JsonObject json = MapPrinter.ShowJson(map);
            json["elements"] = MapPrinter.DumpJson(map);
            maps.Add(json);
        }
        return new JsonObject
        {
            ["scenario"] = run.Scenario.Name,
            ["seed"] = run.Scenario.Machine.Seed,
            ["cpus"] = run.Scenario.Machine.Cpus,
            ["simulated_seconds"] = run.Machine.Elapsed.TotalSeconds,
            ["trace"] = new JsonArray([.. trace.Select(t => (JsonNode)t)]),
            ["maps"] = maps,
            ["metrics"] = MetricPrinter.Json(metrics),
            ["reconciliation"] = new JsonObject
            {
                ["holds"] = account.Holds,
                ["hooks"] = new JsonArray([.. account.Hooks.Select(h => new JsonObject
                {
                    ["hook"] = h.Hook, ["program"] = h.Program, ["events"] = h.Events, ["runs"] = h.Runs, ["misses"] = h.Misses, ["holds"] = h.Holds,
                })]),
                ["ledger"] = new JsonArray([.. account.Comparisons.Select(c => new JsonObject
                {
                    ["what"] = c.What, ["metric"] = c.Metric, ["ledger"] = c.Ledger, ["holds"] = c.Holds,
                })]),
                ["crashes"] = new JsonArray([.. account.Crashes.Select(c => (JsonNode)c)]),
            },
        };
    }

    private static void Print(TextWriter output, Reconciliation account)
    {
        int width = Math.Max(4, account.Hooks.Select(h => h.Hook.Length).DefaultIfEmpty().Max());
        int names = Math.Max(7, account.Hooks.Select(h => h.Program.Length).DefaultIfEmpty().Max());
        if (account.Hooks.Count > 0)
            output.Write($"{"hook".PadRight(width)}  {"program".PadRight(names)}  {"events",10}  {"runs",10}  {"misses",10}\n");
        foreach (HookAccount hook in account.Hooks)
            output.Write($"{hook.Hook.PadRight(width)}  {hook.Program.PadRight(names)}  {hook.Events,10}  {hook.Runs,10}  {hook.Misses,10}  {Verdict(hook.Holds)}\n");
        foreach (LedgerComparison comparison in account.Comparisons)
            output.Write($"{comparison.What}: {comparison.Metric}{(comparison.Holds ? "" : $" but the ledger has {comparison.Ledger}")}  {Verdict(comparison.Holds)}\n");
        foreach (string crash in account.Crashes) output.Write($"an actor crashed and was restarted: {crash}\n");
        output.Write(account.Holds ? "every event is accounted for\n" : "NOT every event is accounted for\n");
    }

    private static string Verdict(bool holds) => holds ? "ok" : "DIFFERS";
}
