using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Spills and fills around calls that keep their argument registers anyway (bpf_fastcall): their stack does not count.
internal sealed partial class ProgramVerifier
{
    private const int FrameRegister = 10, LoopStack = 24;

    /// <summary>Finds the spill/fill pairs around calls; the deepest spills of a function are taken for such.</summary>
    private void MarkFastcallPatterns()
    {
        foreach (Subprogram subprog in Subprogs)
        {
            int lowest = 0;
            for (int i = subprog.Start; i < subprog.End; i++)
            {
                if (IsFrameSpill(Insns[i])) lowest = Math.Min(lowest, Insns[i].Off);
            }

            for (int i = subprog.Start; i < subprog.End; i++)
            {
                if (Insns[i].IsHelperCall || Insns[i].IsKfuncCall) MarkFastcallPattern(subprog, i, lowest);
            }
        }
    }

    private static bool IsFrameSpill(in Insn insn) =>
        insn.Class == InsnClass.Stx && insn.Mode == MemMode.Mem && insn.Size == MemSize.Dw && insn.Dst == FrameRegister;

    private static bool IsFrameFill(in Insn insn) =>
        insn.Class == InsnClass.Ldx && insn.Mode == MemMode.Mem && insn.Size == MemSize.Dw && insn.Src == FrameRegister;

    private void MarkFastcallPattern(Subprogram subprog, int call, int lowest)
    {
        (int args, bool fastcall) = CallRegisters(Insns[call]);
        int expected = 0b111111 & ~(args | (ReturnsNothing(Insns[call]) ? 0 : 1));
        int off = lowest, pairs = 0;
        for (; pairs < 6; pairs++, off += 8)
        {
            int before = call - pairs - 1, after = call + pairs + 1;
            if (before < 0 || after >= Insns.Length) break;
            ref readonly Insn spill = ref Insns[before];
            ref readonly Insn fill = ref Insns[after];
            if (!IsFrameSpill(spill) || !IsFrameFill(fill) || spill.Src != fill.Dst) break;
            if ((expected & (1 << spill.Src)) == 0 || spill.Off != off || fill.Off != off) break;
            expected &= ~(1 << spill.Src);
            Aux[before].FastcallPattern = Aux[after].FastcallPattern = true;
        }

        if (pairs == 0) return;
        if (fastcall) Aux[call].FastcallSpills = (byte)pairs;
        else subprog.KeepFastcallStack = true;
        subprog.FastcallStackOff = Math.Max(subprog.FastcallStackOff, off);
    }

    private bool ReturnsNothing(in Insn insn) => insn.IsHelperCall
        ? FindHelper(insn.Imm) is { Return: Helpers.ReturnType.Void }
        : KernelBtf.Find((uint)insn.Imm) is { Kind: Btf.BtfKind.Func } func && func.Target.TypeId == 0;

    /// <summary>Whoever else looks at the stack of the spills makes them real.</summary>
    private void CheckFastcallStack(FuncFrame frame, int insnIdx, int off)
    {
        Subprogram subprog = Subprogs[frame.SubprogNo];
        if (subprog.FastcallStackOff <= off || Aux[insnIdx].FastcallPattern) return;
        subprog.FastcallStackOff = short.MinValue;
        for (int i = subprog.Start; i < subprog.End; i++)
        {
            Aux[i].FastcallSpills = 0;
            Aux[i].FastcallPattern = false;
        }
    }

    /// <summary>Takes the stack of the spills out of the sum. The engines' code keeps the spills; the kernel's form shows none.</summary>
    private void ShrinkFastcallStacks()
    {
        foreach (Subprogram subprog in Subprogs)
        {
            bool modified = false;
            for (int i = subprog.Start; i < subprog.End; i++) modified |= Aux[i].FastcallSpills > 0;
            if (modified && !subprog.KeepFastcallStack) subprog.StackExtra = -subprog.FastcallStackOff - subprog.StackDepth;
        }
    }

    /// <summary>
    /// Bytes of stack function by function, as level 4 lists them: of those that the rewrites left, and of the one that
    /// they add for exceptions that nobody catches.
    /// </summary>
    internal IEnumerable<int> ListedStacks(int[]? leftSlots)
    {
        for (int i = 0; i < Subprogs.Count; i++)
        {
            Subprogram subprog = Subprogs[i];
            if (i == 0 || leftSlots == null || IsLeft(leftSlots, subprog)) yield return subprog.CountedStack;
        }

        if (leftSlots != null && !Subprogs.Exists(s => s.IsExceptionCallback) && leftSlots.Any(s => IsThrowCall(Insns[s]))) yield return 0;
    }

    private static bool IsLeft(int[] leftSlots, Subprogram subprog)
    {
        int at = Array.BinarySearch(leftSlots, subprog.Start);
        if (at < 0) at = ~at;
        return at < leftSlots.Length && leftSlots[at] < subprog.End;
    }

    /// <summary>What the kernel's rewrites add to what is left: an inlined bpf_loop keeps three registers on the stack, a may_goto its count and the time.</summary>
    internal void AddLoopStacks(ReadOnlySpan<int> leftSlots)
    {
        int next = 0;
        foreach (Subprogram subprog in Subprogs)
        {
            bool inlined = false;
            for (; next < leftSlots.Length && leftSlots[next] < subprog.End; next++)
            {
                int slot = leftSlots[next];
                inlined |= Aux[slot].LoopCallback > 0;
                subprog.CountsLoops |= InsnTable.OpOf(Insns[slot]) == InsnOp.MayGoto;
            }

            if (inlined) subprog.StackExtra += LoopStack + (-subprog.CountedStack & 7);
            if (subprog.CountsLoops) subprog.StackExtra += Subprogram.CounterStack;
        }
    }
}
