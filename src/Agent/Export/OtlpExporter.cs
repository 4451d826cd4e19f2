using System.Diagnostics.Metrics;
using BpfSim.Agent.Config;
using BpfSim.Agent.Metrics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace BpfSim.Agent.Export;

/// <summary>
/// Exports snapshots over OTLP: scalars as observable instruments of the OpenTelemetry SDK, histograms by
/// <see cref="OtlpHistogramSender"/>. All calls return at once or are tasks with a time limit, so that a
/// collector that is down or silent slows nobody; as everything is cumulative, it misses nothing either.
/// </summary>
public sealed class OtlpExporter : IDisposable
{
    /// <summary>Name of the instrumentation scope.</summary>
    public const string ScopeName = "BpfSim.Agent";

    private readonly OtlpEndpoint _endpoint;
    private static int s_exporters;
    private readonly Meter _meter;
    private readonly MeterProvider _provider;
    private readonly OtlpHistogramSender _histograms;
    private readonly int _cardinalityLimit;
    private readonly HashSet<string> _instruments = [];
    private volatile MetricSnapshot _latest = MetricSnapshot.Empty;

    /// <summary>Starts to export in the background.</summary>
    /// <param name="endpoint">Where to and how.</param>
    /// <param name="config">What is exported: its cardinality limit is the SDK's.</param>
    /// <param name="attributes">Attributes of the resource beside service.name and service.version.</param>
    public OtlpExporter(OtlpEndpoint endpoint, ExporterConfig config, IEnumerable<KeyValuePair<string, object>> attributes)
    {
        // gRPC without TLS; without this switch the SDK's client would refuse http:// addresses on old runtimes.
        AppContext.SetSwitch("System.Net.Http.SocketsHttpHandler.Http2UnencryptedSupport", true);
        _endpoint = endpoint;
        _cardinalityLimit = config.CardinalityLimit;
        DateTimeOffset start = DateTimeOffset.UtcNow;
        // A provider listens to meters by name alone: two exporters in one process need two names.
        int number = Interlocked.Increment(ref s_exporters);
        _meter = new Meter(number == 1 ? ScopeName : $"{ScopeName}.{number}");
        ResourceBuilder resource = ResourceBuilder.CreateEmpty()
            .AddService("bpfsim", serviceVersion: typeof(OtlpExporter).Assembly.GetName().Version?.ToString(3), autoGenerateServiceInstanceId: false)
            .AddAttributes(attributes);
        _provider = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(resource)
            .AddMeter(_meter.Name)
            // One more than the agent's own limit, which folds before the SDK would: nothing overflows unseen.
            .AddView(_ => new MetricStreamConfiguration { CardinalityLimit = _cardinalityLimit + 1 })
            .AddOtlpExporter((options, reader) =>
            {
                options.Endpoint = endpoint.MetricsUrl;
                options.Protocol = endpoint.Http ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;
                options.TimeoutMilliseconds = (int)endpoint.Timeout.TotalMilliseconds;
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = (int)endpoint.Interval.TotalMilliseconds;
                reader.PeriodicExportingMetricReaderOptions.ExportTimeoutMilliseconds = (int)endpoint.Timeout.TotalMilliseconds;
                reader.TemporalityPreference = MetricReaderTemporalityPreference.Cumulative;
            })
            .Build();
        _histograms = new OtlpHistogramSender(endpoint, [.. resource.Build().Attributes], start);
    }

    /// <summary>Takes the newest snapshot; scalars leave at the SDK's next interval.</summary>
    public void Update(MetricSnapshot snapshot)
    {
        _latest = snapshot;
        foreach (MetricFamily family in snapshot.Families)
            if (family.Kind != MetricKind.Histogram && _instruments.Add(family.Name)) CreateInstrument(family);
    }

    /// <summary>Sends the newest histograms now.</summary>
    /// <returns>Null, or in one line why the collector did not take them.</returns>
    public Task<string?> SendHistogramsAsync() => _histograms.SendAsync(_latest);

    /// <summary>Sends everything now.</summary>
    /// <returns>Null, or in one line why the collector did not take it.</returns>
    public async Task<string?> FlushAsync()
    {
        Task<bool> scalars = Task.Run(() => _provider.ForceFlush((int)_endpoint.Timeout.TotalMilliseconds));
        string? problem = await _histograms.SendAsync(_latest).ConfigureAwait(false);
        bool sent = await scalars.ConfigureAwait(false);
        return problem ?? (sent ? null : "the collector did not take the metrics");
    }

    /// <summary>Stops the background export; what was not flushed is not sent.</summary>
    public void Dispose()
    {
        // The provider's own disposal exports once more and would wait for a collector that never answers.
        _ = Task.Run(() =>
        {
            _provider.Dispose();
            _meter.Dispose();
        });
        _histograms.Dispose();
    }

    /// <summary>The attributes of a series.</summary>
    internal static IEnumerable<KeyValuePair<string, object?>> Tags(MetricFamily family, string[]? labels) => labels == null
        ? [new("otel.metric.overflow", true)]
        : family.LabelNames.Select((name, i) => new KeyValuePair<string, object?>(name, labels[i]));

    private void CreateInstrument(MetricFamily family)
    {
        string name = family.Name;
        if (family.Scale != 1)
            _ = family.Kind == MetricKind.Counter
                ? (Instrument)_meter.CreateObservableCounter(name, () => Observe(name, (f, s) => s.Value * f.Scale), null, family.Help)
                : _meter.CreateObservableGauge(name, () => Observe(name, (f, s) => s.Value * f.Scale), null, family.Help);
        else
            _ = family.Kind == MetricKind.Counter
                ? (Instrument)_meter.CreateObservableCounter(name, () => Observe(name, (_, s) => (long)s.Value), null, family.Help)
                : _meter.CreateObservableGauge(name, () => Observe(name, (_, s) => (long)s.Value), null, family.Help);
    }

    private IEnumerable<Measurement<T>> Observe<T>(string name, Func<MetricFamily, Sample, T> value) where T : struct
    {
        MetricFamily? family = _latest.Families.FirstOrDefault(f => f.Name == name);
        return family == null ? [] : [.. family.Samples.Select(s => new Measurement<T>(value(family, s), Tags(family, s.Labels)))];
    }
}
