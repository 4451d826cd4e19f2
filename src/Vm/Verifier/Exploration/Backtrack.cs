using System.Numerics;
using System.Text;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>Registers and stack slots, by frame, whose precise value is being traced back.</summary>
internal sealed class BacktrackSet
{
    private readonly uint[] _regs = new uint[VerifierState.MaxFrames];
    private readonly ulong[] _slots = new ulong[VerifierState.MaxFrames];

    /// <summary>The frame of the instruction that is looked at.</summary>
    public int Frame { get; set; }

    public void Reset(int frame)
    {
        Array.Clear(_regs);
        Array.Clear(_slots);
        Frame = frame;
    }

    /// <summary>Whether nothing is traced in this frame and those above it.</summary>
    public bool IsEmpty
    {
        get
        {
            for (int i = Frame; i >= 0; i--)
            {
                if (_regs[i] != 0 || _slots[i] != 0) return false;
            }

            return true;
        }
    }

    public uint Regs => _regs[Frame];
    public ulong Slots => _slots[Frame];
    public uint RegsOf(int frame) => _regs[frame];
    public ulong SlotsOf(int frame) => _slots[frame];
    public bool HasReg(int reg) => (_regs[Frame] & (1u << reg)) != 0;
    public void SetReg(int reg) => _regs[Frame] |= 1u << reg;
    public void ClearReg(int reg) => _regs[Frame] &= ~(1u << reg);
    public bool HasReg(int frame, int reg) => (_regs[frame] & (1u << reg)) != 0;
    public void SetReg(int frame, int reg) => _regs[frame] |= 1u << reg;
    public void ClearReg(int frame, int reg) => _regs[frame] &= ~(1u << reg);
    public bool HasSlot(int frame, int slot) => (_slots[frame] & (1ul << slot)) != 0;
    public void SetSlot(int frame, int slot) => _slots[frame] |= 1ul << slot;
    public void ClearSlot(int frame, int slot) => _slots[frame] &= ~(1ul << slot);

    /// <summary>The registers as the log prints them: <c>r1,r2</c>.</summary>
    public static string RegsText(uint mask)
    {
        var text = new StringBuilder();
        for (; mask != 0; mask &= mask - 1) text.Append(text.Length == 0 ? "" : ",").Append('r').Append(BitOperations.TrailingZeroCount(mask));
        return text.ToString();
    }

    /// <summary>The slots as the log prints them: <c>-8,-16</c>.</summary>
    public static string SlotsText(ulong mask)
    {
        var text = new StringBuilder();
        for (; mask != 0; mask &= mask - 1) text.Append(text.Length == 0 ? "" : ",").Append(-(BitOperations.TrailingZeroCount(mask) + 1) * 8);
        return text.ToString();
    }
}
