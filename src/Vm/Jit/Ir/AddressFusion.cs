namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// Additions and shifts in place that only make an address move into the access: d += x; load [d], with d dead
/// behind, becomes load [d + x]. The forward pass cannot see these, because the old value is gone.
/// </summary>
internal static class AddressFusion
{
    /// <summary>Fuses where it can. Liveness must be current.</summary>
    public static void Run(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn access = ref insns[i];
                if (access.Op is not (IrOp.Load or IrOp.LoadSx or IrOp.Store)) continue;
                if (access.Index == IrInsn.None) FuseBase(program, function.Start, i);
                if (access.Index != IrInsn.None && access.Scale == 1)
                {
                    FuseIndex(program, function.Start, i);
                    // Without a scale the two registers are alike.
                    if (access.Scale == 1 && access.A != 10)
                    {
                        (access.A, access.Index) = (access.Index, access.A);
                        FuseIndex(program, function.Start, i);
                        if (access.Scale == 1) (access.A, access.Index) = (access.Index, access.A);
                    }
                }
            }
        }
    }

    /// <summary>The base was made by an addition in place.</summary>
    private static void FuseBase(IrProgram program, int start, int at)
    {
        ref IrInsn access = ref program.Insns[at];
        if (!DiesAt(program, at, access.A)) return;
        int maker = Maker(program, start, at, access.A);
        if (maker < 0) return;
        ref IrInsn add = ref program.Insns[maker];
        if (add.Is32) return;
        byte first = add.A, second = add.B;
        long offset = access.Off;
        if (add.Op == IrOp.Add && second == IrInsn.None) offset += add.Imm;
        else if (add.Op == IrOp.Lea) (second, offset) = (add.Index, offset + add.Off);
        else if (add.Op != IrOp.Add) return;
        if (offset != (int)offset || first == IrInsn.None || Written(program, maker + 1, at, first) || Written(program, maker + 1, at, second)) return;
        (access.A, access.Index, access.Scale, access.Off) = (first, second, add.Op == IrOp.Lea ? add.Scale : (byte)1, (int)offset);
        Extend(program, maker, at, first, second);
        add.Op = IrOp.Nop;
    }

    /// <summary>The index was made by a shift.</summary>
    private static void FuseIndex(IrProgram program, int start, int at)
    {
        ref IrInsn access = ref program.Insns[at];
        if (access.A == access.Index || !DiesAt(program, at, access.Index)) return;
        int maker = Maker(program, start, at, access.Index);
        if (maker < 0) return;
        ref IrInsn shift = ref program.Insns[maker];
        if (shift.Op != IrOp.Lsh || shift.Is32 || shift.B != IrInsn.None || shift.Imm is < 1 or > 3 || Written(program, maker + 1, at, shift.A)) return;
        (access.Index, access.Scale) = (shift.A, (byte)(1 << (int)shift.Imm));
        Extend(program, maker, at, shift.A, IrInsn.None);
        shift.Op = IrOp.Nop;
    }

    private static bool DiesAt(IrProgram program, int at, byte register)
    {
        ref readonly IrInsn access = ref program.Insns[at];
        if (access.Op == IrOp.Store && access.B == register) return false;
        return (program.LiveAfter[at] & (1 << register)) == 0 || (access.Op != IrOp.Store && access.Dst == register);
    }

    /// <summary>The one instruction that made a register, if nothing reads it on the way; -1 otherwise.</summary>
    private static int Maker(IrProgram program, int start, int at, byte register)
    {
        if (program.IsTarget[at]) return -1;
        for (int i = at - 1; i >= start; i--)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            if (n.Op != IrOp.Nop)
            {
                if (n.Dst == register && n.IsPure && n.Op != IrOp.Select) return i;
                if (n.HasTarget || n.EndsFlow || n.IsCall || ((Liveness.Reads(n, program.Source) | Liveness.MayWrite(n)) & (1 << register)) != 0) return -1;
            }
            if (program.IsTarget[i]) return -1;
        }
        return -1;
    }

    private static bool Written(IrProgram program, int from, int to, byte register)
    {
        if (register == IrInsn.None) return false;
        for (int i = from; i < to; i++)
            if (program.Insns[i].Op != IrOp.Nop && (Liveness.MayWrite(program.Insns[i]) & (1 << register)) != 0) return true;
        return false;
    }

    /// <summary>The parts now live until the access.</summary>
    private static void Extend(IrProgram program, int from, int to, byte first, byte second)
    {
        int mask = (1 << first) | (second == IrInsn.None ? 0 : 1 << second);
        for (int i = from; i < to; i++) program.LiveAfter[i] |= (ushort)mask;
    }
}
