using BpfSim.Agent.Config;
using BpfSim.Agent.Metrics;
using BpfSim.Agent.Scenarios;
using BpfSim.Kernel.Subsystems;
using BpfSim.Maps;
using BpfSim.Tests.Shared;

namespace BpfSim.Agent.Tests;

/// <summary>What the agent's process does beside reading maps.</summary>
public sealed class UserSpaceTests
{
    private static readonly string s_scenario = Repository.PathOf("tests", "data", "agent", "records.yaml");

    [Fact]
    public async Task Records_kernel_addresses_and_cgroups_reach_programs_and_metrics()
    {
        using ScenarioRun run = new(ScenarioReader.Open(s_scenario), new ScenarioRunOptions { PollInterval = TimeSpan.FromMilliseconds(5) });
        using IDisposable crashes = run.Machine.Every(TimeSpan.FromMilliseconds(300), _ => Akka.Actor.ActorRefImplicitSenderExtensions.Tell(run.Agent, new Crash("counts survive")));
        run.Run();
        MetricSnapshot metrics = (await run.FlushAsync()).Metrics;
        Reconciliation account = run.Reconcile(metrics);
        Assert.True(account.Holds, string.Join('\n', account.Comparisons.Where(c => !c.Holds)));

        Sample[] records = [.. Family(metrics, "events").Samples];
        Assert.Equal(3, records.Length);
        Assert.All(records, r => Assert.Equal("openat", r.Labels![1]));
        Assert.Equal(run.Machine.Ledger.Count("openat"), records.Aggregate(0UL, (sum, r) => sum + r.Value));
        Assert.Equal(0UL, Assert.Single(Family(metrics, "lost_records_total").Samples).Value);

        Dictionary<string, ulong> cgroups = Family(metrics, "by_cgroup").Samples.ToDictionary(s => s.Labels![0], s => s.Value);
        ulong Of(string comm) => run.Machine.Ledger.Of("openat").Where(e => e.Key.Comm == comm).Aggregate(0UL, (sum, e) => sum + e.Value.Count);
        Assert.Equal(new Dictionary<string, ulong> { ["/sys/fs/cgroup/batch.slice"] = Of("backup"), ["/sys/fs/cgroup/shop.slice/web"] = Of("shop") }, cgroups);
    }

    [Fact]
    public async Task A_flood_gives_every_event_its_own_task_and_counts_what_was_lost()
    {
        Scenario scenario = ScenarioReader.Open(s_scenario);
        scenario = scenario with { Duration = TimeSpan.FromMilliseconds(100), Machine = scenario.Machine with { Mode = Kernel.RunMode.Flood } };
        using ScenarioRun run = new(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero });
        run.Run();
        MetricSnapshot metrics = (await run.FlushAsync()).Metrics;
        ulong Of(string comm) => run.Machine.Ledger.Of("openat").Where(e => e.Key.Comm == comm).Aggregate(0UL, (sum, e) => sum + e.Value.Count);
        Assert.NotEqual(0UL, Of("shop"));
        Assert.Equal(new Dictionary<string, ulong> { ["/sys/fs/cgroup/batch.slice"] = Of("backup"), ["/sys/fs/cgroup/shop.slice/web"] = Of("shop") },
            Family(metrics, "by_cgroup").Samples.ToDictionary(s => s.Labels![0], s => s.Value));
        ulong counted = Family(metrics, "events").Samples.Aggregate(0UL, (sum, r) => sum + r.Value);
        Assert.Equal(run.Machine.Ledger.Count("openat"), counted + Assert.Single(Family(metrics, "lost_records_total").Samples).Value);
    }

    [Fact]
    public async Task A_flush_interval_drops_the_counts()
    {
        Scenario scenario = ScenarioReader.Open(s_scenario);
        scenario = scenario with
        {
            Agent = scenario.Agent with { Counters = [.. scenario.Agent.Counters.Select(c => c.PerfEventArray ? c with { FlushInterval = TimeSpan.FromMilliseconds(500) } : c)] },
        };
        using ScenarioRun run = new(scenario, new ScenarioRunOptions { PollInterval = TimeSpan.Zero });
        run.Run();
        ulong left = Family((await run.FlushAsync()).Metrics, "events").Samples.Aggregate(0UL, (sum, r) => sum + r.Value);
        Assert.True(left < run.Machine.Ledger.Count("openat") / 2, $"{left} records are left");
    }

    [Theory]
    [InlineData("no_such_function", "hash", "chosen", "kaddrs: the kernel has no symbol 'no_such_function'")]
    [InlineData("vfs_read", "hash", "chosen", "kaddrs: no program has a variable 'kaddr_vfs_read'")]
    [InlineData("do_sys_openat2", "hash", "nothing", "the agent reads map 'nothing', which no program has")]
    [InlineData("do_sys_openat2", "cgrp_storage", "chosen", "cgroup_id_map 'chosen' must be a hash with keys of 8 bytes")]
    [InlineData("do_sys_openat2", "hash", "events", "the agent wants map 'events' to be of type Hash, not PerfEventArray")]
    public void What_the_machine_or_the_programs_lack_is_said(string symbol, string type, string map, string message)
    {
        Scenario scenario = ScenarioReader.Open(s_scenario);
        scenario = scenario with { Agent = scenario.Agent with { KernelAddresses = [symbol], CgroupIdMap = new CgroupIdMapConfig(map, type, ["."]) } };
        ConfigException e = Assert.Throws<ConfigException>(() => new ScenarioRun(scenario, new ScenarioRunOptions()));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Records_that_cannot_be_counted_are_counted_as_lost()
    {
        RecordCounts counts = new(new MapSpec { Name = "events", Type = MapType.PerfEventArray, KeySize = 4, ValueSize = 4, MaxEntries = 1 }, 4, 2);
        foreach (byte[] record in (byte[][])[[1, 2, 3, 4, 5], [1, 2, 3, 4], [1, 2, 3], [2, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0]]) counts.Add(record);
        counts.NeverCame = 5;
        Assert.Equal(7UL, counts.Lost);
        Assert.Equal([(0x04030201u, 2UL), (2u, 2UL)], counts.Content().Elements.Select(e => (BitConverter.ToUInt32(e.Key), counts.Content().Number(e.Value))).Order().Reverse());
        counts.Drop();
        Assert.Empty(counts.Content().Elements);
    }

    [Fact]
    public void Interfaces_have_names() => Assert.Equal(["lo", "eth0"], WorkloadSpec.Interfaces.OrderBy(i => i.Key).Select(i => i.Value));

    private static MetricFamily Family(MetricSnapshot metrics, string name) => Assert.Single(metrics.Families, f => f.Name == "ebpf_exporter_" + name);
}
