using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Shorter ways through the program: jumps to jumps, branches over jumps, loops tested at their end.</summary>
internal static class Jumps
{
    /// <summary>Short-cuts jumps that lead to jumps, and inverts branches over them. Keeps targets current.</summary>
    public static void Shorten(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        bool changed = false;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn n = ref insns[i];
                if (!n.HasTarget || n.Op == IrOp.MayGoto) continue;
                int final = Final(program, n.Target, function.End);
                changed |= final != n.Target;
                n.Target = final;
                // A jump to an exit is an exit.
                if (n.Op != IrOp.Jump || program.SkipNops(n.Target, function.End) is var t && (t >= function.End || insns[t].Op != IrOp.Exit)) continue;
                n.Op = IrOp.Exit;
                changed = true;
            }
        }
        if (changed) program.FindTargets();
        changed = false;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
            for (int i = function.Start; i < function.End; i++)
                if (insns[i].Op is IrOp.Branch or IrOp.BranchTest) changed |= Invert(program, i, function.End);
        if (changed) program.FindTargets();
    }

    /// <summary>if c goto over; goto far; over: becomes if not c goto far.</summary>
    private static bool Invert(IrProgram program, int index, int end)
    {
        ref IrInsn branch = ref program.Insns[index];
        int jump = index + 1;
        while (jump < end && program.Insns[jump].Op == IrOp.Nop && !program.IsTarget[jump]) jump++;
        if (jump >= end || program.Insns[jump].Op != IrOp.Jump || program.IsTarget[jump]) return false;
        if (program.SkipNops(jump + 1, end) != program.SkipNops(branch.Target, end)) return false;
        branch.Condition = Not(branch.Condition);
        branch.Target = program.Insns[jump].Target;
        program.Insns[jump].Op = IrOp.Nop;
        return true;
    }

    /// <summary>The opposite condition.</summary>
    public static X86Condition Not(X86Condition condition) => (X86Condition)((int)condition ^ 1);

    /// <summary>Where a jump to here ends in the end.</summary>
    private static int Final(IrProgram program, int target, int end)
    {
        for (int steps = 0; steps < 8; steps++)
        {
            int next = program.SkipNops(target, end);
            if (next >= end || program.Insns[next].Op != IrOp.Jump || program.Insns[next].Target == target) return target;
            target = program.Insns[next].Target;
        }
        return target;
    }

    /// <summary>Marks the targets of backward jumps that contain no other loop.</summary>
    public static void FindLoopHeads(IrProgram program)
    {
        bool[] heads = program.LoopHeads;
        int[] nearest = program.Moved();
        Array.Clear(heads, 0, program.Count + 1);
        for (int i = 0; i < program.Count; i++)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            if (!n.HasTarget || n.Target > i) continue;
            if (!heads[n.Target]) nearest[n.Target] = i;
            heads[n.Target] = true;
        }
        int inner = -1;
        for (int i = program.Count - 1; i >= 0; i--)
        {
            if (!heads[i]) continue;
            if (inner >= 0 && inner <= nearest[i]) heads[i] = false;
            else inner = i;
        }
    }
}
