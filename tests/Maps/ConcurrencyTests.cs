using System.Collections.Concurrent;

namespace BpfSim.Maps.Tests;

/// <summary>Threads hammer one map; what must hold, holds.</summary>
public unsafe class ConcurrencyTests
{
    private const int Threads = 4;

    /// <summary>
    /// Values carry their key and a checksum in every word: a reader inside the epoch never sees a half-written value, another key's,
    /// or a freed one's (debug builds poison those).
    /// </summary>
    [Theory]
    [InlineData(MapType.Hash, 0u)]
    [InlineData(MapType.Hash, 1u)]
    [InlineData(MapType.LruHash, 0u)]
    [InlineData(MapType.LruHash, 2u)]
    public void ReadersNeverSeeTornOrForeignValues(MapType type, uint flags)
    {
        using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 8, ValueSize = 32, MaxEntries = 64, Flags = flags }, Threads).Map!;
        var bad = 0;
        Hammer((cpu, random, reader) =>
        {
            Span<ulong> value = stackalloc ulong[4];
            for (var round = 0; round < 4000; round++)
            {
                MapEpoch.Enter(reader);
                for (var i = 0; i < 8; i++)
                {
                    ulong key = (ulong)random.Next(96);
                    switch (random.Next(5))
                    {
                        case 0 or 1:
                            var salt = (ulong)random.NextInt64();
                            value[0] = key;
                            value[1] = salt;
                            value[2] = key * 31 + salt;
                            value[3] = ~salt;
                            fixed (ulong* v = value) map.ProgramUpdate((byte*)&key, (byte*)v, 0, cpu);
                            break;
                        case 2:
                            map.ProgramDelete((byte*)&key, cpu);
                            break;
                        default:
                            var found = (ulong*)map.ProgramLookup((byte*)&key, cpu);
                            // Held over other operations of this run, the value must not change.
                            if (found != null)
                            {
                                if (random.Next(4) == 0) Thread.Yield();
                                if (found[0] != key || found[2] != (key * 31) + found[1] || found[3] != ~found[1]) Interlocked.Increment(ref bad);
                            }

                            break;
                    }
                }

                MapEpoch.Leave(reader);
            }
        });
        Assert.Equal(0, bad);
        Assert.InRange(map.Count, 0u, 64u);
        Assert.Equal((int)map.Count, map.Snapshot().Count);
    }

    /// <summary>Every insertion with NOEXIST and every deletion that succeeds is counted: the difference is what is there.</summary>
    [Theory]
    [InlineData(MapType.Hash)]
    [InlineData(MapType.PercpuHash)]
    public void CountsOfInsertionsAndDeletionsBalance(MapType type)
    {
        using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 8, MaxEntries = 50 }, Threads).Map!;
        long balance = 0, tooMany = 0;
        Hammer((cpu, random, reader) =>
        {
            long mine = 0;
            for (var i = 0; i < 30000; i++)
            {
                var key = random.Next(100);
                long value = key;
                if (random.Next(2) == 0)
                {
                    var errno = map.ProgramUpdate((byte*)&key, (byte*)&value, UpdateFlags.NoExist, cpu);
                    if (errno == 0) mine++;
                    else if (errno is not (-(int)Errno.EEXIST or -(int)Errno.E2BIG)) Interlocked.Increment(ref tooMany);
                }
                else if (map.ProgramDelete((byte*)&key, cpu) == 0) mine--;
            }

            Interlocked.Add(ref balance, mine);
        });
        Assert.Equal(0, tooMany);
        Assert.Equal(balance, map.Count);
        Assert.Equal(balance, map.Snapshot().Count);
    }

    /// <summary>Atomic additions lose nothing; per-CPU additions lose nothing and add up.</summary>
    [Theory]
    [InlineData(MapType.Array, false)]
    [InlineData(MapType.PercpuArray, true)]
    [InlineData(MapType.Hash, false)]
    [InlineData(MapType.PercpuHash, true)]
    public void AtomicAndPerCpuAdditionsLoseNothing(MapType type, bool plain)
    {
        using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 8, MaxEntries = 4 }, Threads).Map!;
        for (var i = 0; i < 4; i++) map.Update(BitConverter.GetBytes(i), new byte[map.UserValueSize]);
        Hammer((cpu, random, reader) =>
        {
            for (var i = 0; i < 50000; i++)
            {
                var key = i & 3;
                var value = (long*)map.ProgramLookup((byte*)&key, cpu);
                if (plain) ++*value;
                else Interlocked.Increment(ref *value);
            }
        });
        var sum = 0L;
        foreach (var (_, value) in map.Snapshot().Entries())
            for (var i = 0; i < value.Length; i += 8) sum += BitConverter.ToInt64(value, i);
        Assert.Equal(Threads * 50000L, sum);
    }

    /// <summary>
    /// Single-key histories are linearizable: a value that a reader has seen is never older than one that was known to be in place
    /// before its read began.
    /// </summary>
    [Fact]
    public void ReadsNeverGoBackInTime()
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 8 }, Threads).Map!;
        long published = 0;
        var violations = 0;
        var zero = 0;
        long first = 0;
        map.ProgramUpdate((byte*)&zero, (byte*)&first, 0, 0);
        Hammer((cpu, random, reader) =>
        {
            for (var i = 1; i <= 60000; i++)
            {
                var key = 0;
                if (cpu == 0)
                {
                    long value = i;
                    map.ProgramUpdate((byte*)&key, (byte*)&value, UpdateFlags.Exist, cpu);
                    Volatile.Write(ref published, i);
                }
                else
                {
                    // Other keys churn in the same buckets meanwhile.
                    var other = random.Next(1, 7);
                    long value = other;
                    map.ProgramUpdate((byte*)&other, (byte*)&value, 0, cpu);
                    MapEpoch.Enter(reader);
                    var atLeast = Volatile.Read(ref published);
                    var found = (long*)map.ProgramLookup((byte*)&key, cpu);
                    if (found == null || *found < atLeast) Interlocked.Increment(ref violations);
                    MapEpoch.Leave(reader);
                    if (random.Next(2) == 0) map.ProgramDelete((byte*)&other, cpu);
                }
            }
        });
        Assert.Equal(0, violations);
    }

    [Fact]
    public void IterationDuringChangesSeesEveryEntryThatStays()
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 400 }, Threads).Map!;
        for (var i = 0; i < 200; i++) map.Update(BitConverter.GetBytes(i), new byte[8]);
        var missing = 0;
        Hammer((cpu, random, reader) =>
        {
            for (var round = 0; round < 60; round++)
            {
                if (cpu == 0)
                {
                    var seen = map.Snapshot().Entries().Select(e => BitConverter.ToInt32(e.Key)).ToHashSet();
                    for (var i = 0; i < 200; i++)
                        if (!seen.Contains(i)) Interlocked.Increment(ref missing);
                }
                else
                    for (var i = 0; i < 200; i++)
                    {
                        var key = 1000 + random.Next(150);
                        long value = key;
                        if (random.Next(2) == 0) map.ProgramUpdate((byte*)&key, (byte*)&value, 0, cpu);
                        else map.ProgramDelete((byte*)&key, cpu);
                    }
            }
        });
        Assert.Equal(0, missing);
    }

    [Fact]
    public void QueuesLoseAndDoubleNothing()
    {
        using var map = MapFactory.Create(TestData.ParseSpec("22 0 8 64 0"), Threads).Map!;
        var popped = new ConcurrentBag<long>();
        var pushed = new ConcurrentBag<long>();
        Hammer((cpu, random, reader) =>
        {
            for (var i = 0; i < 5000; i++)
            {
                long value = (cpu * 100000L) + i;
                if (map.ProgramPush((byte*)&value, 0) == 0) pushed.Add(value);
                if (random.Next(2) == 0 && map.ProgramPop((byte*)&value) == 0) popped.Add(value);
            }
        });
        long rest;
        while (map.ProgramPop((byte*)&rest) == 0) popped.Add(rest);
        Assert.Equal(pushed.Order(), popped.Order());
    }

    [Fact]
    public void ElementsStayReadableUntilTheirReadersLeave()
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 4 }, 1).Map!;
        var reader = MapEpoch.Register();
        MapEpoch.Enter(reader);
        var key = 1;
        long value = 42;
        map.ProgramUpdate((byte*)&key, (byte*)&value, 0, 0);
        var held = (long*)map.ProgramLookup((byte*)&key, 0);
        for (value = 100; value < 300; value++)
        {
            map.ProgramUpdate((byte*)&key, (byte*)&value, 0, 0);
            map.ProgramDelete((byte*)&key, 0);
        }

        Assert.Equal(42, *held);
        MapEpoch.Leave(reader);
        MapEpoch.Unregister(reader);
    }

    [Fact]
    public void MemoryComesBackAtDispose()
    {
        foreach (var row in MapTypes.Rows)
        {
            var spec = new MapSpec { Type = row.Type, KeySize = 4, ValueSize = 8, MaxEntries = 4096 };
            var (map, errno) = MapFactory.Create(spec, 2);
            if (map is null) continue;
            Assert.True(map.NativeBytes > 0, errno.ToString());
            map.Dispose();
            Assert.Equal(0ul, map.NativeBytes);
        }
    }

    [Fact]
    public void AMillionEntriesCostAtMostATwelfthMoreThanTheyMust()
    {
        foreach (var (key, value) in new (uint, uint)[] { (4, 8), (8, 8), (16, 32) })
        {
            using var map = MapFactory.Create(new MapSpec { Type = MapType.Hash, KeySize = key, ValueSize = value, MaxEntries = 1_000_000 }, 2).Map!;
            Assert.InRange(map.NativeBytes, 1ul, (ulong)(1.2 * (key + value + 16) * 1_000_000));
        }
    }

    private delegate void Work(uint cpu, Random random, EpochReader* reader);

    private static void Hammer(Work work)
    {
        using var start = new Barrier(Threads);
        var failures = new ConcurrentQueue<Exception>();
        var threads = Enumerable.Range(0, Threads).Select(i => new Thread(() =>
        {
            var reader = MapEpoch.Register();
            try
            {
                start.SignalAndWait();
                work((uint)i, new Random(i + 1), reader);
            }
            catch (Exception e)
            {
                failures.Enqueue(e);
            }
            finally
            {
                reader->Nesting = 0;
                MapEpoch.Unregister(reader);
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Assert.Empty(failures);
    }
}
