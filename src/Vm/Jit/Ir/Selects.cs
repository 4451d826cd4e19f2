using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// Turns branches over a few cheap operations into conditional moves: the operations run in a scratch
/// register, and the result is taken if the branch would not have skipped it. Loads, stores and divisions
/// are never run ahead of the test that guards them.
/// </summary>
internal static class Selects
{
    /// <summary>Register numbers beyond r10 that stand for scratch registers.</summary>
    public const byte ScratchA = 11, ScratchB = 12;

    private const int MaxOperations = 3;

    /// <summary>Converts where it can; liveness must be current. Returns whether anything changed.</summary>
    public static bool Convert(IrProgram program)
    {
        bool any = false;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
                if (program.Insns[i].Op is IrOp.Branch or IrOp.BranchTest) any |= TryConvert(program, i, function.End);
        }
        return any;
    }

    private static bool TryConvert(IrProgram program, int index, int end)
    {
        IrInsn[] insns = program.Insns;
        IrInsn branch = insns[index];
        int join = program.SkipNops(branch.Target, end);
        Span<int> body = stackalloc int[MaxOperations];
        int count = 0, i = index + 1;
        for (; i < end; i++)
        {
            if (insns[i].Op == IrOp.Nop && !(program.IsTarget[i] && program.SkipNops(i, end) != join)) continue;
            if (i == join) break;
            if (program.IsTarget[i]) return false;
            if (insns[i].Op == IrOp.Jump)
            {
                // Both ways meet at the jump's target.
                if (program.SkipNops(insns[i].Target, end) != join) return false;
                break;
            }
            if (count == MaxOperations || !IsCheap(insns[i])) return false;
            body[count++] = i;
        }
        if (i >= end || count == 0) return false;
        byte result = insns[body[count - 1]].Dst;
        int liveAtJoin = program.LiveAfter[body[count - 1]];
        // Only the last result may be seen behind the join.
        for (int k = 0; k < count; k++)
            if (insns[body[k]].Dst != result && (liveAtJoin & (1 << insns[body[k]].Dst)) != 0) return false;
        if ((liveAtJoin & (1 << result)) == 0) return false;
        if (!Rename(insns, body[..count], out byte made, out long constant)) return false;
        bool moveOnly = made == IrInsn.None || made < ScratchA;
        if (!moveOnly)
        {
            // The operations move up by one place, over the branch, and make room for the select.
            for (int k = 0, place = index; k < count; place = body[k++]) insns[place] = insns[body[k]];
        }
        ref IrInsn last = ref insns[body[count - 1]];
        // A narrow move must clear the upper half, which the select does on request.
        byte size = 0;
        if (moveOnly && made != IrInsn.None && last.Is32) size = 4;
        int slot = last.Slot;
        last = branch;
        last.Op = IrOp.Select;
        last.Sub = branch.Op;
        last.Dst = result;
        last.Index = made;
        last.Off = (int)constant;
        last.Size = size;
        last.Condition = Jumps.Not(branch.Condition);
        last.Target = 0;
        last.Slot = slot;
        if (moveOnly) insns[index].Op = IrOp.Nop;
        return true;
    }

    /// <summary>-(a &amp; 1) &amp; constant, in three steps, becomes a choice between the constant and 0. Liveness must be current.</summary>
    public static void FuseMasks(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        for (int i = 0; i + 2 < program.Count; i++)
        {
            ref readonly IrInsn bit = ref insns[i];
            if (bit.Op != IrOp.And || bit.B != IrInsn.None || bit.Imm != 1) continue;
            int second = NextInLine(program, i + 1), third = NextInLine(program, second + 1);
            if (third >= program.Count) continue;
            ref readonly IrInsn negate = ref insns[second];
            ref IrInsn mask = ref insns[third];
            if (program.IsTarget[second] || program.IsTarget[third] || negate.Op != IrOp.Neg || negate.A != bit.Dst || mask.Op != IrOp.And
                || mask.A != negate.Dst || mask.B != IrInsn.None || (negate.Is32 && !mask.Is32)) continue;
            // Neither of the steps in between may be seen afterwards.
            int seen = program.LiveAfter[third] & ~(1 << mask.Dst);
            if ((seen & ((1 << bit.Dst) | (1 << negate.Dst))) != 0) continue;
            byte source = bit.A;
            for (int k = i; k < third; k++) program.LiveAfter[k] |= (ushort)(1 << source);
            long constant = mask.Is32 ? (uint)mask.Imm : mask.Imm;
            insns[i].Op = IrOp.Nop;
            insns[second].Op = IrOp.Nop;
            (mask.Op, mask.A, mask.Imm, mask.Is32) = (IrOp.MaskConstant, source, constant, false);
        }
    }

    private static int NextInLine(IrProgram program, int index)
    {
        while (index < program.Count && program.Insns[index].Op == IrOp.Nop && !program.IsTarget[index]) index++;
        return index;
    }

    /// <summary>x = 1; if c, x = 0 (or the other way round) becomes x = not c.</summary>
    public static void FuseConstants(IrProgram program)
    {
        for (int i = 0; i + 1 < program.Count; i++)
        {
            ref IrInsn first = ref program.Insns[i];
            if (first.Op != IrOp.MovImm || first.Imm is not (0 or 1)) continue;
            int next = i + 1;
            while (next < program.Count && program.Insns[next].Op == IrOp.Nop && !program.IsTarget[next]) next++;
            if (next >= program.Count || program.IsTarget[next]) continue;
            ref IrInsn select = ref program.Insns[next];
            if (select.Op != IrOp.Select || select.Dst != first.Dst || select.Index != IrInsn.None || select.Off != 1 - first.Imm) continue;
            if (select.A == first.Dst || select.B == first.Dst) continue;
            select.Op = IrOp.SetCondition;
            if (first.Imm == 1) select.Condition = Jumps.Not(select.Condition);
            first.Op = IrOp.Nop;
        }
    }

    /// <summary>
    /// Lets the operations work in scratch registers. A single move needs none: then <paramref name="made"/> is
    /// its source, or None for the constant.
    /// </summary>
    private static bool Rename(IrInsn[] insns, ReadOnlySpan<int> body, out byte made, out long constant)
    {
        ref IrInsn last = ref insns[body[^1]];
        (made, constant) = (IrInsn.None, 0);
        if (body.Length == 1 && last.Op == IrOp.MovImm)
        {
            constant = last.Imm;
            return last.Imm == (int)last.Imm;
        }
        if (body.Length == 1 && last.Op == IrOp.Mov)
        {
            made = last.A;
            return true;
        }
        // Every value but the last must be used by the next operation only through its register.
        Span<byte> names = stackalloc byte[13];
        names.Fill(IrInsn.None);
        byte next = ScratchA;
        Span<(int At, byte Dst, byte A, byte B, byte Index)> renamed = stackalloc (int, byte, byte, byte, byte)[body.Length];
        for (int k = 0; k < body.Length; k++)
        {
            IrInsn n = insns[body[k]];
            byte a = Name(names, n.A), b = Name(names, n.B), x = Name(names, n.Index);
            byte dst = names[n.Dst] != IrInsn.None ? names[n.Dst] : next;
            if (dst > ScratchB) return false;
            if (dst == next) next++;
            names[n.Dst] = dst;
            renamed[k] = (body[k], dst, a, b, x);
        }
        foreach ((int at, byte dst, byte a, byte b, byte x) in renamed)
        {
            ref IrInsn n = ref insns[at];
            (n.Dst, n.A, n.B, n.Index) = (dst, a, b, x);
        }
        made = renamed[^1].Dst;
        return true;
    }

    private static byte Name(ReadOnlySpan<byte> names, byte register) =>
        register == IrInsn.None || names[register] == IrInsn.None ? register : names[register];

    private static bool IsCheap(in IrInsn n) => n.Op switch
    {
        IrOp.Add or IrOp.Sub or IrOp.And or IrOp.Or or IrOp.Xor => n.B != IrInsn.None || n.Imm == (int)n.Imm,
        IrOp.Lsh or IrOp.Rsh or IrOp.Arsh => n.B == IrInsn.None,
        IrOp.Mul => n.B == IrInsn.None && n.Imm is 3 or 5 or 9,
        IrOp.MovImm => true,
        IrOp.Mov or IrOp.MovSx or IrOp.MovZx or IrOp.Neg or IrOp.Lea => true,
        _ => false,
    };
}
