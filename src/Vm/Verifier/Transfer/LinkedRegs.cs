using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>A register or a spilled register that shares an id with others.</summary>
internal readonly record struct LinkedReg(int Frame, bool IsReg, int Index)
{
    /// <summary>Most that one history entry remembers.</summary>
    public const int Max = 6;

    /// <summary>Ten bits: frame 3, index 6, kind 1.</summary>
    public ulong Pack() => (ulong)(Frame | (Index << 3) | (IsReg ? 1 << 9 : 0));

    /// <summary>Entry <paramref name="i"/> of a packed word; the count stands in the low four bits.</summary>
    public static LinkedReg Unpack(ulong word, int i)
    {
        int bits = (int)(word >> (4 + i * 10)) & 0x3ff;
        return new(bits & 7, (bits & (1 << 9)) != 0, (bits >> 3) & 0x3f);
    }
}

// Numbers that are equal, or differ by a constant, learn together.
internal sealed partial class ProgramVerifier
{
    private void LinkRegisters(in Insn insn, bool byRegister)
    {
        _linked.Clear();
        if (byRegister && Regs[insn.Src].Type == RegType.Scalar && Regs[insn.Src].Id != 0) CollectLinked(Regs[insn.Src].Id);
        if (Regs[insn.Dst].Type == RegType.Scalar && Regs[insn.Dst].Id != 0) CollectLinked(Regs[insn.Dst].Id);
        if (_linked.Count <= 1) return;
        ulong word = (ulong)_linked.Count;
        for (int i = 0; i < _linked.Count; i++) word |= _linked[i].Pack() << (4 + i * 10);
        PushHistory(HistoryFlags.None, word);
    }

    private void CollectLinked(uint id)
    {
        id &= ~RegisterState.AddConst;
        for (int f = State.CurFrame; f >= 0; f--)
        {
            if (f < State.CurFrame && !State.Peek(f).HasId(id)) continue;
            FuncFrame frame = State.Frames[f]!;
            int live = Aux[f == State.CurFrame ? InsnIdx : State.Peek(f + 1).CallSite].LiveRegsBefore;
            for (int i = 0; i < 10; i++)
            {
                if ((live & (1 << i)) != 0) Collect(ref frame.Regs[i], new LinkedReg(f, true, i), id);
            }

            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].IsSpilled) Collect(ref frame.Stack[i].Spilled, new LinkedReg(f, false, i), id);
            }
        }
    }

    private void Collect(ref RegisterState reg, LinkedReg entry, uint id)
    {
        if (reg.Type != RegType.Scalar || (reg.Id & ~RegisterState.AddConst) != id) return;
        // What cannot be remembered must not learn, or going backwards would miss it.
        if (_linked.Count < LinkedReg.Max) _linked.Add(entry);
        else reg.Id = 0;
    }

    private void SyncLinked(VerifierState state, RegisterState known, int knownRegno)
    {
        foreach (LinkedReg entry in _linked)
        {
            FuncFrame frame = state.Frames[entry.Frame]!;
            if (entry.IsReg && entry.Frame == state.CurFrame && entry.Index == knownRegno) continue;
            ref RegisterState reg = ref entry.IsReg ? ref frame.Regs[entry.Index] : ref frame.Stack[entry.Index].Spilled;
            if (reg.Type != RegType.Scalar) continue;
            if ((reg.Id & ~RegisterState.AddConst) != (known.Id & ~RegisterState.AddConst)) continue;
            bool regShifted = (reg.Id & RegisterState.AddConst) != 0, knownShifted = (known.Id & RegisterState.AddConst) != 0;
            // Distances of 32 and of 64 bits say nothing about each other.
            if (regShifted && knownShifted && ((reg.Id ^ known.Id) & RegisterState.AddConst) != 0) continue;
            if ((!regShifted && !knownShifted) || reg.Off == known.Off)
            {
                reg = known;
                continue;
            }

            int off = reg.Off;
            uint id = reg.Id, knownId = known.Id;
            long delta = (long)off - known.Off;
            reg = known;
            reg.Off = off;
            reg.Id = id;
            bool is32 = ((id | knownId) & RegisterState.AddConst32) != 0;
            reg.Bounds.Apply(AluOp.Add, is32, ScalarRange.Const((ulong)delta));
        }
    }
}
