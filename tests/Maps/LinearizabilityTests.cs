using System.Diagnostics;
using BpfSim.Tests.Shared;

namespace BpfSim.Maps.Tests;

/// <summary>Histories of single keys among threads have an order in which one thread could have made them.</summary>
public unsafe class LinearizabilityTests
{
    private const int Threads = 3;

    /// <summary>
    /// Several keys in few buckets, so that chains change under the walks; each key has a history of its own. Programs and user space take part.
    /// </summary>
    [Theory]
    [InlineData(MapType.Hash, 0u)]
    [InlineData(MapType.Hash, 1u)]
    [InlineData(MapType.LruHash, 0u)]
    [InlineData(MapType.Array, 0u)]
    public void Single_key_histories_are_linearizable(MapType type, uint flags) => Run(type, flags, histories: 60);

    [SlowFact]
    public void Thousands_of_histories_are_linearizable()
    {
        Run(MapType.Hash, 0, histories: 6000);
        Run(MapType.Hash, 1, histories: 6000);
        Run(MapType.LruHash, 0, histories: 6000);
        Run(MapType.Array, 0, histories: 6000);
    }

    [Fact]
    public void The_checker_tells_right_from_wrong()
    {
        Assert.True(History((0, KeyOperation.Update, 1, true, 0, 10), (1, KeyOperation.Lookup, 1, true, 5, 6)).IsLinearizable(0));
        Assert.True(History((0, KeyOperation.Update, 1, true, 0, 10), (1, KeyOperation.Lookup, 0, false, 5, 6)).IsLinearizable(0));
        // A value that was overwritten before the lookup began; one that nobody wrote; a read that goes back in time.
        Assert.False(History((0, KeyOperation.Update, 2, true, 0, 3), (1, KeyOperation.Lookup, 1, true, 5, 6)).IsLinearizable(1));
        Assert.False(History((0, KeyOperation.Update, 2, true, 0, 10), (1, KeyOperation.Lookup, 3, true, 5, 6)).IsLinearizable(0));
        Assert.False(History((0, KeyOperation.Update, 2, true, 0, 10), (1, KeyOperation.Lookup, 2, true, 1, 2), (1, KeyOperation.Lookup, 1, true, 3, 4)).IsLinearizable(1));
        // Two insertions cannot both succeed without a deletion, nor two deletions.
        Assert.False(History((0, KeyOperation.Insert, 1, true, 0, 10), (1, KeyOperation.Insert, 2, true, 0, 10)).IsLinearizable(0));
        Assert.True(History((0, KeyOperation.Insert, 1, true, 0, 10), (1, KeyOperation.Insert, 2, true, 0, 10), (2, KeyOperation.Delete, 0, true, 0, 10)).IsLinearizable(0));
        Assert.False(History((0, KeyOperation.Delete, 0, true, 0, 10), (1, KeyOperation.Delete, 0, true, 0, 10)).IsLinearizable(1));
        Assert.False(History((0, KeyOperation.Replace, 5, true, 0, 10)).IsLinearizable(0));
    }

    /// <summary>A freed value is filled with 0x6b once nobody can see it; before, it stays what it was.</summary>
    [Fact]
    public void Debug_builds_poison_what_is_free()
    {
        using var map = MapFactory.Create(new MapSpec { Type = MapType.Hash, KeySize = 8, ValueSize = 8, MaxEntries = 64 }, 1).Map!;
        var reader = MapEpoch.Register();
        MapEpoch.Enter(reader);
        var seen = stackalloc ulong*[8];
        for (ulong key = 0; key < 8; key++)
        {
            map.ProgramUpdate((byte*)&key, (byte*)&key, 0, 0);
            seen[key] = (ulong*)map.ProgramLookup((byte*)&key, 0);
        }

        for (ulong key = 0; key < 8; key++) map.ProgramDelete((byte*)&key, 0);
        for (ulong k = 100; k < 1000; k++) Churn(k);
        for (ulong key = 0; key < 8; key++) Assert.Equal(key, *seen[key]);
        MapEpoch.Leave(reader);
        // They become free together, and are used again one by one: the last of them shows what they were filled with.
        for (ulong k = 100; k < 10_000 && *seen[7] == 7; k++) Churn(k);
        MapEpoch.Unregister(reader);
        var poisons = typeof(BpfMap).Assembly.GetCustomAttributes(typeof(DebuggableAttribute), false).Cast<DebuggableAttribute>().Any(d => d.IsJITOptimizerDisabled);
        if (poisons) Assert.Equal(0x6b6b6b6b6b6b6b6bul, *seen[7]);

        void Churn(ulong other)
        {
            map.ProgramUpdate((byte*)&other, (byte*)&other, 0, 0);
            map.ProgramDelete((byte*)&other, 0);
        }
    }

    private static KeyHistory History(params (int Thread, KeyOperation Operation, ulong Value, bool Done, long Begin, long End)[] events)
    {
        var history = new KeyHistory(Threads);
        foreach (var e in events) history.Add(e.Thread, new KeyHistory.Event(e.Operation, e.Value, e.Done, e.Begin, e.End));
        return history;
    }

    private static void Run(MapType type, uint flags, int histories)
    {
        const int keys = 4, rounds = 150;
        var array = type == MapType.Array;
        using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 8, MaxEntries = array ? keys : type == MapType.Hash ? 8u : 1024u, Flags = flags }, Threads).Map!;
        for (var n = 0; n < histories; n++)
        {
            // Deleted entries, and array slots at 0, count as nothing.
            for (var k = 0u; k < keys; k++)
            {
                if (array) map.Update(BitConverter.GetBytes(k), new byte[8]);
                else map.Delete(BitConverter.GetBytes(k));
            }

            KeyHistory[] all = [.. Enumerable.Range(0, keys).Select(_ => new KeyHistory(Threads))];
            using var start = new Barrier(Threads);
            var seed = n;
            Thread[] threads = [.. Enumerable.Range(0, Threads).Select(t => new Thread(() =>
            {
                var random = new Random((seed * Threads) + t);
                var reader = MapEpoch.Register();
                start.SignalAndWait();
                for (var i = 1; i <= rounds; i++)
                {
                    MapEpoch.Enter(reader);
                    var key = (uint)random.Next(keys);
                    all[key].Add(t, Do(map, key, array ? (KeyOperation)random.Next(2) : (KeyOperation)random.Next(5), ((ulong)(t + 1) << 32) | (uint)i, (uint)t, random));
                    MapEpoch.Leave(reader);
                }

                MapEpoch.Unregister(reader);
            }))];
            foreach (var t in threads) t.Start();
            foreach (var t in threads) t.Join();
            for (var k = 0; k < keys; k++) Assert.True(all[k].IsLinearizable(0), $"{type}, flags {flags}, history {n}, key {k}");
        }
    }

    private static KeyHistory.Event Do(BpfMap map, uint key, KeyOperation operation, ulong value, uint cpu, Random random)
    {
        var begin = Now();
        bool done;
        if (operation == KeyOperation.Lookup)
        {
            var found = (ulong*)map.ProgramLookup((byte*)&key, cpu);
            value = found == null ? 0 : Volatile.Read(ref *found);
            done = value != 0;
        }
        else if (operation == KeyOperation.Delete)
        {
            done = map.ProgramDelete((byte*)&key, cpu) == 0;
            value = 0;
        }
        else
        {
            var flags = operation switch { KeyOperation.Insert => 1ul, KeyOperation.Replace => 2ul, _ => 0ul };
            done = (random.Next(3) == 0
                ? map.Update(BitConverter.GetBytes(key), BitConverter.GetBytes(value), flags)
                : map.ProgramUpdate((byte*)&key, (byte*)&value, flags, cpu)) == 0;
        }

        return new KeyHistory.Event(operation, value, done, begin, Now());
    }

    /// <summary>
    /// The time, with all stores of this thread visible. Without the fence an update could end while its last store, which gives the
    /// bucket free, still waits in the CPU, and a later lookup find the old value: x86 allows that, and the kernel's maps do it too.
    /// </summary>
    private static long Now()
    {
        Interlocked.MemoryBarrier();
        var now = Stopwatch.GetTimestamp();
        Interlocked.MemoryBarrier();
        return now;
    }
}
