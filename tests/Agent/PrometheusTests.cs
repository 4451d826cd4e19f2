using System.Net;
using System.Net.Sockets;
using System.Text;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;
using BpfSim.Tests.Shared;

namespace BpfSim.Agent.Tests;

/// <summary>The /metrics endpoint, asked by HTTP clients and scraped by Prometheus itself.</summary>
public sealed class PrometheusTests
{
    private static readonly MetricSnapshot s_snapshot = new(
        [
            new("ebpf_exporter_calls_total", "Calls", MetricKind.Counter, ["comm"]) { Samples = [new(["cat"], 123), new(["a\"b\\c"], 7)] },
            new("ebpf_exporter_latency", "Latency", MetricKind.Histogram, []) { Histograms = [new([], [0, 1, 1048575], [1, 2, 40], 987654321)] },
        ], 0, 0);

    [Fact]
    public async Task Metrics_are_answered_with_the_formats_media_type()
    {
        using PrometheusServer server = new("", 0, () => PrometheusText.Write(s_snapshot));
        using HttpClient client = new();
        HttpResponseMessage response = await client.GetAsync($"http://localhost:{server.Port}/metrics");
        Assert.Equal((HttpStatusCode.OK, "text/plain"), (response.StatusCode, response.Content.Headers.ContentType!.MediaType));
        Assert.Equal(PrometheusText.Write(s_snapshot), await response.Content.ReadAsStringAsync());
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"http://127.0.0.1:{server.Port}/other")).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await client.PostAsync($"http://127.0.0.1:{server.Port}/metrics", null)).StatusCode);
    }

    [Fact]
    public async Task Silent_and_broken_clients_hinder_nobody()
    {
        using PrometheusServer server = new("", 0, () => "x 1\n");
        List<TcpClient> silent = [.. Enumerable.Range(0, 50).Select(_ => new TcpClient("127.0.0.1", server.Port))];
        using TcpClient broken = new("127.0.0.1", server.Port);
        await broken.GetStream().WriteAsync(Encoding.ASCII.GetBytes(new string('x', 20000)));
        using HttpClient client = new() { Timeout = TimeSpan.FromSeconds(5) };
        Assert.Equal("x 1\n", await client.GetStringAsync($"http://127.0.0.1:{server.Port}/metrics"));
        silent.ForEach(c => c.Dispose());
    }

    [Fact]
    public void A_port_in_use_is_an_error_of_the_constructor()
    {
        using PrometheusServer first = new("127.0.0.1", 0, () => "");
        Assert.Equal(SocketError.AddressAlreadyInUse, Assert.Throws<SocketException>(() => new PrometheusServer("127.0.0.1", first.Port, () => "")).SocketErrorCode);
        Assert.Equal(SocketError.AddressAlreadyInUse, Assert.Throws<SocketException>(() => new PrometheusServer("", first.Port, () => "")).SocketErrorCode);
    }

    [Theory]
    [InlineData("9435", "", 9435)]
    [InlineData("0.0.0.0:80", "0.0.0.0", 80)]
    [InlineData("[::1]:9435", "::1", 9435)]
    [InlineData("*:1", "*", 1)]
    public void Endpoints_are_read(string text, string host, int port)
    {
        Assert.True(PrometheusServer.TryParseEndpoint(text, out string h, out int p));
        Assert.Equal((host, port), (h, p));
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("70000")]
    [InlineData(":80")]
    [InlineData("-1")]
    [InlineData("h:")]
    public void What_is_no_endpoint_is_refused(string text) => Assert.False(PrometheusServer.TryParseEndpoint(text, out _, out _));

    [ToolFact("prometheus")]
    public async Task Prometheus_scrapes_and_answers_with_the_same_numbers()
    {
        using PrometheusServer server = new("", 0, () => PrometheusText.Write(s_snapshot));
        using PrometheusProcess prometheus = new(server.Port);
        Assert.Equal(123, await prometheus.QueryAsync("ebpf_exporter_calls_total{comm=\"cat\"}"));
        Assert.Equal(7, await prometheus.QueryAsync("ebpf_exporter_calls_total{comm=\"a\\\"b\\\\c\"}"));
        Assert.Equal(43, await prometheus.QueryAsync("ebpf_exporter_latency_count"));
        Assert.Equal(987654321, await prometheus.QueryAsync("ebpf_exporter_latency_sum"));
        Assert.Equal(3, await prometheus.QueryAsync("ebpf_exporter_latency_bucket{le=\"1\"}"));
        Assert.Equal(43, await prometheus.QueryAsync("ebpf_exporter_latency_bucket{le=\"1.048575e+06\"}"));
    }
}
