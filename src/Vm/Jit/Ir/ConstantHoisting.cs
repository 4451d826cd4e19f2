namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// Large constants that a loop loads in every round (map addresses, most often) are loaded once, at the start of
/// the main function, into registers that it does not use otherwise.
/// </summary>
internal static class ConstantHoisting
{
    /// <summary>Hoists as far as there are free registers.</summary>
    public static void Run(IrProgram program)
    {
        IrFunction main = program.Functions[0];
        int first = main.Start;
        while (first < main.End && !IsLarge(program, program.Insns[first])) first++;
        if (first == main.End) return;
        List<(byte Register, long Constant)> hoisted = [];
        int[] lastJump = LastJumps(program, main);
        int free = FreeRegisters(program, main), loopEnd = -1;
        for (int i = main.Start; i < main.End; i++)
        {
            loopEnd = Math.Max(loopEnd, lastJump[i]);
            ref IrInsn n = ref program.Insns[i];
            if (i > loopEnd || !IsLarge(program, n)) continue;
            int known = 0;
            while (known < hoisted.Count && hoisted[known].Constant != n.Imm) known++;
            if (known == hoisted.Count)
            {
                if (free == 0) continue;
                byte register = (byte)System.Numerics.BitOperations.Log2((uint)free);
                free &= ~(1 << register);
                hoisted.Add((register, n.Imm));
            }
            (n.Op, n.A, n.Imm, n.Is32) = (IrOp.Mov, hoisted[known].Register, 0, false);
        }
        if (hoisted.Count > 0) Insert(program, hoisted);
    }

    private static bool IsLarge(IrProgram program, in IrInsn n) =>
        n.Op == IrOp.MovImm && (n.Imm >> 32) != 0 && n.Imm != (int)n.Imm && !IsMap(program, n.Imm);

    /// <summary>Map pointers are arguments; lookups want to see them as the constants that they are.</summary>
    private static unsafe bool IsMap(IrProgram program, long constant)
    {
        foreach (Maps.BpfMap map in program.Source.Maps)
            if ((long)map.Header == constant) return true;
        return false;
    }

    private static int FreeRegisters(IrProgram program, in IrFunction main)
    {
        int used = 0;
        bool calls = false;
        for (int i = main.Start; i < main.End; i++)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            used |= Liveness.Touches(n, program.Source);
            calls |= n.IsCall;
        }
        // Calls leave r6 to r9 alone; without any, r2 to r5 will do as well (r1 is the context).
        return ~used & (calls ? 0b1111000000 : 0b1111111100);
    }

    /// <summary>For each head of a loop the last jump back to it; -1 elsewhere.</summary>
    private static int[] LastJumps(IrProgram program, in IrFunction main)
    {
        int[] lastJump = program.Moved();
        Array.Fill(lastJump, -1, main.Start, main.End - main.Start);
        for (int i = main.Start; i < main.End; i++)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            if (n.HasTarget && n.Target <= i) lastJump[n.Target] = i;
        }
        return lastJump;
    }

    private static void Insert(IrProgram program, List<(byte Register, long Constant)> hoisted)
    {
        IrInsn[] insns = program.NewInsns(program.Count + hoisted.Count);
        int[] moved = program.Moved();
        int shift = 0;
        foreach ((byte register, long constant) in hoisted)
        {
            insns[shift++] = new IrInsn
            {
                Op = IrOp.MovImm,
                Dst = register,
                A = IrInsn.None,
                B = IrInsn.None,
                Index = IrInsn.None,
                Scale = 1,
                Imm = constant,
                Slot = program.Insns[0].Slot,
            };
        }
        program.Insns.AsSpan(0, program.Count).CopyTo(insns.AsSpan(shift));
        for (int i = 0; i <= program.Count; i++) moved[i] = i + shift;
        for (int f = 0; f < program.Functions.Length; f++)
        {
            if (f > 0) program.Functions[f].Start += shift;
            program.Functions[f].End += shift;
        }
        program.Replace(program.Count + shift, moved);
    }
}
