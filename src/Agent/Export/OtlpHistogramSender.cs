using System.Net.Http.Headers;
using BpfSim.Agent.Export.Otlp;
using BpfSim.Agent.Metrics;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Metric = BpfSim.Agent.Export.Otlp.Metric;

namespace BpfSim.Agent.Export;

/// <summary>
/// Sends histograms as OTLP messages of our own, because the SDK takes no histograms that are already
/// aggregated: exact buckets, counts and sums, under the same resource as the scalars.
/// </summary>
internal sealed class OtlpHistogramSender : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly OtlpEndpoint _endpoint;
    private readonly IReadOnlyList<KeyValuePair<string, object>> _resource;
    private readonly ulong _startNanos;
    private readonly HttpClient _http = new();
    private readonly GrpcChannel? _channel;
    private readonly MetricsService.MetricsServiceClient? _client;

    /// <summary>Prepares a sender; nothing is sent yet.</summary>
    /// <param name="endpoint">Where to.</param>
    /// <param name="resource">Attributes of the resource, the same as the SDK sends.</param>
    /// <param name="start">Since when the counts are cumulative.</param>
    public OtlpHistogramSender(OtlpEndpoint endpoint, IReadOnlyList<KeyValuePair<string, object>> resource, DateTimeOffset start)
    {
        (_endpoint, _resource, _startNanos) = (endpoint, resource, UnixNanos(start));
        _http.Timeout = endpoint.Timeout;
        if (endpoint.Http) return;
        _channel = GrpcChannel.ForAddress(endpoint.Url, new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler { ConnectTimeout = endpoint.Timeout, EnableMultipleHttp2Connections = true },
            DisposeHttpClient = true,
        });
        _client = new MetricsService.MetricsServiceClient(_channel);
    }

    /// <summary>Sends the histograms of a snapshot; a message even if there are none, as it tells whether the collector answers.</summary>
    /// <returns>Null, or in one line why the collector did not take them.</returns>
    public async Task<string?> SendAsync(MetricSnapshot snapshot)
    {
        // One after the other: a request that is under way must not arrive behind a newer one and overwrite its totals.
        DateTime deadline = DateTime.UtcNow + _endpoint.Timeout;
        if (!await _turn.WaitAsync(_endpoint.Timeout).ConfigureAwait(false)) return $"no answer within {_endpoint.Timeout.TotalSeconds:0.#} s";
        try
        {
            ExportMetricsServiceRequest request = Request(snapshot, UnixNanos(DateTimeOffset.UtcNow));
            ExportMetricsServiceResponse response = _client != null
                ? await _client.ExportAsync(request, GrpcHeaders(), deadline).ConfigureAwait(false)
                : await PostAsync(request, deadline).ConfigureAwait(false);
            return response.PartialSuccess is { RejectedDataPoints: > 0 } partial
                ? $"the collector rejected {partial.RejectedDataPoints} data points: {partial.ErrorMessage}"
                : null;
        }
        catch (RpcException e)
        {
            return e.StatusCode == StatusCode.DeadlineExceeded
                ? $"no answer within {_endpoint.Timeout.TotalSeconds:0.#} s"
                : $"{e.StatusCode}: {e.InnerException?.GetBaseException().Message ?? e.Status.DebugException?.GetBaseException().Message ?? e.Status.Detail}";
        }
        catch (TaskCanceledException)
        {
            return $"no answer within {_endpoint.Timeout.TotalSeconds:0.#} s";
        }
        catch (Exception e) when (e is HttpRequestException or IOException or InvalidProtocolBufferException)
        {
            return e.GetBaseException().Message;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Closes the connections.</summary>
    public void Dispose()
    {
        _channel?.Dispose();
        _http.Dispose();
    }

    private static ulong UnixNanos(DateTimeOffset time) => (ulong)(time - DateTimeOffset.UnixEpoch).Ticks * 100;

    private static Metadata GrpcHeaders()
    {
        Metadata headers = [];
        foreach ((string key, string value) in OtlpEndpoint.Headers()) headers.Add(key, value);
        return headers;
    }

    private async Task<ExportMetricsServiceResponse> PostAsync(ExportMetricsServiceRequest request, DateTime deadline)
    {
        TimeSpan left = deadline - DateTime.UtcNow;
        using CancellationTokenSource limit = new(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        using HttpRequestMessage message = new(HttpMethod.Post, _endpoint.MetricsUrl) { Content = new ByteArrayContent(request.ToByteArray()) };
        message.Content.Headers.ContentType = new MediaTypeHeaderValue("application/x-protobuf");
        foreach ((string key, string value) in OtlpEndpoint.Headers()) message.Headers.TryAddWithoutValidation(key, value);
        using HttpResponseMessage response = await _http.SendAsync(message, limit.Token).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode) throw new HttpRequestException($"HTTP {(int)response.StatusCode} {response.ReasonPhrase}");
        byte[] body = await response.Content.ReadAsByteArrayAsync(limit.Token).ConfigureAwait(false);
        return response.Content.Headers.ContentType?.MediaType == "application/x-protobuf"
            ? ExportMetricsServiceResponse.Parser.ParseFrom(body)
            : new ExportMetricsServiceResponse();
    }

    private ExportMetricsServiceRequest Request(MetricSnapshot snapshot, ulong nowNanos)
    {
        ScopeMetrics scope = new() { Scope = new InstrumentationScope { Name = OtlpExporter.ScopeName } };
        foreach (MetricFamily family in snapshot.Families)
        {
            if (family.Kind != MetricKind.Histogram || family.Histograms.Count == 0) continue;
            Histogram histogram = new() { AggregationTemporality = AggregationTemporality.Cumulative };
            foreach (HistogramSample sample in family.Histograms) histogram.DataPoints.Add(Point(family, sample, nowNanos));
            scope.Metrics.Add(new Metric { Name = family.Name, Description = family.Help, Histogram = histogram });
        }
        Resource resource = new();
        foreach ((string key, object value) in _resource) resource.Attributes.Add(Attribute(key, value));
        ResourceMetrics metrics = new() { Resource = resource };
        metrics.ScopeMetrics.Add(scope);
        ExportMetricsServiceRequest request = new();
        request.ResourceMetrics.Add(metrics);
        return request;
    }

    private HistogramDataPoint Point(MetricFamily family, HistogramSample sample, ulong nowNanos)
    {
        HistogramDataPoint point = new() { StartTimeUnixNano = _startNanos, TimeUnixNano = nowNanos, Count = sample.Count, Sum = sample.Sum };
        foreach ((string key, object? value) in OtlpExporter.Tags(family, sample.Labels)) point.Attributes.Add(Attribute(key, value!));
        point.ExplicitBounds.Add(sample.Bounds);
        point.BucketCounts.Add(sample.Counts);
        point.BucketCounts.Add(0);
        return point;
    }

    private static KeyValue Attribute(string key, object value) => new()
    {
        Key = key,
        Value = value switch
        {
            bool flag => new AnyValue { BoolValue = flag },
            long number => new AnyValue { IntValue = number },
            double number => new AnyValue { DoubleValue = number },
            _ => new AnyValue { StringValue = value.ToString() },
        },
    };
}
