namespace BpfSim.Vm.Jit.Ir;

/// <summary>Which registers have a clear upper half before each instruction: forward data flow, optimistic from the start.</summary>
internal static class UpperHalves
{
    private const int All = 0x7ff, CallerSaved = 0b111111;

    /// <summary>Fills <see cref="IrProgram.UpperClear"/>.</summary>
    public static void Compute(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        if (program.UpperClear.Length != insns.Length) program.UpperClear = new ushort[insns.Length];
        ushort[] atTarget = new ushort[insns.Length + 1];
        Array.Fill(atTarget, (ushort)All);
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            bool changed = true;
            while (changed)
            {
                changed = false;
                int clear = 0;
                bool reachable = true;
                for (int i = function.Start; i < function.End; i++)
                {
                    ref readonly IrInsn insn = ref insns[i];
                    if (program.IsTarget[i])
                    {
                        if (reachable) Meet(ref atTarget[i], clear);
                        clear = atTarget[i];
                        reachable = true;
                    }
                    program.UpperClear[i] = (ushort)clear;
                    clear = Transfer(insn, clear);
                    // What is further down will be seen with this anyway.
                    if (insn.HasTarget && Meet(ref atTarget[insn.Target], clear) && insn.Target <= i) changed = true;
                    if (insn.EndsFlow) reachable = false;
                }
            }
        }
    }

    /// <summary>The mask after an instruction.</summary>
    public static int Transfer(in IrInsn n, int clear)
    {
        if (n.IsCall || n.Op == IrOp.MapLookup) return n.Op == IrOp.PacketLoad ? (clear & ~CallerSaved) | 1 : clear & ~CallerSaved;
        if (n.Op == IrOp.Atomic)
        {
            int written = Liveness.Writes(n);
            return n.Size == 8 ? clear & ~written : clear | written;
        }
        if (n.Dst is IrInsn.None or > 10 || n.Op == IrOp.Nop) return clear;
        int bit = 1 << n.Dst;
        bool Has(byte r) => r != IrInsn.None && (clear & (1 << r)) != 0;
        bool result = n.Op switch
        {
            IrOp.MovImm => (ulong)n.Imm <= uint.MaxValue,
            IrOp.Load or IrOp.ProbeLoad => n.Size < 8,
            IrOp.LoadSx or IrOp.ProbeLoadSx => false,
            IrOp.MovZx or IrOp.SetCondition => true,
            IrOp.ContextField => n.Size < 8,
            IrOp.Bswap => n.Size < 8,
            IrOp.Select => Has(n.Dst) && (n.Index == IrInsn.None ? n.Off >= 0 : n.Size == 4 || Has(n.Index)),
            IrOp.MaskConstant => (ulong)n.Imm <= uint.MaxValue,
            _ when n.Is32 => true,
            IrOp.Mov => Has(n.A),
            IrOp.And => n.B == IrInsn.None ? n.Imm >= 0 || Has(n.A) : Has(n.A) || Has(n.B),
            IrOp.Or or IrOp.Xor => Has(n.A) && (n.B == IrInsn.None ? n.Imm >= 0 : Has(n.B)),
            IrOp.Rsh => Has(n.A) || (n.B == IrInsn.None && n.Imm >= 32),
            IrOp.Div => Has(n.A),
            IrOp.Mod => Has(n.A) || (n.B == IrInsn.None && n.Imm > 0),
            _ => false,
        };
        return result ? clear | bit : clear & ~bit;
    }

    private static bool Meet(ref ushort state, int incoming)
    {
        ushort met = (ushort)(state & incoming);
        if (met == state) return false;
        state = met;
        return true;
    }
}
