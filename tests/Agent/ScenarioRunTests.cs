using Akka.Actor;
using BpfSim.Agent.Export;
using BpfSim.Agent.Scenarios;

namespace BpfSim.Agent.Tests;

/// <summary>Scenarios as a test project uses them, without the command line.</summary>
public sealed class ScenarioRunTests
{
    [Fact]
    public async Task An_agent_that_crashes_while_the_machine_runs_has_the_ledgers_totals_at_the_end()
    {
        Scenario scenario = ScenarioReader.Open("hello-world") with { Duration = TimeSpan.FromSeconds(4) };
        using ScenarioRun run = new(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.FromMilliseconds(5), Prometheus = ("", 0) });
        using IDisposable crashes = run.Machine.Every(TimeSpan.FromMilliseconds(500), _ => run.Agent.Tell(new Crash("in the middle of a run")));
        run.Run();
        Flushed flushed = await run.FlushAsync();
        Reconciliation account = run.Reconcile(flushed.Metrics);
        Assert.True(account.Holds, string.Join('\n', account.Comparisons.Where(c => !c.Holds)));
        Assert.True(run.Machine.Ledger.Count("openat") > 20);
        using HttpClient client = new();
        Assert.Equal(PrometheusText.Write(flushed.Metrics), await client.GetStringAsync($"http://127.0.0.1:{run.PrometheusPort}/metrics"));
    }

    [Fact]
    public void A_metric_that_differs_from_the_ledger_is_found()
    {
        Scenario scenario = ScenarioReader.Open("hello-world") with { Duration = TimeSpan.FromMilliseconds(500) };
        using ScenarioRun run = new(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero });
        run.Run();
        Metrics.MetricSnapshot nothing = new([.. scenario.Agent.Counters.Select(c => new Metrics.MetricFamily("ebpf_exporter_" + c.Name, "", Metrics.MetricKind.Counter, ["pid", "comm"]))], 0, 0);
        Reconciliation account = run.Reconcile(nothing);
        Assert.False(account.Holds);
        Assert.Contains(account.Comparisons, c => c is { What: "openat_total = openat count", Metric: 0, Ledger: > 0 });
    }
}
