using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Which registers are read later: backward data flow over each function.</summary>
internal static class Liveness
{
    private const int Arguments = 0b111110, CallerSaved = 0b111111;

    // An effect: registers read, registers written, whether it goes when nobody reads its result, whether it is a jump or an end.
    private const uint AllRegisters = 0x1fff, Removable = 1u << 30, Flow = 1u << 31;
    private const int WritesShift = 13;

    /// <summary>Fills <see cref="IrProgram.LiveAfter"/> by walking backward until no block changes.</summary>
    public static void Compute(IrProgram program, bool withDeadCode = false)
    {
        IrInsn[] insns = program.Insns;
        ushort[] liveAfter = program.LiveAfter, liveAtTarget = program.AtTarget(0);
        bool[] isTarget = program.IsTarget, isBackTarget = program.IsBackTarget;
        uint[] effects = program.Effects;
        DescribeEffects(program, withDeadCode);
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            bool changed = true;
            while (changed)
            {
                changed = false;
                uint live = 0;
                for (int i = function.End - 1; i >= function.Start; i--)
                {
                    uint effect = effects[i];
                    if ((effect & Flow) != 0)
                    {
                        ref readonly IrInsn insn = ref insns[i];
                        if (insn.EndsFlow) live = 0;
                        if (insn.HasTarget) live |= liveAtTarget[insn.Target];
                    }
                    liveAfter[i] = (ushort)live;
                    uint writes = (effect >> WritesShift) & AllRegisters;
                    // What nobody reads will be removed, and so needs nothing.
                    if ((effect & Removable) == 0 || (live & writes) != 0) live = (live & ~writes) | (effect & AllRegisters);
                    if (!isTarget[i] || liveAtTarget[i] == live) continue;
                    liveAtTarget[i] = (ushort)live;
                    // Jumps from further up have yet to be seen; only those from further down have been.
                    changed |= isBackTarget[i];
                }
            }
        }
    }

    private static void DescribeEffects(IrProgram program, bool withDeadCode)
    {
        ReadOnlySpan<IrInsn> insns = program.Insns.AsSpan(0, program.Count);
        Span<uint> effects = program.Effects.AsSpan(0, insns.Length);
        uint removable = withDeadCode ? Removable : 0;
        for (int i = 0; i < insns.Length; i++)
        {
            ref readonly IrInsn insn = ref insns[i];
            uint effect = 0;
            if (IsPlain(insn.Op))
            {
                effect = Mask(Bit(insn.A) | Bit(insn.B) | Bit(insn.Index)) | (Mask(Bit(insn.Dst)) << WritesShift);
                if (insn.Op <= IrOp.LoadSx) effect |= removable;
            }
            else if (insn.Op != IrOp.Nop)
            {
                effect = Mask(Reads(insn, program.Source)) | (Mask(Writes(insn)) << WritesShift);
                if (insn.IsPure && insn.Op != IrOp.Select) effect |= removable;
                if (insn.HasTarget || insn.EndsFlow) effect |= Flow;
            }
            effects[i] = effect;
        }
    }

    /// <summary>All registers that an instruction reads or may write.</summary>
    public static int Touches(in IrInsn insn, Programs.ExecutableProgram source)
    {
        if (IsPlain(insn.Op)) return Bit(insn.A) | Bit(insn.B) | Bit(insn.Index) | Bit(insn.Dst);
        return insn.Op == IrOp.Nop ? 0 : Reads(insn, source) | MayWrite(insn);
    }

    /// <summary>Whether an operation reads A, B and Index and writes Dst, as far as it has them, and nothing else.</summary>
    private static bool IsPlain(IrOp op) => op is > IrOp.Nop and < IrOp.Atomic and not IrOp.MovImm;

    private static uint Mask(int registers) => (uint)registers & AllRegisters;

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
                int count = source.Verified && table.Find((int)insn.Imm) is { IsVariadic: false } row ? row.Args.Length : 5;
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

    /// <summary>The register's bit, without a branch: that of <see cref="IrInsn.None"/> is shifted out of sight.</summary>
    private static int Bit(byte register) => (int)(1L << register) & (int)AllRegisters;
}
