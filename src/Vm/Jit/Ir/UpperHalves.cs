namespace BpfSim.Vm.Jit.Ir;

/// <summary>Which registers have a clear upper half before each instruction: forward data flow, optimistic from the start.</summary>
internal static class UpperHalves
{
    private const ushort All = 0x7ff;
    private const int CallerSaved = 0b111111;

    /// <summary>Fills <see cref="IrProgram.UpperClear"/>.</summary>
    public static void Compute(IrProgram program)
    {
        IrInsn[] insns = program.Insns;
        ushort[] atTarget = program.AtTarget(All), upperClear = program.UpperClear;
        bool[] isTarget = program.IsTarget;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            int start = function.Start;
            while (start < function.End)
            {
                int restart = function.End, clear = 0;
                bool reachable = start == function.Start;
                for (int i = start; i < function.End; i++)
                {
                    ref readonly IrInsn insn = ref insns[i];
                    if (isTarget[i])
                    {
                        if (reachable) Meet(ref atTarget[i], clear);
                        clear = atTarget[i];
                        reachable = true;
                    }
                    upperClear[i] = (ushort)clear;
                    clear = Transfer(insn, clear);
                    if (insn.Op <= IrOp.Atomic) continue;
                    // What is further down will be seen with this anyway; from a loop's head all is done again.
                    if (insn.HasTarget && Meet(ref atTarget[insn.Target], clear) && insn.Target <= i) restart = Math.Min(restart, insn.Target);
                    if (insn.EndsFlow) reachable = false;
                }
                start = restart;
            }
        }
    }

    /// <summary>The mask after an instruction.</summary>
    public static int Transfer(in IrInsn n, int clear)
    {
        // No register has no bit.
        int bit = (int)(1L << n.Dst);
        bool a = (clear & (int)(1L << n.A)) != 0, b = (clear & (int)(1L << n.B)) != 0;
        bool constant = n.B == IrInsn.None, result;
        switch (n.Op)
        {
            case IrOp.Nop:
                return clear;
            case IrOp.CallLocal or IrOp.CallHelper or IrOp.CallKfunc or IrOp.TailCall or IrOp.MapLookup:
                return clear & ~CallerSaved;
            case IrOp.PacketLoad:
                return (clear & ~CallerSaved) | 1;
            case IrOp.Atomic:
                int written = Liveness.Writes(n);
                return n.Size == 8 ? clear & ~written : clear | written;
            case IrOp.MovImm or IrOp.MaskConstant:
                result = (ulong)n.Imm <= uint.MaxValue;
                break;
            case IrOp.Load or IrOp.ProbeLoad or IrOp.ContextField or IrOp.Bswap:
                result = n.Size < 8;
                break;
            case IrOp.LoadSx or IrOp.ProbeLoadSx:
                result = false;
                break;
            case IrOp.MovZx or IrOp.SetCondition:
                result = true;
                break;
            case IrOp.Select:
                result = (clear & bit) != 0 && (n.Index == IrInsn.None ? n.Off >= 0 : n.Size == 4 || (clear & (int)(1L << n.Index)) != 0);
                break;
            case IrOp.Mov or IrOp.Div:
                result = n.Is32 || a;
                break;
            case IrOp.And:
                result = n.Is32 || a || (constant ? n.Imm >= 0 : b);
                break;
            case IrOp.Or or IrOp.Xor:
                result = n.Is32 || (a && (constant ? n.Imm >= 0 : b));
                break;
            case IrOp.Rsh:
                result = n.Is32 || a || (constant && n.Imm >= 32);
                break;
            case IrOp.Mod:
                result = n.Is32 || a || (constant && n.Imm > 0);
                break;
            default:
                result = n.Is32;
                break;
        }
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
