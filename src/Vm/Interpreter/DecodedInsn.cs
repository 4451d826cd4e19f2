using System.Runtime.InteropServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// One slot of a program, ready for the loop: 16 bytes, registers as byte offsets into the register file,
/// jumps as byte distances from this instruction. Slots stay where they were.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal unsafe struct DecodedInsn
{
    [FieldOffset(0)] public Op Op;

    /// <summary>8 times the destination register.</summary>
    [FieldOffset(2)] public ushort Dst;

    /// <summary>8 times the source register.</summary>
    [FieldOffset(4)] public ushort Src;

    [FieldOffset(6)] public short Off;

    [FieldOffset(8)] public int Imm;

    /// <summary>Bytes to the target; to the next instruction it would be 16.</summary>
    [FieldOffset(12)] public int Jump;

    /// <summary>64-bit loads: the value; calls: the address of the implementation.</summary>
    [FieldOffset(8)] public ulong Value;

    [FieldOffset(8)] public delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, Programs.RunContext*, ulong> Function;
}
