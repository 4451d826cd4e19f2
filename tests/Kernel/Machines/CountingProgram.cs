using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Machines;

/// <summary>A kprobe program that counts events per process in a hash map, as instructions.</summary>
internal static class CountingProgram
{
    /// <summary>Creates map and program, attaches it to a function's entry, returns the map's descriptor.</summary>
    public static int Attach(Machine machine, string function)
    {
        int map = machine.Bpf.MapCreate(new MapCreateAttr { MapType = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 1024, MapName = "counts" });
        var attr = new ProgLoadAttr { ProgType = ProgramType.Kprobe, Insns = Insns(map), License = "GPL", ProgName = "count", LogLevel = 1, LogSize = 65536 };
        int prog = machine.Bpf.ProgLoad(attr);
        Assert.True(prog > 0, attr.LogBuf);
        Assert.True(HelloWorld.AttachKprobe(machine, prog, function) > 0);
        return map;
    }

    public static int LoadEmpty(Machine machine) => machine.Bpf.ProgLoad(new ProgLoadAttr
    {
        ProgType = ProgramType.Kprobe,
        Insns = [new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0)],
        License = "GPL",
        ProgName = "empty",
    });

    /// <summary>Sum of all values.</summary>
    public static ulong Total(Machine machine, int map)
    {
        ulong total = 0;
        byte[] key = [];
        var next = new byte[4];
        var value = new byte[8];
        while (machine.Bpf.MapGetNextKey(map, key, next) == 0)
        {
            Assert.Equal(0, machine.Bpf.MapLookupElem(map, next, value));
            total += BitConverter.ToUInt64(value);
            key = [.. next];
        }
        return total;
    }

    // key = tgid; value = lookup(key); if (value) lock *value += 1; else update(key, 1)
    private static Insn[] Insns(int map) =>
    [
        new(0x85, 0, 0, 0, 14), new(0x77, 0, 0, 0, 32), new(0x63, 10, 0, -4, 0), new(0xbf, 2, 10, 0, 0), new(0x07, 2, 0, 0, -4),
        new(0x18, 1, 1, 0, map), new(0, 0, 0, 0, 0), new(0x85, 0, 0, 0, 1), new(0x15, 0, 0, 3, 0), new(0xb7, 1, 0, 0, 1), new(0xdb, 0, 1, 0, 0),
        new(0x05, 0, 0, 10, 0), new(0xb7, 1, 0, 0, 1), new(0x7b, 10, 1, -16, 0), new(0xbf, 2, 10, 0, 0), new(0x07, 2, 0, 0, -4),
        new(0xbf, 3, 10, 0, 0), new(0x07, 3, 0, 0, -16), new(0xb7, 4, 0, 0, 0), new(0x18, 1, 1, 0, map), new(0, 0, 0, 0, 0),
        new(0x85, 0, 0, 0, 2), new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0),
    ];
}
