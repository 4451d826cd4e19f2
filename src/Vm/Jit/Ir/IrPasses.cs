namespace BpfSim.Vm.Jit.Ir;

/// <summary>The order of the optimisations, and the facts about functions that emission needs.</summary>
internal static class IrPasses
{
    /// <summary>Runs what the options ask for.</summary>
    public static void Run(IrProgram program, Simplifier simplifier, JitOptions options)
    {
        // Without a proof that jumps and accesses are sane, each instruction keeps its plain meaning.
        if (program.Source.Verified) Optimize(program, simplifier, options);
        if (options.LoopAlignment) Jumps.FindLoopHeads(program);
        // Emission asks for it only where an instruction wants registers for itself.
        if (DescribeFunctions(program)) Liveness.Compute(program);
    }

    private static void Optimize(IrProgram program, Simplifier simplifier, JitOptions options)
    {
        if (options.JumpOptimization)
        {
            Jumps.Shorten(program);
            DeadCode.RemoveUnreachable(program);
        }
        if (options.LoopInversion && LoopInversion.Run(program)) DeadCode.RemoveUnreachable(program);
        if (options.BlockPlacement) Placement.Run(program);
        if (options.ConstantHoisting) ConstantHoisting.Run(program);
        if (options.ZeroExtension) UpperHalves.Compute(program);
        else Array.Clear(program.UpperClear, 0, program.Count);
        if (simplifier.Run(program, options))
        {
            program.FindTargets();
            DeadCode.RemoveUnreachable(program);
        }
        // Computed once; each of these passes keeps it right, or errs toward more registers being live.
        Liveness.Compute(program, withDeadCode: options.DeadCode);
        if (options.DeadCode) DeadCode.RemoveUnread(program);
        if (options.CopyPropagation) DeadCode.Coalesce(program);
        if (options.FlagReuse) DeadCode.FuseTests(program);
        if (options.AddressFolding)
        {
            AddressFusion.Run(program);
            DeadCode.FuseMemoryOperations(program);
        }
        if (!options.ConditionalMoves) return;
        Selects.FuseMasks(program);
        if (!Selects.Convert(program)) return;
        program.FindTargets();
        Selects.FuseConstants(program);
    }

    /// <summary>Stack use, calls and written registers of every function; returns whether emission needs to know which registers are live.</summary>
    private static bool DescribeFunctions(IrProgram program)
    {
        bool needsLiveness = false;
        for (int f = 0; f < program.Functions.Length; f++)
        {
            ref IrFunction function = ref program.Functions[f];
            function = new IrFunction { Start = function.Start, End = function.End };
            for (int i = function.Start; i < function.End; i++)
            {
                ref readonly IrInsn insn = ref program.Insns[i];
                if (insn.Op == IrOp.Nop) continue;
                needsLiveness |= insn.Op is IrOp.Div or IrOp.Mod or IrOp.SDiv or IrOp.SMod or IrOp.Atomic;
                function.CalleeSavedWritten |= Liveness.MayWrite(insn) & 0b1111000000;
                function.HasCalls |= insn.IsCall;
                function.HasMayGoto |= insn.Op == IrOp.MayGoto;
                DescribeStack(insn, ref function);
            }
            if (!function.StackEscapes) continue;
            // A register that holds a stack address may be moved on downward, here or in a function that gets it.
            if (!program.Source.Verified) function.StackBytes = 512;
            else if (program.Source.StackDepths is { Length: > 0 } depths) function.StackBytes = Math.Max(function.StackBytes, depths[f]);
        }
        return needsLiveness;
    }

    /// <summary>
    /// How deep the stack is used. Constant distances from r10 are taken at their word; where anything variable is added to r10, the whole frame is provided.
    /// </summary>
    private static void DescribeStack(in IrInsn n, ref IrFunction function)
    {
        const byte frame = 10;
        if (n.A != frame && n.B != frame && n.Index != frame) return;
        function.UsesStack = true;
        bool access = n.Op is IrOp.Load or IrOp.LoadSx or IrOp.Store or IrOp.MemoryAlu or IrOp.Atomic or IrOp.MapLookup;
        bool plain = n.A == frame && n.B != frame && n.Index == IrInsn.None;
        int depth = 512;
        if (plain && access) depth = -n.Off;
        else if (plain && n.Op == IrOp.Add && n.B == IrInsn.None) depth = (int)Math.Clamp(-n.Imm, 0, 512);
        else if (plain && n.Op == IrOp.Lea) depth = -n.Off;
        if (!(plain && access)) function.StackEscapes = true;
        function.StackBytes = Math.Max(function.StackBytes, Math.Clamp(depth, 0, 512));
        if (depth < 512) function.ClearBytes = Math.Max(function.ClearBytes, depth);
        else if (n.A == frame && n.Op == IrOp.Lea) function.ClearBytes = Math.Max(function.ClearBytes, Math.Clamp(-n.Off, 0, 512));
    }
}
