using BpfSim.Maps;

namespace BpfSim.Maps.Tests;

public unsafe class HashBasicsTests
{
    [Theory]
    [InlineData(MapType.Hash)]
    [InlineData(MapType.PercpuHash)]
    [InlineData(MapType.LruHash)]
    [InlineData(MapType.LruPercpuHash)]
    public void FillsToCapacityAndReturnsWhatWasStored(MapType type)
    {
        var (map, errno) = MapFactory.Create(new MapSpec { Type = type, KeySize = 4, ValueSize = 8, MaxEntries = 1000 }, 2);
        Assert.Equal(Errno.None, errno);
        using (map)
        {
            for (var i = 0; i < 1000; i++)
            {
                ulong value = (ulong)i * 3;
                Assert.Equal(0, map!.ProgramUpdate((byte*)&i, (byte*)&value, 0, 1));
            }

            var overflow = 5000;
            ulong other = 7;
            var expected = map!.Spec.Type is MapType.Hash or MapType.PercpuHash ? -(int)Errno.E2BIG : 0;
            Assert.Equal(expected, map.ProgramUpdate((byte*)&overflow, (byte*)&other, 0, 0));
            var found = 0;
            for (var i = 0; i < 1000; i++)
            {
                var value = (ulong*)map.ProgramLookup((byte*)&i, 1);
                if (value == null) continue;
                found++;
                Assert.Equal((ulong)i * 3, *value);
            }

            if (expected != 0) Assert.Equal(1000, found);
            else Assert.InRange(found, 700, 999);
            for (var i = 0; i < 1000; i++) map.ProgramDelete((byte*)&i, 1);
            map.ProgramDelete((byte*)&overflow, 1);
            Assert.Equal(0u, map.Count);
        }
    }
}
