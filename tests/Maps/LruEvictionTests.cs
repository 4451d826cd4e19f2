namespace BpfSim.Maps.Tests;

/// <summary>
/// Which entries an LRU map still has after three times its capacity was inserted in order by one CPU of two: as recorded on Linux 6.18
/// (how many are left, the oldest of them, and the insertion that first evicts).
/// </summary>
public unsafe class LruEvictionTests
{
    [Theory]
    [InlineData(1, 0, 1, 2, 2)]
    [InlineData(2, 0, 2, 4, 3)]
    [InlineData(3, 0, 3, 6, 4)]
    [InlineData(8, 0, 8, 16, 9)]
    [InlineData(10, 0, 10, 20, 11)]
    [InlineData(100, 0, 100, 200, 101)]
    [InlineData(256, 0, 256, 512, 257)]
    [InlineData(300, 0, 300, 600, 301)]
    [InlineData(1000, 0, 928, 2072, 897)]
    [InlineData(4096, 0, 4096, 8192, 4097)]
    [InlineData(1, 2, 1, 2, 2)]
    [InlineData(2, 2, 1, 5, 2)]
    [InlineData(3, 2, 1, 8, 3)]
    [InlineData(4, 2, 2, 10, 3)]
    [InlineData(8, 2, 4, 20, 5)]
    [InlineData(10, 2, 2, 28, 6)]
    [InlineData(100, 2, 48, 252, 51)]
    [InlineData(256, 2, 128, 640, 129)]
    [InlineData(300, 2, 148, 752, 151)]
    [InlineData(1000, 2, 500, 2500, 501)]
    public void EvictsAsTheKernel(int capacity, int flags, int present, int oldest, int firstLoss)
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.LruHash, KeySize = 4, ValueSize = 8, MaxEntries = (uint)capacity, Flags = (uint)flags }, 2).Map!;
        long value = 0;
        var lostAt = 0;
        for (var key = 0; key < capacity * 3; key++)
        {
            Assert.Equal(0, map.ProgramUpdate((byte*)&key, (byte*)&value, 0, 0));
            if (lostAt == 0 && map.Statistics.Total.Evictions > 0) lostAt = key + 1;
        }

        var left = map.Snapshot().Entries().Select(e => BitConverter.ToInt32(e.Key)).Order().ToList();
        Assert.Equal((firstLoss, present, oldest), (lostAt, left.Count, left[0]));
        Assert.Equal(left.Count - 1, left[^1] - left[0]);
    }

    [Fact]
    public void WhatProgramsLookUpStaysLonger()
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.LruHash, KeySize = 4, ValueSize = 8, MaxEntries = 512 }, 1).Map!;
        long value = 0;
        for (var key = 0; key < 5000; key++)
        {
            Assert.Equal(0, map.ProgramUpdate((byte*)&key, (byte*)&value, 0, 0));
            for (var hot = 0; hot < Math.Min(key, 16); hot++) map.ProgramLookup((byte*)&hot, 0);
        }

        for (var hot = 0; hot < 16; hot++) Assert.True(map.ProgramLookup((byte*)&hot, 0) != null, $"key {hot}");
    }
}
