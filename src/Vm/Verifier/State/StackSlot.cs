using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Vm.Verifier.State;

/// <summary>What one byte of stack holds (enum bpf_stack_slot_type).</summary>
internal enum SlotType : byte
{
    /// <summary>Never written.</summary>
    Invalid,
    /// <summary>Part of a spilled register.</summary>
    Spill,
    /// <summary>Some data.</summary>
    Misc,
    /// <summary>Zero.</summary>
    Zero,
    /// <summary>Part of a dynptr.</summary>
    Dynptr,
    /// <summary>Part of an open-coded iterator.</summary>
    Iter,
    /// <summary>Saved interrupt flags.</summary>
    IrqFlag,
}

/// <summary>
/// Eight bytes of stack. Slot n of a frame covers fp-8n-8 … fp-8n-1; byte i of <see cref="Types"/> is the
/// byte at fp-8n-1-i: the last, index 7, lies at the lowest address.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct StackSlot
{
    /// <summary>The spilled register; meaningful where <see cref="Types"/> say so.</summary>
    public RegisterState Spilled;

    /// <summary>The eight bytes' types.</summary>
    public SlotTypes Types;

    /// <summary>Whether the slot holds a spilled register (perhaps narrower than 8 bytes).</summary>
    public readonly bool IsSpilled => Types[7] == SlotType.Spill;

    /// <summary>Whether it holds a spilled scalar.</summary>
    public readonly bool IsSpilledScalar => Types[7] == SlotType.Spill && Spilled.Type == RegType.Scalar;

    /// <summary>Whether it holds a scalar spilled with all 8 bytes.</summary>
    public readonly bool IsSpilledScalar64 => Types[0] == SlotType.Spill && Spilled.Type == RegType.Scalar;
}

/// <summary>Types of the eight bytes of a stack slot, as one word: explored states are mostly slots, and hundreds of thousands.</summary>
internal struct SlotTypes
{
    /// <summary>All eight, byte i in bits 4i.</summary>
    public uint Word;

    /// <summary>Type of byte <paramref name="i"/>, 0 to 7 (7 = lowest address).</summary>
    public SlotType this[int i]
    {
        readonly get => (SlotType)((Word >> (i * 4)) & 15);
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        set => Word = (Word & ~(15u << (i * 4))) | ((uint)value << (i * 4));
    }

    /// <summary>All eight bytes of one type.</summary>
    public static SlotTypes All(SlotType type) => new() { Word = 0x11111111u * (uint)type };
}
