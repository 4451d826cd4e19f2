using BpfSim.Kernel.Bpf;
using BpfSim.Maps;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>Inner maps live, and keep their ids, as long as an outer map refers to them.</summary>
public sealed class InnerMapTests
{
    [Theory]
    [InlineData(MapType.ArrayOfMaps)]
    [InlineData(MapType.HashOfMaps)]
    public void An_inner_map_keeps_its_id_when_its_descriptor_is_closed(MapType type)
    {
        using var machine = new Machine(new MachineSpec { Cpus = 1, ArenaBytes = 1 << 20 });
        BpfSyscall bpf = machine.Bpf;
        int inner = bpf.MapCreate(new MapCreateAttr { MapType = MapType.Array, KeySize = 4, ValueSize = 8, MaxEntries = 1, MapName = "inner" });
        int outer = bpf.MapCreate(new MapCreateAttr { MapType = type, KeySize = 4, ValueSize = 4, MaxEntries = 4, InnerMapFd = inner, MapName = "outer" });
        Assert.True(inner > 0 && outer > 0, $"{inner} {outer}");
        byte[] key = new byte[4], value = new byte[4];
        Assert.Equal(0, bpf.MapUpdateElem(outer, key, BitConverter.GetBytes(inner)));
        Assert.Equal(0, bpf.Fds.Close(inner));
        Assert.Equal(0, bpf.MapLookupElem(outer, key, value));
        uint id = BitConverter.ToUInt32(value);
        int again = bpf.MapGetFdById(id);
        Assert.True(again > 0, $"id {id}: {again}");
        Assert.Equal(0, bpf.MapUpdateElem(again, key, new byte[8]));
        Assert.Equal(0, bpf.Fds.Close(again));
        Assert.Equal(0, bpf.MapDeleteElem(outer, key));
        Assert.Equal(-(int)Errno.ENOENT, bpf.MapGetFdById(id));
    }
}
