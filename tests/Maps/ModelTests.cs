using CsCheck;

namespace BpfSim.Maps.Tests;

/// <summary>Random operations against a plain model of each kind; CsCheck shrinks what fails.</summary>
public class ModelTests
{
    private static readonly Gen<MapOp[]> Ops =
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 11], Gen.Byte, Gen.Int[0, 3],
            (kind, key, fill, flags) => new MapOp((OpKind)kind, key, fill, (ulong)flags)).Array[0, 80];

    [Theory]
    [InlineData("1 4 8 6 0")]
    [InlineData("1 4 8 6 1")]
    [InlineData("1 13 5 6 0")]
    [InlineData("5 8 8 6 0")]
    [InlineData("2 4 8 9 0")]
    [InlineData("6 4 8 9 0")]
    public void KeyedKindsBehaveAsADictionary(string text) => Ops.Sample(ops =>
    {
        var spec = TestData.ParseSpec(text);
        using var map = MapFactory.Create(spec, 3).Map!;
        var driver = new SimulatedMap(map);
        var isArray = spec.Type is MapType.Array or MapType.PercpuArray;
        var model = new DictionaryModel(isArray, (int)spec.MaxEntries);
        foreach (var op in ops)
        {
            var expected = model.Run(op, (int)map.UserValueSize, spec.ValueSize, MapTypes.Get(spec.Type).IsPerCpu);
            Assert.Equal(expected, driver.Run(op));
        }

        if (!isArray)
        {
            Assert.Equal((uint)model.Values.Count, map.Count);
            Assert.Equal(model.Values.Count, map.Snapshot().Count);
            Assert.Equal(model.Values.Keys.Select(k => Convert.ToHexString(driver.KeyOf(k))).Order(), Keys(map));
        }
    }, iter: 150);

    [Theory]
    [InlineData("22 0 4 5 0", false)]
    [InlineData("23 0 4 5 0", true)]
    public void QueuesAndStacksKeepTheirOrder(string text, bool stack) => Ops.Sample(ops =>
    {
        var spec = TestData.ParseSpec(text);
        using var map = MapFactory.Create(spec, 1).Map!;
        var driver = new SimulatedMap(map);
        var model = new List<byte>();
        foreach (var op in ops)
        {
            var actual = driver.Run(op with { Kind = op.Kind == OpKind.Delete ? OpKind.LookupAndDelete : op.Kind, Flags = op.Kind == OpKind.Update ? op.Flags : 0 });
            switch (op.Kind)
            {
                case OpKind.Update when op.Flags is 1 or 3:
                    Assert.Equal("EINVAL", actual);
                    break;
                case OpKind.Update when model.Count == 5 && op.Flags != 2:
                    Assert.Equal("E2BIG", actual);
                    break;
                case OpKind.Update:
                    Assert.Equal("None", actual);
                    if (model.Count == 5) model.RemoveAt(0);
                    model.Add(op.Fill);
                    break;
                default:
                    var at = stack ? model.Count - 1 : 0;
                    Assert.Equal(model.Count == 0 ? "ENOENT" : string.Concat(Enumerable.Repeat(model[at].ToString("X2"), 4)), actual);
                    if (op.Kind != OpKind.Lookup && model.Count > 0) model.RemoveAt(at);
                    break;
            }
        }
    }, iter: 300);

    [Fact]
    public void LongestPrefixWins() => Gen.Select(Gen.Int[0, 3], Gen.Int[0, 17], Gen.UShort, Gen.Byte).Array[0, 120].Sample(ops =>
    {
        var spec = TestData.ParseSpec("11 6 1 10 1");
        using var map = MapFactory.Create(spec, 1).Map!;
        var model = new Dictionary<(int Length, ushort Bits), byte>();
        var value = new byte[1];
        foreach (var (kind, length, random, fill) in ops)
        {
            // Few distinct prefixes, so that they nest.
            var bits = (ushort)(random & 0xC3C0);
            byte[] key = [(byte)length, 0, 0, 0, (byte)(bits >> 8), (byte)bits];
            var masked = length is 0 or > 16 ? (ushort)0 : (ushort)(bits & (0xffff << (16 - length)));
            switch (kind)
            {
                case 0:
                    var best = model.Keys.Where(k => k.Length <= length && Matches(k, bits)).OrderByDescending(k => k.Length).ToList();
                    var found = length > 16 || best.Count == 0 ? -(int)Errno.ENOENT : 0;
                    Assert.Equal(found, map.Lookup(key, value));
                    if (found == 0) Assert.Equal(model[best[0]], value[0]);
                    break;
                case 1 or 2:
                    value[0] = fill;
                    var expected = length > 16 ? Errno.EINVAL
                        : model.ContainsKey((length, masked)) || model.Count < 10 ? Errno.None : Errno.ENOSPC;
                    Assert.Equal(-(int)expected, map.Update(key, value));
                    if (expected == Errno.None) model[(length, masked)] = fill;
                    break;
                case 3:
                    expected = length > 16 ? Errno.EINVAL : model.Remove((length, masked)) ? Errno.None : Errno.ENOENT;
                    Assert.Equal(-(int)expected, map.Delete(key));
                    break;
            }
        }

        Assert.Equal((uint)model.Count, map.Count);
        Assert.Equal(model.Count, map.Snapshot().Count);
    }, iter: 1000);

    [Fact]
    public void ABloomFilterNeverForgetsAndRarelyLies() => Gen.UInt.Array[1, 200].Sample(values =>
    {
        using var map = MapFactory.Create(TestData.ParseSpec("30 0 4 200 0"), 1).Map!;
        foreach (var value in values) Assert.Equal(0, map.Update([], BitConverter.GetBytes(value)));
        foreach (var value in values) Assert.Equal(0, map.Lookup([], BitConverter.GetBytes(value)));
        var lies = Enumerable.Range(0, 2000).Count(i => !values.Contains((uint)i) && map.Lookup([], BitConverter.GetBytes((uint)i)) == 0);
        Assert.InRange(lies, 0, 200);
    }, iter: 100);

    [Theory]
    [InlineData(MapType.LruHash, 0u)]
    [InlineData(MapType.LruHash, 2u)]
    [InlineData(MapType.LruPercpuHash, 0u)]
    public unsafe void AnLruMapNeverExceedsItsCapacityAndKeepsWhatWasJustWritten(MapType type, uint flags) =>
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 400], Gen.UInt[0, 3]).Array[0, 2000].Sample(ops =>
        {
            using var map = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 8, MaxEntries = 40, Flags = flags }, 4).Map!;
            var written = new Dictionary<int, long>();
            var inserted = 0;
            foreach (var (kind, k, cpu) in ops)
            {
                var key = k;
                long value = k + 1000;
                switch (kind)
                {
                    case 0 or 1:
                        Assert.Equal(0, map.ProgramUpdate((byte*)&key, (byte*)&value, 0, cpu));
                        written[key] = value;
                        inserted++;
                        Assert.Equal(value, *(long*)map.ProgramLookup((byte*)&key, cpu));
                        break;
                    case 2:
                        var found = (long*)map.ProgramLookup((byte*)&key, cpu);
                        if (found != null) Assert.True(written.ContainsKey(key) && *found is 0 || *found == written[key]);
                        break;
                    case 3:
                        if (map.ProgramDelete((byte*)&key, cpu) == 0) Assert.True(written.Remove(key));
                        break;
                }

                Assert.InRange(map.Count, 0u, 40u);
            }

            var snapshot = map.Snapshot();
            Assert.Equal((uint)snapshot.Count, map.Count);
            Assert.All(snapshot.Entries(), e => Assert.Contains(BitConverter.ToInt32(e.Key), written.Keys));
        }, iter: 60);

    private static bool Matches((int Length, ushort Bits) prefix, ushort bits) =>
        prefix.Length == 0 || (bits & (0xffff << (16 - prefix.Length)) & 0xffff) == prefix.Bits;

    private static IEnumerable<string> Keys(BpfMap map)
    {
        var keys = new List<string>();
        var (key, next) = (Array.Empty<byte>(), new byte[map.Spec.KeySize]);
        while (map.GetNextKey(key, next) == 0)
        {
            keys.Add(Convert.ToHexString(next));
            key = [.. next];
        }

        return keys.Order();
    }

    private sealed class DictionaryModel
    {
        private readonly bool _array;
        private readonly int _max;

        public DictionaryModel(bool array, int max)
        {
            (_array, _max) = (array, max);
            for (var i = 0; array && i < max; i++) Values[i] = 0;
        }

        public Dictionary<int, byte> Values { get; } = [];

        public string Run(MapOp op, int userSize, uint valueSize, bool perCpu)
        {
            var there = Values.TryGetValue(op.Key, out var fill);
            switch (op.Kind)
            {
                case OpKind.Lookup:
                    return there ? Show(fill, userSize, valueSize, perCpu) : "ENOENT";
                case OpKind.Update:
                    if (op.Flags == 3) return "EINVAL";
                    if (_array && op.Key >= _max) return "E2BIG";
                    if (there && op.Flags == 1) return "EEXIST";
                    if (!there && op.Flags == 2) return "ENOENT";
                    if (!there && Values.Count == _max) return "E2BIG";
                    Values[op.Key] = op.Fill;
                    return "None";
                case OpKind.Delete:
                    return _array ? "EINVAL" : Values.Remove(op.Key) ? "None" : "ENOENT";
                default:
                    if (_array) return "ENOTSUPP";
                    Values.Remove(op.Key);
                    return there ? Show(fill, userSize, valueSize, perCpu) : "ENOENT";
            }
        }

        private static string Show(byte fill, int userSize, uint valueSize, bool perCpu)
        {
            var bytes = new byte[userSize];
            for (var i = 0; i < userSize; i++)
                if (!perCpu || i % ((valueSize + 7) & ~7u) < valueSize) bytes[i] = fill;
            return Convert.ToHexString(bytes);
        }
    }
}
