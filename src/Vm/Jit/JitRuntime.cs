using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit;

/// <summary>What emitted code calls for rare work of its own.</summary>
internal static unsafe class JitRuntime
{
    /// <summary>Address of <see cref="FindTailCallTarget"/>.</summary>
    public static nint TailCallTarget => (nint)(delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)&FindTailCallTarget;

    /// <summary>Address of <see cref="LoadPacketBytes"/>.</summary>
    public static nint LoadPacket => (nint)(delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)&LoadPacketBytes;

    [UnmanagedCallersOnly]
    private static ulong FindTailCallTarget(ulong ctx, ulong map, ulong index, ulong r4, ulong r5, RunContext* context) => 0;

    [UnmanagedCallersOnly]
    private static ulong LoadPacketBytes(ulong ctx, ulong offset, ulong size, ulong r4, ulong r5, RunContext* context) => ulong.MaxValue;
}
