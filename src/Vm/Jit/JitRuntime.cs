using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit;

/// <summary>What emitted code calls for rare work of its own. Never throws: an exception would end the process.</summary>
internal static unsafe class JitRuntime
{
    /// <summary>Address of <see cref="FindTailCallTarget"/>.</summary>
    public static nint TailCallTarget => (nint)(delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)&FindTailCallTarget;

    /// <summary>Address of <see cref="LoadPacketBytes"/>.</summary>
    public static nint LoadPacket => (nint)(delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)&LoadPacketBytes;

    /// <summary>Address of <see cref="WakeConsumer"/>.</summary>
    public static nint Wake => (nint)(delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)&WakeConsumer;

    /// <summary>
    /// Address of the main function in a slot of a prog_array, which then counts as called; 0 if the call cannot
    /// be made. A program of another engine has no such address; no machine mixes engines in one prog_array.
    /// </summary>
    [UnmanagedCallersOnly]
    private static ulong FindTailCallTarget(ulong ctx, ulong map, ulong index, ulong r4, ulong r5, RunContext* context)
    {
        if (context->TailCalls >= ProgramRuntime.MaxTailCalls) return 0;
        if (ProgramRuntime.TailCallTarget((MapHeader*)map, (uint)index) is not JitProgram target) return 0;
        context->TailCalls++;
        context->Program = target.Handle;
        return (ulong)target.Entry;
    }

    /// <summary>The bytes at an offset of the packet in host order; negative if they are not there.</summary>
    [UnmanagedCallersOnly]
    private static ulong LoadPacketBytes(ulong ctx, ulong offset, ulong size, ulong r4, ulong r5, RunContext* context) =>
        LoadedProgram.Running(context) is { } running
        && ProgramRuntime.LoadPacket(running.Program, ctx, (uint)offset, (int)size, context, out ulong value) ? value : ulong.MaxValue;

    /// <summary>Wakes the consumer of the ring buffer with this own page (<see cref="RingbufLayout.Own"/>); returns 0, as the submitting helpers do.</summary>
    [UnmanagedCallersOnly]
    private static ulong WakeConsumer(ulong page, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        RingbufMap.FromOwnPage((byte*)page).Wake();
        return 0;
    }
}
