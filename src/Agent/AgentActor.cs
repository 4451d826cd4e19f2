using Akka.Actor;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;

namespace BpfSim.Agent;

/// <summary>
/// The user-space agent: reads the maps through their actors, decodes the labels, and hands the metrics to its
/// exporters. It keeps nothing that the maps do not keep, so that a restarted agent goes on where it was.
/// </summary>
public sealed class AgentActor : UntypedActor, IWithTimers
{
    private readonly AgentSpec _spec;
    private readonly MetricBuilder _builder;
    private readonly List<IActorRef> _readers = [], _flushers = [];
    private readonly List<IActorRef> _exporters = [];
    private bool _reading;
    private bool _again;

    /// <summary>An agent that starts to read when it is started.</summary>
    /// <param name="spec">What it is started with.</param>
    /// <param name="latest">Where the Prometheus endpoint finds the newest metrics.</param>
    public AgentActor(AgentSpec spec, LatestMetrics latest)
    {
        _spec = spec;
        _builder = new MetricBuilder(spec.Config, spec.Names);
        _exporters.Add(Context.ActorOf(Akka.Actor.Props.Create<PrometheusExporterActor>(latest), "prometheus"));
        if (spec.Otlp != null)
            _exporters.Add(Context.ActorOf(Akka.Actor.Props.Create<OtlpExporterActor>(spec), "otlp"));
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to create one.</summary>
    public static Props Props(AgentSpec spec, LatestMetrics latest) => Akka.Actor.Props.Create<AgentActor>(spec, latest);

    /// <inheritdoc/>
    protected override void PreStart()
    {
        Self.Tell(new Poll());
        if (_spec.PollInterval > TimeSpan.Zero) Timers.StartPeriodicTimer("poll", new Poll(), _spec.PollInterval);
    }

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case Poll:
                StartReading();
                break;
            case ReadMetrics:
                Ask(_readers);
                break;
            case Flush:
                Ask(_flushers);
                break;
            case MapsRead read:
                OnMapsRead(read);
                break;
            case Crash crash:
                throw new InvalidOperationException(crash.Reason);
            default:
                Unhandled(message);
                break;
        }
    }

    private void Ask(List<IActorRef> askers)
    {
        askers.Add(Sender);
        // An answer must show what the maps hold now: a reading that is already under way may have missed it.
        _again = _reading;
        StartReading();
    }

    private void StartReading()
    {
        if (_reading) return;
        _reading = true;
        HashSet<string> wanted = [.. _builder.MapNames];
        Task<MapContent?>[] asked = [.. _spec.Maps.Where(m => wanted.Contains(m.Name) && _spec.Records.All(r => r.Name != m.Name)).Select(m => MapReading.ReadAsync(m, _spec.MapTimeout))];
        Task.WhenAll(asked).PipeTo(Self, success: contents => new MapsRead(contents), failure: _ => new MapsRead([]));
    }

    private void OnMapsRead(MapsRead read)
    {
        _reading = false;
        if (_again)
        {
            _again = false;
            StartReading();
            return;
        }
        Dictionary<string, MapContent> maps = [];
        foreach (MapContent? content in read.Contents)
            if (content != null) maps[content.Spec.Name] = content;
        foreach (RecordCounts records in _spec.Records) maps[records.Name] = records.Content();

        MetricSnapshot snapshot = _builder.Build(maps, OwnMetrics.Of(_spec));
        foreach (IActorRef asker in _readers) asker.Tell(snapshot);
        _readers.Clear();
        if (_flushers.Count > 0) FlushExporters(snapshot);
        else foreach (IActorRef exporter in _exporters) exporter.Tell(new MetricsRead(snapshot));
    }

    private void FlushExporters(MetricSnapshot snapshot)
    {
        TimeSpan limit = (_spec.Otlp?.Timeout ?? TimeSpan.Zero) * 2 + TimeSpan.FromSeconds(2);
        Task<ExporterFlushed>[] flushed = [.. _exporters.Select(e => e.Ask<ExporterFlushed>(new FlushExporter(snapshot), limit))];
        IActorRef[] askers = [.. _flushers];
        _flushers.Clear();
        Task.WhenAll(flushed).ContinueWith(
            t => t.IsCompletedSuccessfully
                ? new Flushed(snapshot, [.. t.Result.Select(f => f.Problem).OfType<string>()])
                : new Flushed(snapshot, ["an exporter did not answer in time"]),
            TaskScheduler.Default).ContinueWith(
            t =>
            {
                foreach (IActorRef asker in askers) asker.Tell(t.Result);
            },
            TaskScheduler.Default);
    }

    /// <summary>To itself: what the maps answered; null for a map that did not.</summary>
    private sealed record MapsRead(MapContent?[] Contents);
}
