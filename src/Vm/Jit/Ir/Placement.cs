using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// Moves unlikely stretches inside loops to the end of their function, so that the likely way falls through.
/// Unlikely is what follows a test for inequality with a constant that jumps over it: values are rarely equal
/// to one given number.
/// </summary>
internal static class Placement
{
    private const int MaxLength = 32;

    /// <summary>Moves what it can and renumbers all targets.</summary>
    public static void Run(IrProgram program)
    {
        IrInsn[] old = program.Insns;
        List<IrInsn> insns = new(old.Length);
        int[] moved = new int[old.Length + 1];
        bool any = false;
        List<(int Start, int End)> cold = [];
        foreach (ref IrFunction function in program.Functions.AsSpan())
        {
            int start = insns.Count;
            cold.Clear();
            for (int i = function.Start; i < function.End; i++)
            {
                moved[i] = insns.Count;
                insns.Add(old[i]);
                int target = old[i].Target;
                if (!IsCandidate(program, i, function)) continue;
                IrInsn inverted = old[i];
                inverted.Condition = X86Condition.Equal;
                inverted.Target = i + 1;
                insns[^1] = inverted;
                cold.Add((i + 1, target));
                i = target - 1;
                any = true;
            }
            foreach ((int from, int to) in cold)
            {
                for (int i = from; i < to; i++)
                {
                    moved[i] = insns.Count;
                    insns.Add(old[i]);
                }
            }
            (function.Start, function.End) = (start, insns.Count);
        }
        if (!any) return;
        IrInsn[] result = [.. insns];
        foreach (ref IrInsn n in result.AsSpan())
            if (n.HasTarget) n.Target = moved[n.Target];
        program.Insns = result;
        program.FindTargets();
    }

    private static bool IsCandidate(IrProgram program, int index, in IrFunction function)
    {
        IrInsn[] insns = program.Insns;
        ref readonly IrInsn branch = ref insns[index];
        int target = branch.Target;
        if (branch.Op != IrOp.Branch || branch.Condition != X86Condition.NotEqual || branch.B != IrInsn.None) return false;
        if (target <= index + 1 || target - index > MaxLength || target >= function.End) return false;
        int last = target - 1;
        while (last > index && insns[last].Op == IrOp.Nop) last--;
        if (last == index || !insns[last].EndsFlow) return false;
        for (int i = index + 1; i < target; i++)
            if (insns[i].HasTarget && insns[i].Target > index && insns[i].Target <= i) return false;
        // Only inside a loop does the order matter.
        for (int i = target; i < function.End; i++)
            if (insns[i].HasTarget && insns[i].Target <= index) return true;
        return false;
    }
}
