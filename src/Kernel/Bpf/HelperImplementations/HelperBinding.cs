using System.Runtime.InteropServices;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Joins the helper rows with the code that stands behind them.</summary>
internal static unsafe class HelperBinding
{
    /// <summary>The rows as a table in which every helper that the simulation has carries its implementation.</summary>
    public static HelperTable Bind(IEnumerable<HelperPrototype> rows)
    {
        var code = new Dictionary<string, nint>();
        var list = new HelperList(code);
        MapCode.Register(list);
        TaskCode.Register(list);
        TraceCode.Register(list);
        MemoryCode.Register(list);
        TextCode.Register(list);
        RingCode.Register(list);
        DynptrCode.Register(list);
        StorageCode.Register(list);
        PacketCode.Register(list);
        return new HelperTable(rows.Select(row => code.TryGetValue(row.Name, out nint pointer)
            ? row.WithImplementation((delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)pointer)
            : ReturnsPointer(row) ? row.WithImplementation(&Null) : row));
    }

    /// <summary>The -EOPNOTSUPP of a helper that the simulation has not got must not be taken for an address.</summary>
    private static bool ReturnsPointer(HelperPrototype row) => (row.Return & ReturnType.BaseMask) is not (ReturnType.Integer or ReturnType.Void);

    [UnmanagedCallersOnly]
    private static ulong Null(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 0;
}

/// <summary>Collects implementations by kernel name.</summary>
internal readonly unsafe struct HelperList(Dictionary<string, nint> code)
{
    /// <summary>Enters the implementation of <c>bpf_</c><paramref name="name"/>.</summary>
    public void Add(string name, delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> pointer) =>
        code.Add("bpf_" + name, (nint)pointer);
}
