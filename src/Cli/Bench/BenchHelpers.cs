using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Bench;

/// <summary>The few helpers that benchmark programs call, as the simulated kernel implements them.</summary>
internal static unsafe class BenchHelpers
{
    /// <summary>Lookup, update, delete and the time.</summary>
    public static HelperTable Table { get; } = new(
    [
        new HelperPrototype
        {
            Id = 1, Name = "bpf_map_lookup_elem", Return = ReturnType.PtrToMapValue | ReturnType.MaybeNull,
            Args = [ArgType.ConstMapPtr, ArgType.PtrToMapKey], Implementation = &Lookup,
        },
        new HelperPrototype
        {
            Id = 2, Name = "bpf_map_update_elem", Return = ReturnType.Integer,
            Args = [ArgType.ConstMapPtr, ArgType.PtrToMapKey, ArgType.PtrToMapValue, ArgType.Anything], Implementation = &Update,
        },
        new HelperPrototype
        {
            Id = 3, Name = "bpf_map_delete_elem", Return = ReturnType.Integer,
            Args = [ArgType.ConstMapPtr, ArgType.PtrToMapKey], Implementation = &Delete,
        },
        new HelperPrototype { Id = 5, Name = "bpf_ktime_get_ns", Return = ReturnType.Integer, Implementation = &Time },
    ]);

    [UnmanagedCallersOnly]
    private static ulong Lookup(ulong map, ulong key, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)BpfMap.FromHeader((MapHeader*)map).ProgramLookup((byte*)key, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Update(ulong map, ulong key, ulong value, ulong flags, ulong r5, RunContext* context) =>
        (ulong)(long)BpfMap.FromHeader((MapHeader*)map).ProgramUpdate((byte*)key, (byte*)value, flags, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Delete(ulong map, ulong key, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)(long)BpfMap.FromHeader((MapHeader*)map).ProgramDelete((byte*)key, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Time(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->TimeNs;
}
