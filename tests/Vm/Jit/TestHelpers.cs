using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>A small helper table for tests: ids below 1000 are the kernel's, others are the tests' own.</summary>
internal static unsafe class TestHelpers
{
    public const int Weigh = 1001, Loop = 181, Garbage = 1002;

    public static HelperTable Table { get; } = new(
    [
        Row(1, "bpf_map_lookup_elem", &Lookup, 2),
        Row(2, "bpf_map_update_elem", &Update, 4),
        Row(3, "bpf_map_delete_elem", &Delete, 2),
        Row(5, "bpf_ktime_get_ns", &Time, 0),
        Row(8, "bpf_get_smp_processor_id", &Cpu, 0),
        Row(14, "bpf_get_current_pid_tgid", &Pid, 0),
        Row(130, "bpf_ringbuf_output", &RingOutput, 4),
        Row(131, "bpf_ringbuf_reserve", &RingReserve, 3),
        Row(132, "bpf_ringbuf_submit", &RingSubmit, 2),
        Row(133, "bpf_ringbuf_discard", &RingDiscard, 2),
        Row(Loop, "bpf_loop", &RunLoop, 4),
        Row(Weigh, "weigh", &WeighArguments, 5),
        Row(Garbage, "garbage", &Allocate, 1),
    ]);

    private static HelperPrototype Row(int id, string name, delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> code, int arguments) => new()
    {
        Id = id,
        Name = name,
        Return = ReturnType.Integer,
        Args = [.. Enumerable.Repeat(ArgType.Anything, arguments)],
        Implementation = code,
    };

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
    private static ulong RingOutput(ulong map, ulong data, ulong size, ulong flags, ulong r5, RunContext* context) =>
        (ulong)(long)((RingbufMap)BpfMap.FromHeader((MapHeader*)map)).Output((byte*)data, size, flags);

    [UnmanagedCallersOnly]
    private static ulong RingReserve(ulong map, ulong size, ulong flags, ulong r4, ulong r5, RunContext* context) =>
        (ulong)((RingbufMap)BpfMap.FromHeader((MapHeader*)map)).Reserve(size, flags);

    [UnmanagedCallersOnly]
    private static ulong RingSubmit(ulong sample, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        RingbufMap.FromSample((byte*)sample).Submit((byte*)sample, flags);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RingDiscard(ulong sample, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        RingbufMap.FromSample((byte*)sample).Discard((byte*)sample, flags);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Time(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->TimeNs;

    [UnmanagedCallersOnly]
    private static ulong Cpu(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->CpuId;

    [UnmanagedCallersOnly]
    private static ulong Pid(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->PidTgid;

    [UnmanagedCallersOnly]
    private static ulong RunLoop(ulong rounds, ulong function, ulong ctx, ulong flags, ulong r5, RunContext* context)
    {
        for (ulong i = 0; i < rounds; i++)
            if (LoadedProgram.Running(context)!.InvokeCallback((int)function, i, ctx, 0, 0, 0, context) != 0) return i + 1;
        return rounds;
    }

    /// <summary>A value that shows the order of the arguments, and that the run context is the right one.</summary>
    [UnmanagedCallersOnly]
    private static ulong WeighArguments(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        r1 + (10 * r2) + (100 * r3) + (1000 * r4) + (10000 * r5) + (100000 * (ulong)context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Allocate(ulong bytes, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => (ulong)new byte[bytes].Length;
}
