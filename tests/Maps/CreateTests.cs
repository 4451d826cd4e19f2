namespace BpfSim.Maps.Tests;

/// <summary>What MAP_CREATE answers, from a table recorded on Linux 6.18 (tests/data/maps/create.txt).</summary>
public class CreateTests
{
    public static TheoryData<string> Rows()
    {
        var rows = new TheoryData<string>();
        foreach (var line in File.ReadLines(TestData.Path("maps/create.txt")))
            if (line.Length > 0 && line[0] != '#') rows.Add(line);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void AnswersAsTheKernel(string row)
    {
        var (left, expected, _) = (row.Split('=')[0], row.Split('=')[1].Trim(), 0);
        var (map, errno) = MapFactory.Create(TestData.ParseSpec(left), cpus: 2);
        var actual = map is null ? errno.ToString() : map.MemoryBytes.ToString();
        map?.Dispose();
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void EveryKindOfTheEnumHasARowExceptThoseNewerThan618()
    {
        var missing = Enum.GetValues<MapType>().Where(t => MapTypes.Find(t) is null);
        Assert.Equal([MapType.Unspec, MapType.InsnArray], missing);
        Assert.All(MapTypes.Rows, r => Assert.Same(r, MapTypes.Find(r.Name)));
    }
}

internal static class TestData
{
    /// <summary>A file under tests/data.</summary>
    public static string Path(string name)
    {
        var folder = AppContext.BaseDirectory;
        while (!Directory.Exists(System.IO.Path.Combine(folder, "tests", "data"))) folder = Directory.GetParent(folder)!.FullName;
        return System.IO.Path.Combine(folder, "tests", "data", name);
    }

    /// <summary>type key_size value_size max_entries flags map_extra.</summary>
    public static MapSpec ParseSpec(string text)
    {
        var f = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(t => t.StartsWith("0x") ? Convert.ToUInt32(t, 16) : uint.Parse(t)).ToArray();
        return new MapSpec { Type = (MapType)f[0], KeySize = f[1], ValueSize = f[2], MaxEntries = f[3], Flags = f[4], MapExtra = f.Length > 5 ? f[5] : 0 };
    }
}
