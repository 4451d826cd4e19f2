using System.Text.Json;
using BpfSim.Tests.Shared;

namespace BpfSim.Cli.Tests;

/// <summary>bpfsim run: what it prints, that a seed fixes it, and where its metrics arrive.</summary>
public sealed class RunTests
{
    [Fact]
    public async Task Trace_maps_metrics_and_reconciliation_come_in_this_order_and_agree()
    {
        (int exit, string output, string errors) = await Bpfsim.RunAsync("run");
        Assert.Equal(0, exit);
        string[] lines = output.Split('\n');
        Assert.Matches(@"^ {0,13}[a-z]+-[0-9]+ +\[00[01]\] d\.\.\.\.  2348\.[0-9]{6}: bpf_trace_printk: Hello, World!$", lines[0]);
        int[] headings = [.. new[] { "maps", "metrics", "reconciliation", "every event is accounted for" }.Select(h => Array.IndexOf(lines, h))];
        Assert.True(headings[0] > 0 && headings.SequenceEqual(headings.Order()), string.Join(' ', headings));
        Assert.DoesNotContain("DIFFERS", output, StringComparison.Ordinal);
        Assert.Contains(" s simulated in ", errors, StringComparison.Ordinal);
    }

    public static TheoryData<string> BuiltIn => [.. Agent.Scenarios.ScenarioReader.BuiltIn];

    [Theory]
    [MemberData(nameof(BuiltIn))]
    public async Task Every_built_in_scenario_agrees_with_its_ledger(string name)
    {
        (int exit, string output, string errors) = await Bpfsim.RunAsync("run", name, "--seed", "3");
        Assert.True(exit == 0, output + errors);
        Assert.DoesNotContain(": 0  ok", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1")]
    [InlineData("42")]
    public async Task A_seed_fixes_every_byte_on_every_engine(string seed)
    {
        string[] outputs = await Task.WhenAll(new[] { "jit", "interpreter", "checked", "jit" }.Select(async engine =>
            (await Bpfsim.RunAsync("run", "hello-world", "--seed", seed, "--engine", engine)).Output));
        Assert.NotEqual("", outputs[0]);
        Assert.All(outputs, output => Assert.Equal(outputs[0], output));
    }

    [Fact]
    public async Task Another_seed_gives_another_run() =>
        Assert.NotEqual((await Bpfsim.RunAsync("run", "--seed", "1")).Output, (await Bpfsim.RunAsync("run", "--seed", "2")).Output);

    [Fact]
    public async Task Json_is_one_document_with_everything_in_it()
    {
        (int exit, string output, _) = await Bpfsim.RunAsync("run", "--json", "--duration", "500ms", "--cpus", "3");
        Assert.Equal(0, exit);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal((3, 0.5), (json.GetProperty("cpus").GetInt32(), json.GetProperty("simulated_seconds").GetDouble()));
        Assert.True(json.GetProperty("reconciliation").GetProperty("holds").GetBoolean());
        Assert.Equal(json.GetProperty("trace").GetArrayLength(), json.GetProperty("reconciliation").GetProperty("hooks")[0].GetProperty("runs").GetInt32());
    }

    [ToolTheory("node")]
    [InlineData("grpc")]
    [InlineData("http/protobuf")]
    public async Task A_collector_has_received_exactly_the_ledgers_totals(string protocol)
    {
        using OtlpReceiver receiver = await OtlpReceiver.StartAsync();
        int port = protocol == "grpc" ? receiver.GrpcPort : receiver.HttpPort;
        (int exit, string output, string errors) = await Bpfsim.RunAsync("run", "--json", "--otlp", $"http://127.0.0.1:{port}", "--otlp-protocol", protocol);
        Assert.True(exit == 0, errors);
        Dictionary<string, ulong> ledger = Ledger(output);
        // The receiver may still be printing what it has answered already.
        ulong calls = ledger["openat_total = openat count"];
        for (int i = 0; i < 200 && (Sum("ebpf_exporter_openat_ns", "count") != calls || Sum("ebpf_exporter_openat_total", "as_int") != calls); i++) await Task.Delay(50);

        (string kind, JsonElement[] counters) = receiver.Newest("ebpf_exporter_openat_total")!.Value;
        Assert.Equal("sum", kind);
        Assert.NotEmpty(counters);
        foreach (JsonElement point in counters)
        {
            Dictionary<string, string> labels = OtlpReceiver.Attributes(point);
            Assert.Equal(ledger[$"openat_total{{pid=\"{labels["pid"]}\",comm=\"{labels["comm"]}\"}} = openat count"], OtlpReceiver.Number(point, "as_int"));
        }
        Assert.Equal(ledger["openat_total = openat count"], counters.Aggregate(0UL, (sum, p) => sum + OtlpReceiver.Number(p, "as_int")));

        (kind, JsonElement[] histograms) = receiver.Newest("ebpf_exporter_openat_ns")!.Value;
        Assert.Equal("histogram", kind);
        JsonElement histogram = Assert.Single(histograms);
        Assert.Equal(ledger["openat_ns count = openat count"], OtlpReceiver.Number(histogram, "count"));
        Assert.Equal(ledger["openat_ns sum = openat sum"], histogram.GetProperty("sum").GetDouble());
        double[] bounds = [.. histogram.GetProperty("explicit_bounds").EnumerateArray().Select(b => b.GetDouble())];
        ulong[] counts = [.. histogram.GetProperty("bucket_counts").EnumerateArray().Select(b => ulong.Parse(b.GetString()!, System.Globalization.CultureInfo.InvariantCulture))];
        Assert.Equal(bounds.Length + 1, counts.Length);
        for (int i = 0; i < bounds.Length; i++)
            Assert.Equal(ledger.GetValueOrDefault($"openat_ns bucket {Agent.Export.PrometheusText.Number(bounds[i])}"), counts[i]);

        ulong Sum(string metric, string field) => receiver.Newest(metric)?.Points.Aggregate(0UL, (sum, p) => sum + OtlpReceiver.Number(p, field)) ?? 0;
    }

    [ToolFact("prometheus", "kill")]
    public async Task Prometheus_answers_with_the_ledgers_totals_and_Ctrl_C_ends_with_130()
    {
        using Bpfsim command = Bpfsim.Start("run", "--json", "--prometheus", "0", "--keep-running");
        string errors = await command.WaitForErrorAsync("still serving metrics");
        int port = int.Parse(errors.Split("metrics for Prometheus on port ")[1].Split(',')[0], System.Globalization.CultureInfo.InvariantCulture);
        double calls, count, sum;
        using (PrometheusProcess prometheus = new(port))
        {
            calls = await prometheus.QueryAsync("sum(ebpf_exporter_openat_total)");
            count = await prometheus.QueryAsync("ebpf_exporter_openat_ns_count");
            sum = await prometheus.QueryAsync("ebpf_exporter_openat_ns_sum");
        }
        command.Interrupt();
        (int exit, string output, _) = await command.EndAsync();
        Dictionary<string, ulong> ledger = Ledger(output);
        Assert.Equal((ledger["openat_total = openat count"], ledger["openat_ns count = openat count"], ledger["openat_ns sum = openat sum"]), ((ulong)calls, (ulong)count, (ulong)sum));
        Assert.Equal(130, exit);
    }

    [ToolFact("kill")]
    public async Task Ctrl_C_ends_a_long_run_cleanly()
    {
        using Bpfsim command = Bpfsim.Start("run", "--mode", "realtime", "--duration", "1h", "--prometheus", "0");
        await command.WaitForErrorAsync("metrics for Prometheus on port");
        await Task.Delay(1500);
        command.Interrupt();
        (int exit, string output, string errors) = await command.EndAsync();
        Assert.True(exit == 130, $"exit {exit}: {errors}");
        Assert.Contains("\nreconciliation\n", output, StringComparison.Ordinal);
    }

    private static Dictionary<string, ulong> Ledger(string json) => JsonDocument.Parse(json).RootElement.GetProperty("reconciliation").GetProperty("ledger")
        .EnumerateArray().ToDictionary(l => l.GetProperty("what").GetString()!, l => l.GetProperty("ledger").GetUInt64());
}
