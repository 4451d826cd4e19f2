namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// A loop that jumps back to a short test at its head gets a copy of the test where the jump was: one branch a
/// round instead of two.
/// </summary>
internal static class LoopInversion
{
    private const int MaxHead = 5, MaxGrowth = 256;

    /// <summary>Inverts all loops of that form; returns whether there were any. The program then has more instructions.</summary>
    public static bool Run(IrProgram program)
    {
        List<(int Jump, int Head, int Branch)> copies = Find(program);
        if (copies.Count == 0) return false;
        IrInsn[] old = program.Insns;
        int[] moved = program.Moved();
        IrInsn[] insns = program.NewInsns(program.Count + (copies.Count * (MaxHead + 1)));
        int next = 0, count = 0;
        for (int i = 0; i < program.Count; i++)
        {
            moved[i] = count;
            if (next >= copies.Count || copies[next].Jump != i)
            {
                insns[count++] = old[i];
                continue;
            }
            (_, int head, int branch) = copies[next++];
            for (int k = head; k <= branch; k++)
                if (old[k].Op != IrOp.Nop) insns[count++] = old[k];
            IrInsn test = old[branch];
            int staysIn = branch + 1, leaves = test.Target;
            // Whichever way leads back into the loop is the one that jumps.
            if (test.Target <= i && test.Target > head) (staysIn, leaves) = (test.Target, branch + 1);
            else test.Condition = Jumps.Not(test.Condition);
            test.Target = staysIn;
            insns[count - 1] = test;
            ref IrInsn exit = ref insns[count++];
            exit = old[i];
            exit.Target = leaves;
        }
        moved[program.Count] = count;
        foreach (ref IrFunction function in program.Functions.AsSpan()) (function.Start, function.End) = (moved[function.Start], moved[function.End]);
        program.Replace(count, moved);
        return true;
    }

    private static List<(int, int, int)> Find(IrProgram program)
    {
        List<(int, int, int)> copies = [];
        IrInsn[] insns = program.Insns;
        int growth = 0;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                if (insns[i].Op != IrOp.Jump || insns[i].Target > i) continue;
                int head = program.SkipNops(insns[i].Target, function.End), branch = head;
                while (branch < i && branch - head < MaxHead && IsPlain(insns[branch].Op) && (branch == head || !program.IsTarget[branch])) branch++;
                if (branch >= i || insns[branch].Op is not (IrOp.Branch or IrOp.BranchTest) || branch + 1 >= function.End) continue;
                if (branch > head && program.IsTarget[branch]) continue;
                if ((growth += branch - head + 1) > MaxGrowth) return copies;
                copies.Add((i, head, branch));
            }
        }
        return copies;
    }

    private static bool IsPlain(IrOp op) => op is IrOp.Nop or (>= IrOp.Add and <= IrOp.Arsh) or (>= IrOp.MovImm and <= IrOp.LoadSx);
}
