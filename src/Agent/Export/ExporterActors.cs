using Akka.Actor;
using BpfSim.Agent.Metrics;

namespace BpfSim.Agent.Export;

/// <summary>The newest metrics, for readers outside of the actors. Survives any of them.</summary>
public sealed class LatestMetrics
{
    private volatile MetricSnapshot _value = MetricSnapshot.Empty;

    /// <summary>The newest metrics.</summary>
    public MetricSnapshot Value
    {
        get => _value;
        internal set => _value = value;
    }
}

/// <summary>Keeps what the Prometheus endpoint answers with.</summary>
internal sealed class PrometheusExporterActor : UntypedActor
{
    private readonly LatestMetrics _latest;

    public PrometheusExporterActor(LatestMetrics latest) => _latest = latest;

    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case MetricsRead read:
                _latest.Value = read.Metrics;
                break;
            case FlushExporter flush:
                _latest.Value = flush.Metrics;
                Sender.Tell(new ExporterFlushed(null));
                break;
            default:
                Unhandled(message);
                break;
        }
    }
}

/// <summary>Sends metrics over OTLP; never more than one export of its own under way.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "Disposed when the actor stops.")]
internal sealed class OtlpExporterActor : UntypedActor
{
    private readonly OtlpExporter _exporter;
    private readonly OtlpEndpoint _endpoint;
    private DateTime _lastSent = DateTime.MinValue;
    private bool _sending;

    public OtlpExporterActor(AgentSpec spec)
    {
        _endpoint = spec.Otlp!;
        _exporter = new OtlpExporter(_endpoint, spec.Config, spec.ResourceAttributes);
    }

    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case MetricsRead read:
                OnMetricsRead(read);
                break;
            case FlushExporter flush:
                OnFlushExporter(flush);
                break;
            case Sent:
                _sending = false;
                break;
            default:
                Unhandled(message);
                break;
        }
    }

    protected override void PostStop() => _exporter.Dispose();

    private void OnMetricsRead(MetricsRead read)
    {
        _exporter.Update(read.Metrics);
        if (_sending || DateTime.UtcNow - _lastSent < _endpoint.Interval) return;
        (_sending, _lastSent) = (true, DateTime.UtcNow);
        _exporter.SendHistogramsAsync().PipeTo(Self, success: _ => new Sent(), failure: _ => new Sent());
    }

    private void OnFlushExporter(FlushExporter flush)
    {
        _exporter.Update(flush.Metrics);
        string where = _endpoint.MetricsUrl.ToString();
        _exporter.FlushAsync().PipeTo(Sender,
            success: problem => new ExporterFlushed(problem == null ? null : $"OTLP export to {where} failed: {problem}"),
            failure: e => new ExporterFlushed($"OTLP export to {where} failed: {e.GetBaseException().Message}"));
    }

    /// <summary>To itself: an export has ended, well or not.</summary>
    private sealed record Sent;
}
