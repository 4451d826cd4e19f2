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
        if (!HasCandidate(program)) return;
        IrInsn[] old = program.Insns;
        IrInsn[] insns = program.NewInsns(program.Count);
        int[] moved = program.Moved();
        int count = 0;
        List<(int Start, int End)> cold = [];
        foreach (ref IrFunction function in program.Functions.AsSpan())
        {
            int start = count;
            cold.Clear();
            for (int i = function.Start; i < function.End; i++)
            {
                moved[i] = count;
                ref IrInsn copy = ref insns[count++];
                copy = old[i];
                int target = old[i].Target;
                if (!IsCandidate(program, i, function)) continue;
                (copy.Condition, copy.Target) = (X86Condition.Equal, i + 1);
                cold.Add((i + 1, target));
                i = target - 1;
            }
            foreach ((int from, int to) in cold)
            {
                for (int i = from; i < to; i++)
                {
                    moved[i] = count;
                    insns[count++] = old[i];
                }
            }
            (function.Start, function.End) = (start, count);
        }
        program.Replace(count, moved);
    }

    private static bool HasCandidate(IrProgram program)
    {
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
                if (IsCandidate(program, i, function)) return true;
        }
        return false;
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
