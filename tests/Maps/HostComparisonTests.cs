using BpfSim.Kernel.Host;
using BpfSim.Tests.Shared;

namespace BpfSim.Maps.Tests;

/// <summary>The same operations on the simulation's maps and on the host kernel's: equal results, values, errno and memory.</summary>
public class HostComparisonTests
{
    /// <summary>Specs whose results do not depend on hash order or on who is evicted; NextKey only where the order is defined.</summary>
    public static TheoryData<string, bool> Specs() => new()
    {
        { "1 4 8 16 0", false }, { "1 4 8 16 1", false }, { "1 16 20 8 0", false }, { "1 7 3 8 0", false }, { "1 4 8 1 0", false },
        { "5 4 8 8 0", false }, { "5 4 12 8 1", false }, { "5 9 5 8 0", false },
        { "2 4 8 16 0", true }, { "2 4 5 7 0", true }, { "2 4 8 1 0x400", true }, { "6 4 8 8 0", true }, { "6 4 5 8 0", true },
        { "11 8 8 16 1", true }, { "11 8 5 8 1", true }, { "11 20 4 64 1", true },
        { "22 0 8 4 0", true }, { "23 0 8 4 0", true }, { "22 0 3 1 0", true }, { "23 0 3 5 0", true },
        { "9 4 8 64 0", false }, { "10 4 8 64 0", false }, { "9 4 8 64 2", false },
        { "3 4 4 4 0", true }, { "4 4 4 4 0", true }, { "8 4 4 4 0", true }, { "7 4 64 4 0", true }, { "27 0 0 4096 0", true },
        { "31 0 0 4096 0", true }, { "33 0 0 4 0x400", true }, { "17 4 4 4 0", true }, { "15 4 8 4 0", true }, { "18 4 8 4 0", true },
        { "20 4 8 4 0", true }, { "16 4 4 4 0", true },
    };

    [HostKernelTheory]
    [MemberData(nameof(Specs))]
    public void AnswersAsTheHost(string text, bool ordered)
    {
        var spec = TestData.ParseSpec(text);
        var cpus = HostMap.PossibleCpus;
        for (var seed = 1; seed <= 20; seed++)
        {
            var fd = HostKernel.CreateMap(spec);
            Assert.True(fd >= 0, $"host: {fd}");
            var (map, errno) = MapFactory.Create(spec, cpus);
            Assert.Equal(Errno.None, errno);
            try
            {
                Compare(new SimulatedMap(map!), new HostMap(spec, cpus, fd), spec, ordered, new Random(seed));
                if (spec.Type is not (MapType.LruHash or MapType.LruPercpuHash)) Assert.Equal(HostMap.Memlock(fd), map!.MemoryBytes);
            }
            finally
            {
                HostKernel.Close(fd);
                map!.Dispose();
            }
        }
    }

    private static void Compare(SimulatedMap simulated, HostMap host, MapSpec spec, bool ordered, Random random)
    {
        var log = new List<string>();
        // An LRU map may evict as it likes once it is half full: keep below that.
        var keys = spec.Type is MapType.LruHash or MapType.LruPercpuHash ? 8 : spec.Type == MapType.LpmTrie ? 256 : 20;
        var references = MapTypes.Get(spec.Type).References != MapReferenceKind.None || spec.Type is MapType.StackTrace or MapType.Cpumap;
        for (var i = 0; i < 300; i++)
        {
            var kind = (OpKind)random.Next(5);
            if (kind == OpKind.NextKey && !ordered || kind == OpKind.Update && references) kind = OpKind.Lookup;
            ulong[] flags = [0, 0, 0, 1, 2, 3, 4, 5, 8];
            var op = new MapOp(kind, random.Next(kind == OpKind.NextKey ? -1 : 0, keys), (byte)random.Next(256), flags[random.Next(flags.Length)]);
            var (mine, theirs) = (simulated.Run(op), host.Run(op));
            log.Add($"{op} -> {theirs}");
            Assert.True(mine == theirs, $"{spec.Type}: {op}: here {mine}, host {theirs}; after\n{string.Join('\n', log.TakeLast(12))}");
        }
    }

    [HostKernelTheory]
    [MemberData(nameof(BatchSpecs))]
    public void BatchCommandsAnswerAsTheHost(string text)
    {
        var spec = TestData.ParseSpec(text);
        var cpus = HostMap.PossibleCpus;
        var fd = HostKernel.CreateMap(spec);
        var (map, _) = MapFactory.Create(spec, cpus);
        try
        {
            var (k, v) = (spec.KeySize, map!.UserValueSize);
            foreach (var (flags, wanted) in new (ulong, uint)[] { (0, 0), (0, 5), (4, 2), (1, 2), (0, 12), (0, 20) })
            {
                var keys = new byte[k * 20];
                var values = new byte[v * 20];
                for (var i = 0; i < 20; i++)
                {
                    if (k > 0) keys[i * k] = spec.Type == MapType.LpmTrie ? (byte)8 : (byte)i;
                    if (spec.Type == MapType.LpmTrie) keys[(i * k) + 4] = (byte)i;
                    values.AsSpan((int)(i * v), (int)v).Fill((byte)(i + 1));
                }

                var (mine, theirs) = (wanted, wanted);
                Assert.Equal((HostKernel.Batch(BpfCommand.MapUpdateBatch, fd, [], [], keys, values, ref theirs, flags), theirs),
                    (map.UpdateBatch(keys, values, ref mine, flags), mine));
                Assert.Equal(Drain(spec, wanted, flags, false, fd), Drain(spec, wanted, flags, false, map));
                if (wanted == 12) Assert.Equal(Drain(spec, 3, flags, true, fd), Drain(spec, 3, flags, true, map));
                (mine, theirs) = (wanted, wanted);
                Assert.Equal((HostKernel.Batch(BpfCommand.MapDeleteBatch, fd, [], [], keys, [], ref theirs, flags), theirs),
                    (map.DeleteBatch(keys, ref mine, flags), mine));
            }

            HostKernel.FreezeMap(fd);
            map.Freeze();
            var (a, b) = (1u, 1u);
            Assert.Equal(HostKernel.Batch(BpfCommand.MapUpdateBatch, fd, [], [], new byte[k], new byte[v], ref a, 0),
                map.UpdateBatch(new byte[k], new byte[v], ref b, 0));
        }
        finally
        {
            HostKernel.Close(fd);
            map!.Dispose();
        }
    }

    public static TheoryData<string> BatchSpecs() =>
        ["1 4 8 16 0", "1 4 8 16 1", "5 4 12 16 0", "9 4 8 64 0", "10 4 8 64 0", "2 4 8 16 0", "6 4 8 16 0", "11 8 8 16 1", "22 0 4 4 0", "7 4 64 4 0", "30 0 4 4 0"];

    private delegate int Fetch(byte[] inBatch, byte[] outBatch, byte[] keys, byte[] values, ref uint count);

    private static string Drain(MapSpec spec, uint room, ulong flags, bool delete, int fd) => Drain(spec, room,
        (byte[] i, byte[] o, byte[] k, byte[] v, ref uint c) => HostKernel.Batch(
            delete ? BpfCommand.MapLookupAndDeleteBatch : BpfCommand.MapLookupBatch, fd, i, o, k, v, ref c, flags));

    private static string Drain(MapSpec spec, uint room, ulong flags, bool delete, BpfMap map) => Drain(spec, room,
        (byte[] i, byte[] o, byte[] k, byte[] v, ref uint c) => map.LookupBatch(i, o, k, v, ref c, flags, delete));

    /// <summary>All entries in key order and the last errno; how many came at once depends on the hash and is left out.</summary>
    private static string Drain(MapSpec spec, uint room, Fetch fetch)
    {
        var cpus = HostMap.PossibleCpus;
        var valueSize = MapTypes.Get(spec.Type).IsPerCpu ? ((spec.ValueSize + 7) & ~7u) * cpus : spec.ValueSize;
        var (keys, values) = (new byte[spec.KeySize * 64], new byte[valueSize * 64]);
        byte[] inBatch = [], outBatch = new byte[Math.Max(4, spec.KeySize)];
        var found = new List<string>();
        var errno = 0;
        for (var i = 0; i < 100 && errno == 0; i++)
        {
            var count = room;
            errno = fetch(inBatch, outBatch, keys, values, ref count);
            // Hash chains of the two differ: a bucket that does not fit asks for more room.
            if (errno == -(int)Errno.ENOSPC && room < 64)
            {
                room = 64;
                errno = 0;
                inBatch = i == 0 ? [] : [.. outBatch];
                continue;
            }

            if (errno is not 0 and not -(int)Errno.ENOENT) break;
            for (var e = 0; e < count; e++)
            {
                var value = values.AsSpan((int)(e * valueSize), (int)valueSize).ToArray();
                if (valueSize != spec.ValueSize)
                    for (var b = 0; b < value.Length; b++)
                        if (b % ((spec.ValueSize + 7) & ~7u) >= spec.ValueSize) value[b] = 0;
                found.Add(Convert.ToHexString(keys.AsSpan((int)(e * spec.KeySize), (int)spec.KeySize)) + "=" + Convert.ToHexString(value));
            }

            if (room == 0) break;
            inBatch = [.. outBatch];
        }

        found.Sort(StringComparer.Ordinal);
        return $"{(Errno)(-errno)}: {string.Join(' ', found)}";
    }
}
