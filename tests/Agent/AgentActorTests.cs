using Akka.Actor;
using Akka.TestKit.Xunit2;
using BpfSim.Agent.Config;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;
using BpfSim.Maps;

namespace BpfSim.Agent.Tests;

/// <summary>The agent as an actor: it reads maps through their actors, crashes, restarts and resumes.</summary>
public sealed class AgentActorTests : TestKit
{
    private static readonly MapSpec s_spec = new() { Name = "calls_total", Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 1000 };
    private readonly BpfMap _map;
    private readonly IActorRef _mapActor;
    private readonly LatestMetrics _latest = new();

    public AgentActorTests() : base("akka.loglevel = OFF")
    {
        _map = MapFactory.Create(s_spec, 2).Map!;
        _mapActor = Sys.ActorOf(MapActor.Props(_map));
    }

    [Fact]
    public async Task It_reads_what_the_maps_hold_when_it_is_asked()
    {
        IActorRef agent = Start(_mapActor);
        Put(7, 70);
        Assert.Equal(("7", 70UL), Assert.Single(await Read(agent)));
        Put(8, 1);
        Assert.Equal([("7", 70UL), ("8", 1UL)], await Read(agent));
    }

    [Fact]
    public async Task Asked_by_many_at_once_it_answers_each_with_what_is_current()
    {
        IActorRef agent = Start(_mapActor);
        List<Task<MetricSnapshot>> answers = [];
        for (int i = 1; i <= 50; i++)
        {
            Put(1, (ulong)i);
            answers.Add(agent.Ask<MetricSnapshot>(new ReadMetrics(), TimeSpan.FromSeconds(10)));
        }
        MetricSnapshot[] snapshots = await Task.WhenAll(answers);
        Assert.Equal(50UL, snapshots[^1].Families[0].Samples[0].Value);
        Assert.All(snapshots.Select((s, i) => (s, i)), p => Assert.InRange(p.s.Families[0].Samples[0].Value, (ulong)p.i + 1, 50UL));
    }

    [Fact]
    public async Task A_crash_is_supervised_loses_no_map_content_and_the_agent_resumes()
    {
        IActorRef agent = Start(_mapActor);
        Put(1, 100);
        await Read(agent);
        agent.Tell(new Crash("test"));
        Put(2, 200);
        Assert.Equal([("1", 100UL), ("2", 200UL)], await Read(agent));
        Assert.Contains("key=\"1\"} 100", PrometheusText.Write(_latest.Value), StringComparison.Ordinal);
    }

    [Fact]
    public void It_polls_again_after_a_crash()
    {
        IActorRef agent = Start(_mapActor, TimeSpan.FromMilliseconds(20));
        agent.Tell(new Crash("test"));
        Put(3, 33);
        AwaitCondition(() => PrometheusText.Write(_latest.Value).Contains("key=\"3\"} 33", StringComparison.Ordinal), TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task A_map_that_never_answers_does_not_hold_up_the_others()
    {
        IActorRef silent = CreateTestProbe().Ref;
        ExporterConfig config = ExporterConfigReader.Parse("c.yaml",
            "metrics: {counters: [{name: calls_total, labels: [{name: key, size: 4, decoders: [{name: uint}]}]}, {name: other_total, labels: [{name: key, size: 4, decoders: [{name: uint}]}]}]}");
        AgentSpec spec = new()
        {
            Config = config,
            PollInterval = TimeSpan.Zero,
            MapTimeout = TimeSpan.FromMilliseconds(200),
            Maps = [new("calls_total", s_spec, 2, _mapActor), new("other_total", s_spec with { Name = "other_total" }, 2, silent)],
        };
        IActorRef agent = Sys.ActorOf(AgentActor.Props(spec, _latest));
        Put(5, 5);
        MetricSnapshot snapshot = await agent.Ask<MetricSnapshot>(new ReadMetrics(), TimeSpan.FromSeconds(10));
        Assert.Equal(5UL, snapshot.Families[0].Samples[0].Value);
        Assert.Empty(snapshot.Families[1].Samples);
    }

    [Fact]
    public async Task A_flush_answers_even_if_the_collector_does_not()
    {
        AgentSpec spec = Spec(_mapActor, TimeSpan.Zero) with
        {
            Otlp = new OtlpEndpoint(new Uri("http://127.0.0.1:9"), true) { Timeout = TimeSpan.FromSeconds(1) },
        };
        IActorRef agent = Sys.ActorOf(AgentActor.Props(spec, _latest));
        Put(1, 1);
        Flushed flushed = await agent.Ask<Flushed>(new Flush(), TimeSpan.FromSeconds(20));
        Assert.Contains("OTLP export to http://127.0.0.1:9/v1/metrics failed: ", Assert.Single(flushed.Problems), StringComparison.Ordinal);
        Assert.Equal(1UL, flushed.Metrics.Families[0].Samples[0].Value);
    }

    protected override void AfterAll()
    {
        base.AfterAll();
        _map.Dispose();
    }

    private static AgentSpec Spec(IActorRef map, TimeSpan interval) => new()
    {
        Config = ExporterConfigReader.Parse("c.yaml", "metrics: {counters: [{name: calls_total, labels: [{name: key, size: 4, decoders: [{name: uint}]}]}]}"),
        Maps = [new("calls_total", s_spec, 2, map)],
        PollInterval = interval,
    };

    private IActorRef Start(IActorRef map, TimeSpan interval = default) => Sys.ActorOf(AgentActor.Props(Spec(map, interval), _latest));

    private void Put(uint key, ulong value) => Assert.Equal(0, _map.Update(BitConverter.GetBytes(key), BitConverter.GetBytes(value)));

    private static async Task<List<(string, ulong)>> Read(IActorRef agent) =>
        [.. (await agent.Ask<MetricSnapshot>(new ReadMetrics(), TimeSpan.FromSeconds(10))).Families[0].Samples.Select(s => (s.Labels![0], s.Value))];
}
