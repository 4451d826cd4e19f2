using BpfSim.Cli.Output;
using BpfSim.Kernel;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Tests.Shared;

namespace BpfSim.Cli.Tests;

/// <summary>Maps with BTF dumped by their types, against what bpftool 7.1 printed of the same object with the same elements.</summary>
public sealed class MapDumpTests
{
    [Theory]
    [InlineData("maps.dump.txt", false)]
    [InlineData("maps.dump.json.txt", true)]
    public void Dumps_are_bpftools(string golden, bool asJson)
    {
        using var machine = new Machine(new MachineSpec { ArenaBytes = 1 << 20 });
        using BpfObject loaded = BpfObject.Open(Repository.PathOf("tests/data/objects/maps.bpf.o"));
        loaded.Load(machine);
        byte[] key = [1, 0, 0, 0, .. "nginx"u8, 0, 0, 0];
        byte[] value = [.. Enumerable.Range(1, 88).Select(i => (byte)i)];
        ((byte[])[5, 0, 0, 0, 5, 0, 0, 0, 1, (byte)'A', 0x80]).CopyTo(value, 8);
        Update("things", key, value);
        Update("untyped", key[..4], value[..24]);
        Update("plain", [1, 0, 0, 0], value[..8]);

        var output = new StringWriter { NewLine = "\n" };
        foreach (BpfObjectMap map in loaded.Maps)
        {
            MapObject live = machine.Bpf.FindMap(map.Fd)!;
            output.Write($"# {map.Name}\n");
            if (asJson) output.Write(MapPrinter.DumpJson(live).ToJsonString() + "\n");
            else MapPrinter.DumpTyped(output, live);
        }
        Assert.Equal(File.ReadAllText(Repository.PathOf("tests/data/objects", golden)), output.ToString());

        void Update(string map, byte[] at, byte[] element) => Assert.Equal(0, machine.Bpf.MapUpdateElem(loaded.Map(map).Fd, at, element));
    }
}
