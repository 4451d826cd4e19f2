using System.Text.Json;
using BpfSim.Kernel.Laboratory;
using BpfSim.Maps;

namespace BpfSim.Kernel.Tests.Laboratory;

public class ContentionTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(30);

    [Theory]
    [InlineData(MapType.Array, UpdateStyle.Atomic)]
    [InlineData(MapType.Array, UpdateStyle.PerCpu)]
    [InlineData(MapType.Hash, UpdateStyle.Atomic)]
    [InlineData(MapType.Hash, UpdateStyle.SpinLock)]
    [InlineData(MapType.Hash, UpdateStyle.PerCpu)]
    [InlineData(MapType.Hash, UpdateStyle.Mailbox)]
    public void ExactStylesLoseNothing(MapType kind, UpdateStyle style)
    {
        var result = new ContentionLaboratory().Run(new ContentionSpec
        {
            Kind = kind,
            Style = style,
            Keys = 4,
            MaxEntries = 8,
            ValueSize = 16,
            Cpus = [1, 3],
            Duration = Short,
            Compare = false,
        });
        Assert.Equal(2, result.Runs.Count);
        Assert.All(result.Runs, r =>
        {
            Assert.True(r.Operations > 0);
            Assert.Equal((r.Added, 0L, 0L), (r.Counted, r.LostUpdates, r.FailedUpdates));
        });
    }

    [Theory]
    [InlineData(UpdateStyle.Plain)]
    [InlineData(UpdateStyle.Mailbox)]
    public void WhatDeletionsTakeOutIsInTheLedger(UpdateStyle style)
    {
        var run = new ContentionLaboratory().Run(new ContentionSpec
        {
            Style = style,
            Keys = 50,
            MaxEntries = 64,
            DeletePercent = 30,
            Distribution = KeyDistribution.Disjoint,
            Cpus = [2],
            Duration = Short,
            Compare = false,
        }).Runs[0];
        Assert.True(run.Added > 0);
        Assert.Equal((run.Added, 0L), (run.Counted, run.LostUpdates));
    }

    [Fact]
    public void AFullMapFailsUpdatesAndTheVerdictSaysSo()
    {
        var result = new ContentionLaboratory().Run(new ContentionSpec
        {
            Keys = 100,
            MaxEntries = 10,
            Style = UpdateStyle.Atomic,
            Cpus = [1],
            Duration = Short,
            Compare = false,
        });
        Assert.True(result.Runs[0].FailedUpdates > 0);
        Assert.Equal(result.Runs[0].FailedUpdates, result.Runs[0].LostUpdates);
        Assert.Contains(result.Verdict, v => v.Contains("max_entries 100"));
    }

    [Fact]
    public void AnLruMapUnderPressureEvictsCounts()
    {
        var result = new ContentionLaboratory().Run(ContentionPresets.Find("lru-pressure")! with { Cpus = [1], Duration = Short, Compare = false });
        Assert.True(result.Runs[0].Evictions > 0);
        Assert.True(result.Runs[0].LostUpdates > 0);
        Assert.Contains(result.Verdict, v => v.Contains("evicted"));
    }

    [Fact]
    public void RecordsThatFindNoRoomAreLostAndAllOthersArrive()
    {
        var result = new ContentionLaboratory().Run(ContentionPresets.Find("ringbufs")! with { Cpus = [1, 2], Duration = Short, MaxEntries = 4096 });
        Assert.Equal(["ringbuf", "perf_event_array"], result.Candidates.Select(c => c.Kind));
        foreach (var run in result.Runs.Concat(result.Candidates.Select(c => c.Run)))
        {
            Assert.True(run.Operations > 0);
            Assert.Equal(run.Operations, run.Counted);
            Assert.Equal(run.FailedUpdates, run.LostUpdates);
            Assert.Equal(run.Added, run.Counted + run.LostUpdates);
        }
    }

    [Theory]
    [InlineData(UpdateStyle.Atomic)]
    [InlineData(UpdateStyle.SpinLock)]
    public void LocalStorageCountsExactly(UpdateStyle style)
    {
        var spec = ContentionPresets.Find("local-storage")! with { Cpus = [2], Duration = Short, Style = style, ValueSize = 16, Compare = false };
        var run = Assert.Single(new ContentionLaboratory().Run(spec).Runs);
        Assert.True(run.Added > 0);
        Assert.Equal(0, run.LostUpdates);
    }

    [Fact]
    public void ReportsCarryEveryRun()
    {
        var result = new ContentionLaboratory().Run(new ContentionSpec { Cpus = [1, 2], Duration = Short, Keys = 10, MaxEntries = 16 });
        Assert.True(result.Candidates.Count >= 4);
        using var json = JsonDocument.Parse(ContentionReport.Json([result]));
        Assert.Equal(2, json.RootElement.GetProperty("results")[0].GetProperty("runs").GetArrayLength());
        Assert.Equal(1 + 2 + result.Candidates.Count - 1, ContentionReport.Csv([result]).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        var html = ContentionReport.Html([result]);
        Assert.Contains("<svg", html);
        Assert.DoesNotContain("src=", html);
        Assert.DoesNotContain("NaN", html);
    }

    [Theory]
    [InlineData(0u, 8u, 0, "keys = 0")]
    [InlineData(10u, 4u, 0, "value size 4")]
    [InlineData(10u, 8u, 120, "leave nothing")]
    public void BadSpecsAreRefusedInOneLine(uint keys, uint valueSize, int read, string message) =>
        Assert.Contains(message, new ContentionSpec { Keys = keys, ValueSize = valueSize, ReadPercent = read }.Problem());

    [Fact]
    public void TheSameSeedDrawsTheSameKeysAndZipfFavoursTheFirst()
    {
        var spec = new ContentionSpec { Distribution = KeyDistribution.Zipf, ZipfExponent = 1.2, Keys = 1000 };
        var draws = KeyChooser.Draw(spec, 0, 2);
        Assert.Equal(draws, KeyChooser.Draw(spec, 0, 2));
        Assert.NotEqual(draws, KeyChooser.Draw(spec, 1, 2));
        Assert.True(draws.Count(k => k == 0) > 3 * draws.Count(k => k == 4));
        var own = spec with { Distribution = KeyDistribution.Disjoint };
        Assert.Empty(KeyChooser.Draw(own, 0, 2).Intersect(KeyChooser.Draw(own, 1, 2)));
    }
}
