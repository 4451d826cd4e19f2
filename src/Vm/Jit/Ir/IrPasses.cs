namespace BpfSim.Vm.Jit.Ir;

/// <summary>The order of the optimisations, and the facts about functions that emission needs.</summary>
internal static class IrPasses
{
    /// <summary>Runs what the options ask for.</summary>
    public static void Run(IrProgram program, JitOptions options)
    {
        program.FindTargets();
        Liveness.Compute(program);
        DescribeFunctions(program);
    }

    /// <summary>Stack use, calls and written registers of every function.</summary>
    private static void DescribeFunctions(IrProgram program)
    {
        foreach (ref IrFunction function in program.Functions.AsSpan())
        {
            function = new IrFunction { Start = function.Start, End = function.End };
            for (int i = function.Start; i < function.End; i++)
            {
                ref readonly IrInsn insn = ref program.Insns[i];
                function.CalleeSavedWritten |= Liveness.MayWrite(insn) & 0b1111000000;
                function.HasCalls |= insn.IsCall;
                function.HasMayGoto |= insn.Op == IrOp.MayGoto;
                DescribeStack(insn, ref function);
            }
        }
    }

    private static void DescribeStack(in IrInsn insn, ref IrFunction function)
    {
        const byte frame = 10;
        bool asBase = insn.A == frame && insn.Index == IrInsn.None
            && insn.Op is IrOp.Load or IrOp.LoadSx or IrOp.Store or IrOp.MemoryAlu or IrOp.Atomic;
        if (asBase)
        {
            function.UsesStack = true;
            function.StackBytes = Math.Max(function.StackBytes, Math.Min(-insn.Off, 512));
        }
        // Anywhere else the address itself gets about, and with it any slot may be used.
        if ((!asBase && insn.A == frame) || insn.B == frame || insn.Index == frame)
        {
            function.UsesStack = true;
            function.StackBytes = 512;
        }
    }
}
