namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// A loop that jumps back to a test of one instruction at its head gets the test where the jump was: one
/// branch a round instead of two.
/// </summary>
internal static class LoopInversion
{
    /// <summary>Inverts all loops of that form.</summary>
    public static void Run(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn jump = ref insns[i];
                if (jump.Op != IrOp.Jump || jump.Target > i) continue;
                int head = program.SkipNops(jump.Target, function.End);
                if (head >= i || insns[head].Op is not (IrOp.Branch or IrOp.BranchTest)) continue;
                // The way out of the loop must be what follows the jump, so that falling through is right.
                int exit = program.SkipNops(insns[head].Target, function.End), behind = program.SkipNops(i + 1, function.End);
                int body = program.SkipNops(head + 1, function.End);
                if (exit != behind || body >= function.End) continue;
                int slot = jump.Slot;
                jump = insns[head];
                jump.Condition = Jumps.Not(jump.Condition);
                jump.Target = body;
                jump.Slot = slot;
            }
        }
        program.FindTargets();
    }
}
