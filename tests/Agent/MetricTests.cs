using System.Buffers.Binary;
using BpfSim.Agent.Config;
using BpfSim.Agent.Decoders;
using BpfSim.Agent.Export;
using BpfSim.Agent.Metrics;
using BpfSim.Maps;

namespace BpfSim.Agent.Tests;

public sealed class MetricTests
{
    private static readonly MapSpec s_spec = new() { Name = "m", Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 100 };

    [Theory]
    [InlineData("exp2", 0.5, new[] { 0.5, 1, 2, 4 })]
    [InlineData("exp2zero", 1, new[] { 0.0, 1, 2, 4 })]
    [InlineData("linear", 10, new[] { 0.0, 10, 20, 30 })]
    [InlineData("log2", 1, new[] { 1.0, 3, 7, 15 })]
    [InlineData("log2zero", 1, new[] { 0.0, 1, 3, 7 })]
    public void Buckets_become_bounds_and_the_slot_behind_them_is_the_sum(string type, double multiplier, double[] bounds)
    {
        MetricFamily family = Build(
            $"metrics: {{histograms: [{{name: m, bucket_type: {type}, bucket_multiplier: {multiplier}, bucket_max: 3, labels: [{{name: bucket, size: 4, decoders: [{{name: uint}}]}}]}}]}}",
            (0, 1), (2, 5), (3, 7), (4, 1000), (9, 77)).Families[0];
        HistogramSample histogram = Assert.Single(family.Histograms);
        Assert.Equal(bounds, histogram.Bounds);
        Assert.Equal([1UL, 0, 5, 7], histogram.Counts);
        Assert.Equal((13UL, 1000 * multiplier), (histogram.Count, histogram.Sum));
    }

    [Fact]
    public void A_fixed_histogram_lists_its_buckets()
    {
        HistogramSample histogram = Build(
            "metrics: {histograms: [{name: m, bucket_type: fixed, bucket_keys: [5, 50], labels: [{name: bucket, size: 4, decoders: [{name: uint}]}]}]}",
            (5, 1), (50, 2), (51, 30), (6, 9)).Families[0].Histograms[0];
        Assert.Equal([5.0, 50], histogram.Bounds);
        Assert.Equal([1UL, 2], histogram.Counts);
        Assert.Equal(30, histogram.Sum);
    }

    [Fact]
    public void Series_with_equal_labels_are_added_and_sorted_as_numbers()
    {
        MetricFamily family = Build(
            "metrics: {counters: [{name: m, labels: [{name: l, size: 2, padding: 2, decoders: [{name: uint}]}]}]}",
            (10, 1), (9, 2), (10 | 1 << 16, 4)).Families[0];
        Assert.Equal([("9", 2UL), ("10", 5UL)], family.Samples.Select(s => (s.Labels![0], s.Value)));
    }

    [Fact]
    public void What_is_beyond_the_cardinality_limit_is_folded_and_counted()
    {
        MetricSnapshot snapshot = Build(
            "cardinality_limit: 2\nmetrics: {counters: [{name: m, labels: [{name: l, size: 4, decoders: [{name: uint}]}]}]}",
            (1, 1), (2, 2), (3, 4), (4, 8));
        Assert.Equal([1UL, 2, 12], snapshot.Families[0].Samples.Select(s => s.Value));
        Assert.Null(snapshot.Families[0].Samples[2].Labels);
        Assert.Equal(2, snapshot.OverflowedSeries);
        Assert.Contains("ebpf_exporter_m{otel_metric_overflow=\"true\"} 12\n", PrometheusText.Write(snapshot), StringComparison.Ordinal);
    }

    [Fact]
    public void What_cannot_be_decoded_is_counted_and_left_out()
    {
        MetricSnapshot snapshot = Build("metrics: {counters: [{name: m, labels: [{name: l, size: 8, decoders: [{name: uint}]}]}]}", (1, 1), (2, 2));
        Assert.Equal(2, snapshot.DecoderErrors);
        Assert.Empty(snapshot.Families[0].Samples);
        Assert.Contains("ebpf_exporter_decoder_errors_total{config=\"c\"} 2\n", PrometheusText.Write(snapshot), StringComparison.Ordinal);
    }

    [Fact]
    public void Values_of_per_CPU_maps_are_added_up()
    {
        MapContent content = new(s_spec with { Type = MapType.PercpuHash, ValueSize = 4 }, 3, []);
        Assert.Equal(6UL, content.Number([1, 0, 0, 0, 9, 9, 9, 9, 2, 0, 0, 0, 9, 9, 9, 9, 3, 0, 0, 0, 9, 9, 9, 9]));
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(1, "1")]
    [InlineData(0.001, "0.001")]
    [InlineData(0.000001, "1e-06")]
    [InlineData(123456, "123456")]
    [InlineData(1048576, "1.048576e+06")]
    [InlineData(134217727, "1.34217727e+08")]
    [InlineData(549755813887, "5.49755813887e+11")]
    [InlineData(-2.5, "-2.5")]
    [InlineData(12.25, "12.25")]
    [InlineData(double.PositiveInfinity, "+Inf")]
    public void Numbers_are_written_as_Go_writes_them(double value, string text) => Assert.Equal(text, PrometheusText.Number(value));

    [Fact]
    public void The_text_exposition_is_complete()
    {
        MetricSnapshot snapshot = new(
            [
                new("ebpf_exporter_a_total", "Line\none", MetricKind.Counter, ["x"]) { Samples = [new(["q\"\\\n"], 3)] },
                new("ebpf_exporter_b", "B", MetricKind.Histogram, ["y"]) { Histograms = [new(["1"], [0, 1, 3], [1, 0, 2], 4.5)] },
            ], 0, 0);
        Assert.Equal("""
            # HELP ebpf_exporter_a_total Line\none
            # TYPE ebpf_exporter_a_total counter
            ebpf_exporter_a_total{x="q\"\\\n"} 3
            # HELP ebpf_exporter_b B
            # TYPE ebpf_exporter_b histogram
            ebpf_exporter_b_bucket{y="1",le="0"} 1
            ebpf_exporter_b_bucket{y="1",le="1"} 1
            ebpf_exporter_b_bucket{y="1",le="3"} 3
            ebpf_exporter_b_bucket{y="1",le="+Inf"} 3
            ebpf_exporter_b_sum{y="1"} 4.5
            ebpf_exporter_b_count{y="1"} 3

            """.ReplaceLineEndings("\n"), PrometheusText.Write(snapshot));
    }

    private static MetricSnapshot Build(string yaml, params (int Key, ulong Value)[] elements)
    {
        MetricBuilder builder = new(ExporterConfigReader.Parse("c.yaml", yaml), new KernelNames());
        MapContent content = new(s_spec, 1, [.. elements.Select(e => (Bytes(e.Key), BitConverter.GetBytes(e.Value)))]);
        return builder.Build(new Dictionary<string, MapContent> { ["m"] = content }, []);
    }

    private static byte[] Bytes(int value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return bytes;
    }
}
