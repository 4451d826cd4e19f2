using System.Runtime.InteropServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// One slot of a program, ready to run: the code that does it, and its operands in the form in which that code
/// wants them. Slots stay where they were.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal unsafe struct DecodedInsn
{
    /// <summary>
    /// Does the instruction and goes on with the next one; what comes back in the end is r0. Beside the instruction
    /// and the frame it is given the values of the frame's cached registers (<see cref="CachedRegisters"/>).
    /// </summary>
    [FieldOffset(0)] public delegate*<DecodedInsn*, Frame*, ulong, ulong, ulong, ulong, ulong> Handler;

    /// <summary>The immediate, sign-extended; 64-bit loads: the value.</summary>
    [FieldOffset(8)] public long Imm;

    /// <summary>Helper calls: the implementation.</summary>
    [FieldOffset(8)] public delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> Function;

    /// <summary>Local calls: the registers that the callee caches.</summary>
    [FieldOffset(8)] public CachedRegisters CalleeCache;

    /// <summary>Local calls: bytes of the callee's stack that must be zero.</summary>
    [FieldOffset(12)] public int CalleeStack;

    /// <summary>Jumps and local calls: where they lead.</summary>
    [FieldOffset(16)] public DecodedInsn* Target;

    /// <summary>The offset.</summary>
    [FieldOffset(24)] public int Off;

    /// <summary>Calls and packet loads: the registers that the function around caches.</summary>
    [FieldOffset(24)] public CachedRegisters Cache;

    /// <summary>Where the destination register lies in <see cref="Frame"/>, in bytes; packet loads: bytes to load.</summary>
    [FieldOffset(28)] public byte Dst;

    /// <summary>Where the source register lies in <see cref="Frame"/>, in bytes.</summary>
    [FieldOffset(29)] public byte Src;
}
