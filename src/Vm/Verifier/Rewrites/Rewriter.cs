using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Cfg;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>The program after the verdict.</summary>
/// <param name="Insns">The instructions that are left.</param>
/// <param name="OriginalSlots">For each, the slot it was loaded in.</param>
/// <param name="FunctionStarts">First slot of every function that is left.</param>
/// <param name="StackDepths">Bytes of stack that each of these functions may touch.</param>
/// <param name="Facts">What is known of each.</param>
internal sealed record RewrittenProgram(Insn[] Insns, int[] OriginalSlots, int[] FunctionStarts, int[] StackDepths, InsnFacts[] Facts);

/// <summary>
/// What happens to an accepted program: branches that no path decides the other way become unconditional,
/// what nothing reaches goes, and with it jumps to the next instruction; loads through kernel pointers
/// become such that survive a bad address.
/// </summary>
internal static class Rewriter
{
    /// <summary>Rewrites an accepted program.</summary>
    /// <param name="insns">The program as loaded.</param>
    /// <param name="aux">What the walk saw of each instruction.</param>
    /// <param name="functions">The functions as loaded, with what the walk saw of their stacks.</param>
    /// <param name="removeDead">False for unprivileged programs, whose dead code only traps.</param>
    public static RewrittenProgram Rewrite(Insn[] insns, InsnAux[] aux, IReadOnlyList<Subprogram> functions, bool removeDead)
    {
        var work = (Insn[])insns.Clone();
        var keep = new bool[work.Length];
        for (int i = 0; i < work.Length; i++)
        {
            keep[i] = aux[i].Seen || !removeDead;
            if (!work[i].IsLdImm64) continue;
            keep[i + 1] = keep[i];
            i++;
        }

        if (removeDead)
        {
            HardWireBranches(work, keep);
            RemoveEmptyJumps(work, keep);
        }
        else
        {
            TrapDeadCode(work, aux);
        }

        ProbeKernelPointers(work, aux);
        return Compact(work, aux, keep, functions);
    }

    private static bool IsConditional(in Insn insn) =>
        insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not (JmpOp.Ja or JmpOp.Call or JmpOp.Exit or JmpOp.Jcond);

    private static void HardWireBranches(Insn[] work, bool[] keep)
    {
        for (int i = 0; i < work.Length; i++)
        {
            if (work[i].IsLdImm64)
            {
                i++;
                continue;
            }

            if (!keep[i] || !IsConditional(work[i])) continue;
            int target = i + work[i].Off + 1;
            if (!keep[i + 1]) work[i] = new Insn((int)InsnClass.Jmp | (int)JmpOp.Ja, 0, 0, work[i].Off, 0);
            else if (!keep[target]) work[i] = new Insn((int)InsnClass.Jmp | (int)JmpOp.Ja, 0, 0, 0, 0);
        }
    }

    // A jump whose target follows once the dead code between is gone does nothing, and neither does such a may_goto, whose
    // absence may empty the jump before it.
    private static void RemoveEmptyJumps(Insn[] work, bool[] keep)
    {
        for (int i = 0; i < work.Length; i++)
        {
            if (work[i].IsLdImm64)
            {
                i++;
                continue;
            }

            for (int at = i; at >= 0 && keep[at] && IsEmptyJump(work, keep, at);)
            {
                keep[at] = false;
                if (InsnTable.OpOf(work[at]) != InsnOp.MayGoto) break;
                while (at > 0 && !keep[at]) at--;
            }
        }
    }

    private static bool IsEmptyJump(Insn[] work, bool[] keep, int i)
    {
        if (work[i].Off < 0 || InsnTable.OpOf(work[i]) is not (InsnOp.Ja or InsnOp.MayGoto)) return false;
        for (int j = i + 1; j <= i + work[i].Off; j++)
        {
            if (keep[j]) return false;
        }

        return true;
    }

    private static void TrapDeadCode(Insn[] work, InsnAux[] aux)
    {
        for (int i = 0; i < work.Length; i++)
        {
            bool wide = work[i].IsLdImm64;
            if (!aux[i].Seen)
            {
                work[i] = new Insn((int)InsnClass.Jmp | (int)JmpOp.Ja, 0, 0, -1, 0);
                if (wide) work[i + 1] = work[i];
            }

            if (wide) i++;
        }
    }

    private static void ProbeKernelPointers(Insn[] work, InsnAux[] aux)
    {
        for (int i = 0; i < work.Length; i++)
        {
            ref readonly Insn insn = ref work[i];
            if (insn.Class != InsnClass.Ldx || !IsKernelPointer(aux[i].PtrType)) continue;
            MemMode mode = insn.Mode == MemMode.MemSx ? MemMode.ProbeMemSx : MemMode.ProbeMem;
            work[i] = KernelFormBuilder.WithMode(insn, mode);
        }
    }

    // Objects that programs allocate themselves are native memory; all other typed objects are the simulated kernel's.
    private static bool IsKernelPointer(RegType type) => type.Base() switch
    {
        RegType.PtrToBtfId => !type.Has(RegType.MemAlloc),
        RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.PtrToXdpSock => true,
        RegType.PtrToMem => type.Has(RegType.MemRdonly | RegType.PtrUntrusted),
        _ => false,
    };

    private static RewrittenProgram Compact(Insn[] work, InsnAux[] aux, bool[] keep, IReadOnlyList<Subprogram> functions)
    {
        // New slot of every old one; a removed one stands for the next that is left.
        var moved = new int[work.Length + 1];
        int count = 0;
        for (int i = 0; i < work.Length; i++)
        {
            moved[i] = count;
            if (keep[i]) count++;
        }

        moved[work.Length] = count;
        var insns = new Insn[count];
        var original = new int[count];
        var facts = new InsnFacts[count];
        bool second = false;
        for (int i = 0; i < work.Length; i++)
        {
            bool isSecond = second;
            second = !isSecond && work[i].IsLdImm64;
            if (!keep[i]) continue;
            int at = moved[i];
            insns[at] = isSecond ? work[i] : Retarget(work[i], i, moved, at);
            original[at] = i;
            if (!isSecond) facts[at] = FactsOf(work[i], aux[i]);
        }

        List<int> starts = [], depths = [];
        foreach (Subprogram function in functions)
        {
            int start = function.Start;
            bool gone = moved[start] == moved[Math.Min(function.End, work.Length)] && starts.Count > 0;
            if (gone) continue;
            starts.Add(moved[start]);
            depths.Add(function.StackDepth);
        }

        return new RewrittenProgram(insns, original, [.. starts], [.. depths], facts);
    }

    /// <summary>A jump, call or function address at old slot <paramref name="i"/> as it reads after all slots moved.</summary>
    /// <param name="insn">The instruction.</param>
    /// <param name="i">Its old slot.</param>
    /// <param name="moved">New slots of what it leads to, by old slot.</param>
    /// <param name="at">Its new slot.</param>
    internal static Insn Retarget(in Insn insn, int i, int[] moved, int at)
    {
        if (insn.IsLdImm64)
            return insn.Src == (int)PseudoSource.Func ? insn with { Imm = moved[i + insn.Imm + 1] - at - 1 } : insn;
        if (insn.IsLocalCall) return insn with { Imm = moved[i + insn.Imm + 1] - at - 1 };
        if (insn.Class is not (InsnClass.Jmp or InsnClass.Jmp32) || insn.JmpOp is JmpOp.Call or JmpOp.Exit) return insn;
        int off = moved[Successors.JumpTarget(insn, i)] - at - 1;
        return insn.Class == InsnClass.Jmp32 && insn.JmpOp == JmpOp.Ja ? insn with { Imm = off } : insn with { Off = (short)off };
    }

    private static InsnFacts FactsOf(in Insn insn, in InsnAux aux)
    {
        bool memory = insn.Class is InsnClass.Ldx or InsnClass.St or InsnClass.Stx;
        bool constKey = insn.IsHelperCall && aux.MapKey > 0;
        return new InsnFacts(
            MapIndex: insn.IsHelperCall ? Math.Max(aux.MapIndex, 0) : 0,
            ConstKey: constKey ? (uint)(aux.MapKey - 1) : 0,
            HasConstKey: constKey,
            StackAccess: memory && aux.Seen && !aux.NotOwnStack,
            ProbeMem: insn.Class == InsnClass.Ldx && IsKernelPointer(aux.PtrType));
    }
}
