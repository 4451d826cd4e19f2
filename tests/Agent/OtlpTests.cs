using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using BpfSim.Agent.Config;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;
using BpfSim.Tests.Shared;

namespace BpfSim.Agent.Tests;

/// <summary>What leaves over OTLP, as an independent receiver takes it.</summary>
public sealed class OtlpTests
{
    private static readonly ExporterConfig s_config = new() { Name = "test" };

    [ToolTheory("node")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Scalars_and_histograms_arrive_exactly_and_under_one_resource(bool http)
    {
        using OtlpReceiver receiver = await OtlpReceiver.StartAsync();
        using OtlpExporter exporter = Exporter(receiver, http);
        exporter.Update(Snapshot(41, [1, 0, 3], 12345));
        Assert.Null(await exporter.FlushAsync());
        exporter.Update(Snapshot(42, [1, 2, 3], 1_234_567_890_123));
        Assert.Null(await exporter.FlushAsync());

        // The receiver's output is read in the background: wait for the second export.
        await Eventually(() => receiver.Newest("latency")?.Points[0] is { } p && OtlpReceiver.Number(p, "count") == 6
            && receiver.Newest("calls_total")?.Points.Any(c => OtlpReceiver.Number(c, "as_int") == 42) == true ? "there" : null);
        (string kind, JsonElement[] points) = (await Eventually(() => receiver.Newest("calls_total")))!.Value;
        Assert.Equal("sum", kind);
        JsonElement sum = Assert.Single(points, p => OtlpReceiver.Attributes(p).GetValueOrDefault("comm") == "cat");
        Assert.Equal(42UL, OtlpReceiver.Number(sum, "as_int"));
        JsonElement overflow = Assert.Single(points, p => OtlpReceiver.Attributes(p).ContainsKey("otel.metric.overflow"));
        Assert.Equal(7UL, OtlpReceiver.Number(overflow, "as_int"));

        (kind, points) = receiver.Newest("latency")!.Value;
        Assert.Equal("histogram", kind);
        JsonElement histogram = Assert.Single(points);
        Assert.Equal([0.0, 1, 3], histogram.GetProperty("explicit_bounds").EnumerateArray().Select(b => b.GetDouble()));
        Assert.Equal(["1", "2", "3", "0"], histogram.GetProperty("bucket_counts").EnumerateArray().Select(b => b.GetString()!));
        Assert.Equal((6UL, 1_234_567_890_123.0), (OtlpReceiver.Number(histogram, "count"), histogram.GetProperty("sum").GetDouble()));

        string[] resources = [.. receiver.Requests.Select(r => JsonSerializer.Serialize(
            OtlpReceiver.Attributes(r.GetProperty("request").GetProperty("resource_metrics")[0].GetProperty("resource")).OrderBy(a => a.Key))).Distinct()];
        Assert.Contains("bpfsim", Assert.Single(resources), StringComparison.Ordinal);
        Assert.All(receiver.Requests, r => Assert.Equal(http ? "http" : "grpc", r.GetProperty("protocol").GetString()));
    }

    [ToolFact("node")]
    public async Task A_collector_that_comes_back_gets_the_full_totals()
    {
        int port = FreePort();
        OtlpEndpoint endpoint = new(new Uri($"http://127.0.0.1:{port}"), false) { Interval = TimeSpan.FromMilliseconds(100) };
        using OtlpExporter exporter = new(endpoint, s_config, []);
        exporter.Update(Snapshot(5, [0, 0, 5], 10));
        Assert.NotNull(await exporter.FlushAsync());
        exporter.Update(Snapshot(900, [0, 1, 899], 5000));
        using OtlpReceiver receiver = await OtlpReceiver.StartAsync($"--grpc-port {port}");
        await Eventually(async () => await exporter.FlushAsync() == null ? "sent" : null);
        await Eventually(() => receiver.Newest("calls_total") != null && receiver.Newest("latency") != null ? "there" : null);
        Assert.Equal(900UL, OtlpReceiver.Number(receiver.Newest("calls_total")!.Value.Points.First(p => OtlpReceiver.Attributes(p).ContainsKey("comm")), "as_int"));
        Assert.Equal(900UL, OtlpReceiver.Number(receiver.Newest("latency")!.Value.Points[0], "count"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_collector_that_refuses_is_reported_in_one_line(bool http)
    {
        OtlpEndpoint endpoint = new(new Uri($"http://127.0.0.1:{FreePort()}"), http);
        using OtlpExporter exporter = new(endpoint, s_config, []);
        string? problem = await exporter.FlushAsync();
        Assert.Contains("refused", problem, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain('\n', problem!);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_collector_that_never_answers_costs_no_more_than_the_time_limit(bool http)
    {
        using Socket silent = new(SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        silent.Listen();
        OtlpEndpoint endpoint = new(new Uri($"http://127.0.0.1:{((IPEndPoint)silent.LocalEndPoint!).Port}"), http) { Timeout = TimeSpan.FromSeconds(1) };
        using OtlpExporter exporter = new(endpoint, s_config, []);
        exporter.Update(Snapshot(1, [1, 0, 0], 1));
        Stopwatch watch = Stopwatch.StartNew();
        string? problem = await exporter.FlushAsync();
        Assert.Equal("no answer within 1 s", problem);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"took {watch.Elapsed}");
    }

    [Theory]
    [InlineData("localhost:4317", false, "http://localhost:4317/")]
    [InlineData("http://h:4318", true, "http://h:4318/v1/metrics")]
    [InlineData("http://h:4318/", true, "http://h:4318/v1/metrics")]
    [InlineData("http://h/base", true, "http://h/base/v1/metrics")]
    [InlineData("https://h/v1/metrics", true, "https://h/v1/metrics")]
    public void Endpoints_are_completed(string text, bool http, string url)
    {
        Assert.True(OtlpEndpoint.TryParse(text, http, out OtlpEndpoint? endpoint));
        Assert.Equal(url, endpoint!.MetricsUrl.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("ftp://x")]
    [InlineData("http://")]
    [InlineData("http://:70000")]
    public void What_is_no_endpoint_is_refused(string text) => Assert.False(OtlpEndpoint.TryParse(text, false, out _));

    private static OtlpExporter Exporter(OtlpReceiver receiver, bool http) =>
        new(new OtlpEndpoint(new Uri($"http://127.0.0.1:{(http ? receiver.HttpPort : receiver.GrpcPort)}"), http), s_config, [new("bpfsim.scenario", "test")]);

    private static MetricSnapshot Snapshot(ulong calls, ulong[] counts, double sum) => new(
        [
            new("calls_total", "Calls", MetricKind.Counter, ["comm"]) { Samples = [new(["cat"], calls), new(null, 7)] },
            new("latency", "Latency", MetricKind.Histogram, []) { Histograms = [new([], [0, 1, 3], counts, sum)] },
        ], 0, 0);

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static Task<T?> Eventually<T>(Func<T?> probe) => Eventually(() => Task.FromResult(probe()));

    private static async Task<T?> Eventually<T>(Func<Task<T?>> probe)
    {
        for (int i = 0; ; i++)
        {
            T? value = await probe();
            if (value != null || i == 100) return value;
            await Task.Delay(100);
        }
    }
}
