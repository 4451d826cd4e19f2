using BpfSim.Agent.Config;
using BpfSim.Agent.Scenarios;

namespace BpfSim.Agent.Tests;

public sealed class ConfigTests
{
    private const string Complete = """
        name: ignored
        kaddrs: [init_net]
        cgroup_id_map: {name: cgroups, type: hash, regexps: ['^/sys/fs/cgroup/web$']}
        metrics:
          counters:
            - name: calls_total
              help: Calls
              labels:
                - name: op
                  size: 4
                  padding: 4
                  decoders: [{name: uint}, {name: static_map, static_map: {0x1: read}, allow_unknown: true}]
            - {name: events_total, help: Events, perf_event_array: true, flush_interval: 10s, labels: [{name: x, size: 8, decoders: [{name: ksym}]}]}
          histograms:
            - {name: latency_seconds, help: L, bucket_type: exp2, bucket_multiplier: 0.001, bucket_min: 0, bucket_max: 26, labels: [{name: bucket, size: 8, decoders: [{name: uint}]}]}
            - {name: sizes, help: S, bucket_type: fixed, bucket_keys: [10, 5], labels: [{name: bucket, size: 8, decoders: [{name: uint}]}]}
        tracing:
          spans: [{ringbuf: spans, name: open, service: vfs, labels: [{name: trace_id, size: 16, decoders: [{name: hex}]}]}]
        """;

    [Fact]
    public void All_of_ebpf_exporters_form_is_read()
    {
        ExporterConfig config = ExporterConfigReader.Parse("dir/web.yaml", Complete);
        Assert.Equal(("web", 2, 2, 1), (config.Name, config.Counters.Count, config.Histograms.Count, config.Spans.Count));
        Assert.Equal(["init_net"], config.KernelAddresses);
        Assert.Equal("cgroups", config.CgroupIdMap!.Name);
        Assert.Equal((4, 4, true), (config.Counters[0].Labels[0].Size, config.Counters[0].Labels[0].Padding, config.Counters[0].Labels[0].Decoders[1].AllowUnknown));
        Assert.Equal((true, TimeSpan.FromSeconds(10)), (config.Counters[1].PerfEventArray, config.Counters[1].FlushInterval));
        Assert.Equal((27, 26 + 1), (config.Histograms[0].Buckets.Count(), config.Histograms[0].SumBucket));
        Assert.Equal((5, 10, 11), (config.Histograms[1].BucketKeys[0], config.Histograms[1].BucketKeys[1], config.Histograms[1].SumBucket));
    }

    [Theory]
    [InlineData("metrics: [", "not valid YAML")]
    [InlineData("- a", "x.yaml:1: a mapping")]
    [InlineData("metricz: {}", "x.yaml:1: unknown key 'metricz', did you mean 'metrics'?")]
    [InlineData("metrics:\n  counters:\n    - help: x", "x.yaml:3: 'name' is missing")]
    [InlineData("metrics:\n  counters:\n    - name: 'a b'", "x.yaml:3: 'a b' is not a metric name")]
    [InlineData("metrics:\n  counters:\n    - {name: a, labels: [{name: l, size: 4, decoders: [{name: uint64x}]}]}", "x.yaml:3: unknown decoder 'uint64x'")]
    [InlineData("metrics:\n  counters:\n    - {name: a, labels: [{name: l, size: 0, decoders: [{name: uint}]}]}", "'size' must be from 1 to 1048576, not 0")]
    [InlineData("metrics:\n  counters:\n    - {name: a, labels: [{name: l, decoders: [{name: uint}]}]}", "label 'l' has no size")]
    [InlineData("metrics:\n  counters:\n    - {name: a, labels: [{name: l, size: 4}]}", "label 'l' has no decoders")]
    [InlineData("metrics:\n  counters:\n    - {name: a, labels: [{name: l, size: 4, decoders: [{name: regexp, regexps: ['(']}]}]}", "'(' is not a regular expression")]
    [InlineData("metrics:\n  histograms:\n    - {name: a, bucket_type: exp3}", "'bucket_type' must be one of exp2, exp2zero, linear, fixed, log2, log2zero, not 'exp3'")]
    [InlineData("metrics:\n  histograms:\n    - {name: a, bucket_type: linear, bucket_min: 5, bucket_max: 5}", "bucket_min is 5, bucket_max is 5")]
    [InlineData("metrics:\n  histograms:\n    - {name: a, bucket_type: fixed}", "a fixed histogram needs 'bucket_keys'")]
    [InlineData("metrics:\n  counters:\n    - {name: a}\n    - {name: a}", "two metrics are named 'a'")]
    [InlineData("a: {b: [1, 2}", "x.yaml:1: not valid YAML")]
    [InlineData("a: 1\na: 2", "not valid YAML")]
    public void A_mistake_is_named_with_file_line_and_value(string yaml, string message)
    {
        ConfigException e = Assert.Throws<ConfigException>(() => ExporterConfigReader.Parse("x.yaml", yaml));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Theory]
    [InlineData("cpus: 0", "s.yaml:1: 'cpus' must be from 1 to 256, not 0")]
    [InlineData("cpus: many", "s.yaml:1: 'cpus' must be a whole number, not 'many'")]
    [InlineData("duration: soon", "s.yaml:1: 'duration' must be a time such as 10s, 250ms or 2m, not 'soon'")]
    [InlineData("seed: 1\nprogram: []", "s.yaml:2: unknown key 'program', did you mean 'programs'?")]
    [InlineData("programs:\n  - {object: nowhere.o}", "s.yaml:2: no such file 'nowhere.o'")]
    [InlineData("programs:\n  - {attach: {}}", "s.yaml:2: a program needs one of 'object', 'asm' or 'bytes'")]
    [InlineData("processes:\n  - {comm: a-name-that-is-too-long}", "s.yaml:2: 'comm' has at most 15 bytes")]
    [InlineData("processes:\n  - comm: a\n    activities:\n      - {kind: opne}", "s.yaml:4: 'kind' must be one of open")]
    [InlineData("agent: {metrics: {counters: [{name: 1}]}}", "'1' is not a metric name")]
    public void A_scenarios_mistake_is_named_with_file_line_and_value(string yaml, string message)
    {
        ConfigException e = Assert.Throws<ConfigException>(() => ScenarioReader.Parse("s.yaml", yaml, _ => null));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_built_in_scenarios_are_readable()
    {
        Assert.Contains("hello-world", ScenarioReader.BuiltIn);
        Assert.All(ScenarioReader.BuiltIn, name => Assert.Equal(name, ScenarioReader.Open(name).Name));
    }
}
