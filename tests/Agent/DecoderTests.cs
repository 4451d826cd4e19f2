using BpfSim.Agent.Config;
using BpfSim.Agent.Decoders;
using BpfSim.Tests.Shared;

namespace BpfSim.Agent.Tests;

/// <summary>Every decoder, by the table in data/agent/decoders.txt.</summary>
public sealed class DecoderTests
{
    private static readonly KernelNames s_names = new()
    {
        Symbol = address => address == 0xffffffff81001000 ? "do_sys_openat2" : null,
        BlockDevice = (major, minor) => (major, minor) == (8, 0) ? "sda" : null,
        Interface = index => index == 1 ? "lo" : null,
        Cgroup = id => id == 7 ? "/sys/fs/cgroup/web" : null,
    };

    public static TheoryData<string> Rows => [.. Lines];

    private static IEnumerable<string> Lines =>
        File.ReadAllLines(Repository.PathOf("tests", "data", "agent", "decoders.txt")).Where(l => l.Length > 0 && l[0] != '#');

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_row_of_the_table_holds(string row)
    {
        string[] columns = [.. row.Split('|').Select(c => c.Trim())];
        byte[] key = Convert.FromHexString(columns[1]);
        LabelConfig label = new("label", key.Length, 0, [.. columns[0].Split(' ').Select(Decoder)]);
        KeyDecoder decoder = new([label], s_names);
        if (columns[2].StartsWith('!'))
            Assert.Contains(columns[2][1..], Assert.Throws<DecodeException>(() => decoder.Decode(key)).Message, StringComparison.Ordinal);
        else if (columns[2] == "-") Assert.Null(decoder.Decode(key));
        else Assert.Equal(columns[2].Replace("\\n", "\n", StringComparison.Ordinal).Replace("\\x05", "\u0005", StringComparison.Ordinal), decoder.Decode(key)![0]);
    }

    [Fact]
    public void Every_decoder_is_in_the_table_of_tests()
    {
        string tested = string.Join(' ', Lines);
        Assert.All(DecoderTable.Names.Where(n => !n.StartsWith("pci_", StringComparison.Ordinal)), n => Assert.Contains(n, tested, StringComparison.Ordinal));
    }

    [Fact]
    public void Labels_follow_each_other_with_their_padding()
    {
        KeyDecoder decoder = new([new("a", 1, 3, [Decoder("uint")]), new("b", 4, 0, [Decoder("uint")])], s_names);
        Assert.Equal(["7", "9"], decoder.Decode([7, 1, 1, 1, 9, 0, 0, 0])!);
        Assert.Contains("9 bytes, its labels take 8", Assert.Throws<DecodeException>(() => decoder.Decode(new byte[9])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pci_names_come_from_the_database()
    {
        PciIds ids = PciIds.Parse(new StringReader("# x\n10de  NVIDIA Corporation\n\t1eb8  TU104GL\n\t\t10de 12a2  Tesla T4\nC 03  Display controller\n\t02  3D controller\n\t\t00  x\n"));
        Assert.Equal("NVIDIA Corporation", ids.Vendor(0x10de));
        Assert.Equal("unknown pci vendor: 0x10df", ids.Vendor(0x10df));
        Assert.Equal("TU104GL", ids.Device(0x10de1eb8));
        Assert.Equal("Display controller", ids.Class(3));
        Assert.Equal("unknown pci class: 0xfd", ids.Class(0xfd));
        Assert.Equal("3D controller", ids.Subclass(0x302));
        Assert.Equal("unknown pci subclass: 0x0b (class 0x03)", ids.Subclass(0x30b));
        Assert.Equal("unknown pci class: 0xfd", ids.Subclass(0xfd00));
    }

    private static DecoderConfig Decoder(string text)
    {
        int open = text.IndexOf('(', StringComparison.Ordinal);
        string name = open < 0 ? text : text[..open];
        string[] arguments = open < 0 ? [] : [.. text[(open + 1)..^1].Split(',').Where(a => a.Length > 0)];
        return new DecoderConfig(name,
            arguments.Where(a => a.Contains('=', StringComparison.Ordinal)).ToDictionary(a => a.Split('=')[0], a => a.Split('=')[1]),
            name == "regexp" ? arguments : [], arguments.Contains("?"));
    }
}
