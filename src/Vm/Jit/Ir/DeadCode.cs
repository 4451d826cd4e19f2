using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Removes instructions that cannot be reached or whose result nobody reads, and joins neighbours that make one.</summary>
internal static class DeadCode
{
    /// <summary>Removes pure instructions with a dead result. Liveness must be current, with dead code left out.</summary>
    public static void RemoveUnread(IrProgram program)
    {
        ushort[] liveAfter = program.LiveAfter;
        Span<IrInsn> insns = program.Insns.AsSpan(0, program.Count);
        for (int i = 0; i < insns.Length; i++)
        {
            ref IrInsn n = ref insns[i];
            if (n.IsPure && (liveAfter[i] & (1 << n.Dst)) == 0) n.Op = IrOp.Nop;
        }
    }

    /// <summary>Removes what nothing falls into and no jump leads to. Targets must be current, and stay so.</summary>
    public static void RemoveUnreachable(IrProgram program)
    {
        bool jumpsRemoved = true;
        while (jumpsRemoved)
        {
            jumpsRemoved = false;
            bool reached = true;
            Span<IrInsn> insns = program.Insns.AsSpan(0, program.Count);
            int function = 0;
            for (int i = 0; i < insns.Length; i++)
            {
                if (function < program.Functions.Length && program.Functions[function].Start == i)
                {
                    reached = true;
                    function++;
                }
                ref IrInsn n = ref insns[i];
                reached |= program.IsTarget[i];
                if (!reached)
                {
                    jumpsRemoved |= n.HasTarget;
                    n.Op = IrOp.Nop;
                }
                else if (n.EndsFlow)
                {
                    reached = false;
                }
            }
            if (jumpsRemoved) program.FindTargets();
        }
    }

    /// <summary>
    /// A result that is only moved on is computed where it is moved to: x = a op b; y = x, with x dead behind.
    /// Liveness must be current.
    /// </summary>
    public static void Coalesce(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn move = ref insns[i];
                if (move.Op != IrOp.Mov || move.Is32 || (program.LiveAfter[i] & (1 << move.A)) != 0 || move.A == 10) continue;
                int maker = FindMaker(program, function.Start, i, move.A, move.Dst);
                if (maker < 0) continue;
                // Between the two the new destination holds the value in place of the old.
                for (int k = maker; k < i; k++) program.LiveAfter[k] = (ushort)((program.LiveAfter[k] & ~(1 << move.A)) | (1 << move.Dst));
                insns[maker].Dst = move.Dst;
                move.Op = IrOp.Nop;
            }
        }
    }

    /// <summary>The pure instruction before a move that makes its source, with neither register touched in between; -1 if there is none.</summary>
    private static int FindMaker(IrProgram program, int start, int move, byte source, byte destination)
    {
        if (program.IsTarget[move]) return -1;
        int touched = (1 << source) | (1 << destination);
        for (int i = move - 1; i >= start; i--)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            if (n.Op != IrOp.Nop)
            {
                if (n.IsPure && n.Op != IrOp.Select && n.Dst == source) return i;
                if (n.HasTarget || n.EndsFlow || n.IsCall || ((Liveness.Reads(n, program.Source) | Liveness.MayWrite(n)) & touched) != 0) return -1;
            }
            if (program.IsTarget[i]) return -1;
        }
        return -1;
    }

    /// <summary>x = [m]; x = x op v; [m] = x, with x dead behind, becomes one operation on memory. Liveness must be current.</summary>
    public static void FuseMemoryOperations(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        for (int i = 0; i + 2 < program.Count; i++)
        {
            ref readonly IrInsn load = ref insns[i];
            if (load.Op != IrOp.Load) continue;
            int middle = Next(program, i + 1), last = Next(program, middle + 1);
            if (last >= program.Count || program.IsTarget[middle] || program.IsTarget[last]) continue;
            ref readonly IrInsn op = ref insns[middle];
            ref IrInsn store = ref insns[last];
            byte x = load.Dst;
            bool fits = store.Op == IrOp.Store && store.B == x && store.Size == load.Size && store.A == load.A && store.Index == load.Index
                && store.Scale == load.Scale && store.Off == load.Off && x != load.A && x != load.Index
                && (op.Op is IrOp.Add or IrOp.Sub or IrOp.And or IrOp.Or or IrOp.Xor) && op.A == x && op.Dst == x && op.B != x
                && (op.B == IrInsn.None || load.Size >= 4) && (program.LiveAfter[last] & (1 << x)) == 0
                && (op.B != IrInsn.None || op.Imm == (int)op.Imm);
            if (!fits) continue;
            (store.Op, store.Sub, store.B, store.Imm) = (IrOp.MemoryAlu, op.Op, op.B, op.Imm);
            insns[i].Op = IrOp.Nop;
            insns[middle].Op = IrOp.Nop;
        }
    }

    /// <summary>x = a &amp; b; if x == 0, with x dead behind, becomes a test. Liveness must be current.</summary>
    public static void FuseTests(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn mask = ref insns[i];
                if (mask.Op != IrOp.And || mask.Imm != (int)mask.Imm) continue;
                int next = Next(program, i + 1);
                if (next >= function.End || program.IsTarget[next]) continue;
                ref IrInsn branch = ref insns[next];
                bool zeroTest = branch.Op == IrOp.Branch && branch.A == mask.Dst && branch.B == IrInsn.None && branch.Imm == 0
                    && (branch.Condition is X86Condition.Equal or X86Condition.NotEqual) && (mask.Is32 || !branch.Is32);
                if (!zeroTest || (program.LiveAfter[next] & (1 << mask.Dst)) != 0) continue;
                (branch.Op, branch.A, branch.B, branch.Imm, branch.Is32) = (IrOp.BranchTest, mask.A, mask.B, mask.Imm, mask.Is32);
                for (int k = i; k < next; k++) program.LiveAfter[k] |= (ushort)((1 << mask.A) | (mask.B == IrInsn.None ? 0 : 1 << mask.B));
                mask.Op = IrOp.Nop;
            }
        }
    }

    private static int Next(IrProgram program, int index)
    {
        while (index < program.Count && program.Insns[index].Op == IrOp.Nop && !program.IsTarget[index]) index++;
        return index;
    }
}
