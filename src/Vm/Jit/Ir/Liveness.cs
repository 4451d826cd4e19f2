using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Which registers are read later: backward data flow over each function.</summary>
internal static class Liveness
{
    private const int Arguments = 0b111110, CallerSaved = 0b111111;

    /// <summary>Fills <see cref="IrProgram.LiveAfter"/> by walking backward until no block changes.</summary>
    public static void Compute(IrProgram program, bool withDeadCode = false)
    {
        IrInsn[] insns = program.Insns;
        if (program.LiveAfter.Length != insns.Length) program.LiveAfter = new ushort[insns.Length];
        ushort[] liveAfter = program.LiveAfter;
        ushort[] liveAtTarget = new ushort[insns.Length + 1];
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            bool changed = true;
            while (changed)
            {
                changed = false;
                int live = 0;
                for (int i = function.End - 1; i >= function.Start; i--)
                {
                    ref readonly IrInsn insn = ref insns[i];
                    if (insn.EndsFlow) live = 0;
                    if (insn.HasTarget) live |= liveAtTarget[insn.Target];
                    liveAfter[i] = (ushort)live;
                    // What nobody reads will be removed, and so needs nothing.
                    if (!withDeadCode || !insn.IsPure || (live & MayWrite(insn)) != 0) live = (live & ~Writes(insn)) | Reads(insn, program.Source);
                    if (!program.IsTarget[i] || liveAtTarget[i] == live) continue;
                    liveAtTarget[i] = (ushort)live;
                    // Jumps from further up have yet to be seen; only those from further down have been.
                    changed |= program.IsBackTarget[i];
                }
            }
        }
    }

    /// <summary>Registers that an instruction reads.</summary>
    public static int Reads(in IrInsn insn, Programs.ExecutableProgram source)
    {
        switch (insn.Op)
        {
            case IrOp.Nop or IrOp.MovImm or IrOp.Jump or IrOp.MayGoto or IrOp.ContextField or IrOp.Fault:
                return 0;
            case IrOp.CallLocal:
                return Arguments;
            case IrOp.CallHelper or IrOp.CallKfunc:
                HelperTable table = insn.Op == IrOp.CallHelper ? source.Helpers : source.Kfuncs;
                int count = source.Verified ? table.Find((int)insn.Imm)?.Args.Length ?? 5 : 5;
                return ((1 << count) - 1) << 1;
            case IrOp.TailCall:
                return 0b1110;
            case IrOp.Exit:
                return 1;
            case IrOp.MapLookup:
                return insn.Flag ? 0 : insn.B != IrInsn.None ? Bit(insn.B) : Bit(insn.A);
            case IrOp.PacketLoad:
                return Bit(6) | Bit(insn.A);
            case IrOp.Atomic:
                return Bit(insn.A) | (insn.Imm == 0x100 ? 0 : Bit(insn.B)) | (insn.Imm == 0xf1 ? 1 : 0);
            case IrOp.Select:
                return Bit(insn.A) | Bit(insn.B) | Bit(insn.Index) | Bit(insn.Dst);
            default:
                return Bit(insn.A) | Bit(insn.B) | Bit(insn.Index);
        }
    }

    /// <summary>Registers whose old value is gone after an instruction.</summary>
    public static int Writes(in IrInsn insn)
    {
        switch (insn.Op)
        {
            case IrOp.CallLocal or IrOp.CallHelper or IrOp.CallKfunc or IrOp.PacketLoad or IrOp.MapLookup:
                return CallerSaved;
            case IrOp.TailCall:
                return CallerSaved;
            case IrOp.Atomic:
                return insn.Imm switch { 0x110 => 0, 0xf1 => 1, 0x100 => Bit(insn.Dst), _ => (insn.Imm & 1) != 0 ? Bit(insn.B) : 0 };
            case IrOp.Select or IrOp.Nop:
                return 0;
            default:
                return Bit(insn.Dst);
        }
    }

    /// <summary>Registers that an instruction may change, which includes conditional writes.</summary>
    public static int MayWrite(in IrInsn insn) => insn.Op == IrOp.Select ? Bit(insn.Dst) : Writes(insn);

    private static int Bit(byte register) => register == IrInsn.None ? 0 : 1 << register;
}
