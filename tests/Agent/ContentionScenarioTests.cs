using BpfSim.Agent.Config;
using BpfSim.Agent.Scenarios;
using BpfSim.Kernel.Laboratory;
using BpfSim.Maps;

namespace BpfSim.Agent.Tests;

public class ContentionScenarioTests
{
    [Fact]
    public void TheBuiltInOneNamesItsPresets() =>
        Assert.Equal(["hot-counter", "zipf-labels", "lru-pressure"], ScenarioReader.Open("contention").Contention.Select(c => c.Name));

    [Fact]
    public void EveryKeyIsRead()
    {
        var spec = Parse("{name: x, kind: lru_hash, style: atomic, zipf: 1.5, keys: 7, max_entries: 5, key_size: 8, value_size: 16, read: 10, delete: 20, no_common_lru: true, cpus: [1, 3], duration: 20ms, seed: 9, compare: false}");
        Assert.Equal(("x", MapType.LruHash, UpdateStyle.Atomic, KeyDistribution.Zipf, 1.5, 7u, 5u), (spec.Name, spec.Kind, spec.Style, spec.Distribution, spec.ZipfExponent, spec.Keys, spec.MaxEntries));
        Assert.Equal((8u, 16u, 10, 20, true, false, 9ul, TimeSpan.FromMilliseconds(20)),
            (spec.KeySize, spec.ValueSize, spec.ReadPercent, spec.DeletePercent, spec.OwnLruLists, spec.Compare, spec.Seed, spec.Duration));
        Assert.Equal([1u, 3u], spec.Cpus);
    }

    [Theory]
    [InlineData("{preset: nothing}", "nothing")]
    [InlineData("{kind: bloom_filter}", "holds no counters")]
    [InlineData("{kind: ringbuf}", "max_entries 10000: buffers have a power of two of bytes")]
    [InlineData("{style: wild}", "wild")]
    [InlineData("{colour: red}", "colour")]
    [InlineData("{keys: 0}", "keys")]
    public void BadOnesAreRefusedByName(string entry, string word) => Assert.Contains(word, Assert.Throws<ConfigException>(() => Parse(entry)).Message);

    private static ContentionSpec Parse(string entry) =>
        ScenarioReader.Parse("test.yaml", $"contention:\n  - {entry}\n", _ => null).Contention.Single();
}
