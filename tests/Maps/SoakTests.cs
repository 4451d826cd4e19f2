using BpfSim.Tests.Shared;

namespace BpfSim.Maps.Tests;

/// <summary>Minutes of everything at once; BPFSIM_SLOW=1.</summary>
public unsafe class SoakTests
{
    [SlowFact]
    public void AnHourOfChurnLeavesNoTornValueAndNoLeak()
    {
        MapType[] types = [MapType.Hash, MapType.LruHash, MapType.PercpuHash, MapType.LruPercpuHash];
        var memory = new List<ulong>();
        foreach (var type in types)
            foreach (var flags in type is MapType.LruHash or MapType.LruPercpuHash ? new uint[] { 0, 2 } : [0, 1])
            {
                using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 8, ValueSize = 32, MaxEntries = 1000, Flags = flags }, 4).Map!;
                var bad = 0;
                var threads = Enumerable.Range(0, 4).Select(i => new Thread(() => Churn(map, (uint)i, ref bad))).ToList();
                threads.ForEach(t => t.Start());
                threads.ForEach(t => t.Join());
                Assert.Equal(0, bad);
                Assert.Equal((int)map.Count, map.Snapshot().Count);
                memory.Add(map.NativeBytes);
            }

        Assert.All(memory, m => Assert.InRange(m, 1ul, 64ul << 20));
    }

    private static void Churn(BpfMap map, uint cpu, ref int bad)
    {
        var random = new Random((int)cpu + 1);
        var reader = MapEpoch.Register();
        var value = stackalloc ulong[4];
        for (var round = 0; round < 400_000; round++)
        {
            MapEpoch.Enter(reader);
            for (var i = 0; i < 16; i++)
            {
                var key = (ulong)random.Next(1500);
                switch (random.Next(4))
                {
                    case 0:
                        value[0] = key;
                        value[1] = (ulong)random.NextInt64();
                        value[2] = (key * 31) + value[1];
                        value[3] = ~value[1];
                        map.ProgramUpdate((byte*)&key, (byte*)value, 0, cpu);
                        break;
                    case 1:
                        map.ProgramDelete((byte*)&key, cpu);
                        break;
                    default:
                        var found = (ulong*)map.ProgramLookup((byte*)&key, cpu);
                        // A per-CPU copy that this CPU has not written yet is zero.
                        if (found != null && (found[0] | found[1] | found[3]) != 0
                            && (found[0] != key || found[2] != (key * 31) + found[1] || found[3] != ~found[1]))
                            Interlocked.Increment(ref bad);
                        break;
                }
            }

            MapEpoch.Leave(reader);
        }

        MapEpoch.Unregister(reader);
    }
}
