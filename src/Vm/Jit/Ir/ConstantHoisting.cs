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
        List<(byte Register, long Constant)> hoisted = [];
        int free = FreeRegisters(program, main);
        bool[] inLoop = Loops(program, main);
        for (int i = main.Start; i < main.End; i++)
        {
            ref IrInsn n = ref program.Insns[i];
            if (n.Op != IrOp.MovImm || !inLoop[i - main.Start] || n.Imm == (int)n.Imm || (ulong)n.Imm <= uint.MaxValue || IsMap(program, n.Imm)) continue;
            int known = hoisted.FindIndex(h => h.Constant == program.Insns[i].Imm);
            if (known < 0)
            {
                if (free == 0) continue;
                byte register = (byte)System.Numerics.BitOperations.Log2((uint)free);
                free &= ~(1 << register);
                known = hoisted.Count;
                hoisted.Add((register, n.Imm));
            }
            (n.Op, n.A, n.Imm, n.Is32) = (IrOp.Mov, hoisted[known].Register, 0, false);
        }
        if (hoisted.Count > 0) Insert(program, hoisted);
    }

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
            if (n.Op == IrOp.Nop) continue;
            used |= Liveness.Reads(n, program.Source) | Liveness.MayWrite(n);
            calls |= n.IsCall;
        }
        // Calls leave r6 to r9 alone; without any, r2 to r5 will do as well (r1 is the context).
        return ~used & (calls ? 0b1111000000 : 0b1111111100);
    }

    private static bool[] Loops(IrProgram program, in IrFunction main)
    {
        bool[] inLoop = new bool[main.End - main.Start];
        for (int i = main.Start; i < main.End; i++)
        {
            ref readonly IrInsn n = ref program.Insns[i];
            if (n.HasTarget && n.Target <= i) Array.Fill(inLoop, true, n.Target - main.Start, i + 1 - n.Target);
        }
        return inLoop;
    }

    private static void Insert(IrProgram program, List<(byte Register, long Constant)> hoisted)
    {
        List<IrInsn> insns = [];
        foreach ((byte register, long constant) in hoisted)
        {
            insns.Add(new IrInsn
            {
                Op = IrOp.MovImm,
                Dst = register,
                A = IrInsn.None,
                B = IrInsn.None,
                Index = IrInsn.None,
                Scale = 1,
                Imm = constant,
                Slot = program.Insns[0].Slot,
            });
        }
        insns.AddRange(program.Insns);
        int shift = hoisted.Count;
        for (int i = shift; i < insns.Count; i++)
        {
            IrInsn n = insns[i];
            if (!n.HasTarget) continue;
            n.Target += shift;
            insns[i] = n;
        }
        program.Insns = [.. insns];
        for (int f = 0; f < program.Functions.Length; f++)
        {
            if (f > 0) program.Functions[f].Start += shift;
            program.Functions[f].End += shift;
        }
        program.FindTargets();
    }
}
