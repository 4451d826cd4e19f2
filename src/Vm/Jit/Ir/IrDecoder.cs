using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Turns BPF instructions into intermediate ones, one for each, and finds the functions.</summary>
internal static unsafe class IrDecoder
{
    private const int TailCallHelper = 12;

    /// <summary>Decodes a whole program.</summary>
    /// <exception cref="InvalidProgramException">A jump out of its function or an unknown opcode; the message names the slot.</exception>
    public static void Decode(ExecutableProgram program, IrProgram ir)
    {
        Insn[] insns = program.Insns;
        int[] indexOfSlot = ir.IndexOfSlot(insns.Length + 1);
        int count = 0;
        for (int slot = 0; slot < insns.Length; slot++)
        {
            indexOfSlot[slot] = count++;
            if (!insns[slot].IsLdImm64) continue;
            if (slot + 1 >= insns.Length) throw new InvalidProgramException($"insn {slot}: incomplete 64-bit load");
            indexOfSlot[++slot] = -1;
        }
        indexOfSlot[insns.Length] = count;
        ir.Begin(program, count);
        ir.Functions = Functions(program, indexOfSlot, count);
        int function = 0;
        for (int slot = 0, index = 0; slot < insns.Length; slot++, index++)
        {
            while (index >= ir.Functions[function].End) function++;
            ref IrInsn result = ref ir.Insns[index];
            result = new IrInsn { Dst = IrInsn.None, A = IrInsn.None, B = IrInsn.None, Index = IrInsn.None, Scale = 1, Slot = slot };
            int targetSlot = Translate(program, slot, ref result);
            if (result.HasTarget) result.Target = TargetIndex(indexOfSlot, insns.Length, slot, targetSlot, ir.Functions[function]);
            else if (result.Op == IrOp.CallLocal) result.Target = FunctionAt(ir.Functions, indexOfSlot, insns.Length, slot, targetSlot);
            if (insns[slot].IsLdImm64) slot++;
        }
        foreach (ref readonly IrFunction f in ir.Functions.AsSpan())
        {
            ref readonly IrInsn last = ref ir.Insns[f.End - 1];
            if (!last.EndsFlow) throw new InvalidProgramException($"insn {last.Slot}: last insn is not an exit or jmp");
        }
        ir.FindTargets();
    }

    private static IrFunction[] Functions(ExecutableProgram program, int[] indexOfSlot, int count)
    {
        int[] starts = program.FunctionStarts;
        IrFunction[] functions = new IrFunction[starts.Length];
        for (int i = 0; i < starts.Length; i++)
        {
            functions[i].Start = indexOfSlot[starts[i]];
            functions[i].End = i + 1 < starts.Length ? indexOfSlot[starts[i + 1]] : count;
        }
        return functions;
    }

    private static int TargetIndex(int[] indexOfSlot, int slots, int slot, int target, in IrFunction function)
    {
        if ((uint)target > (uint)slots || indexOfSlot[target] is var index && (index < function.Start || index >= function.End))
            throw new InvalidProgramException($"insn {slot}: jump out of range to {target}");
        return index;
    }

    private static int FunctionAt(IrFunction[] functions, int[] indexOfSlot, int slots, int slot, int target)
    {
        int index = (uint)target > (uint)slots ? -1 : indexOfSlot[target];
        for (int i = 0; i < functions.Length; i++)
            if (functions[i].Start == index) return i;
        throw new InvalidProgramException($"insn {slot}: call of {target}, where no function starts");
    }

    /// <summary>Fills one instruction; returns the slot it jumps to or calls, for those that do.</summary>
    private static int Translate(ExecutableProgram program, int slot, ref IrInsn r)
    {
        Insn insn = program.Insns[slot];
        bool is32 = insn.Class is InsnClass.Alu or InsnClass.Jmp32;
        r.Is32 = is32;
        byte dst = (byte)insn.Dst, src = (byte)insn.Src;
        if (dst > 10 || (src > 10 && insn.Class != InsnClass.Ld)) throw new InvalidProgramException($"insn {slot}: no such register");
        if (insn.Class == InsnClass.Ldx && (insn.Mode is MemMode.ProbeMem or MemMode.ProbeMemSx))
        {
            (r.Op, r.Dst, r.A, r.Off, r.Size) = (insn.Mode == MemMode.ProbeMem ? IrOp.ProbeLoad : IrOp.ProbeLoadSx, dst, src, insn.Off, (byte)insn.SizeBytes);
            return 0;
        }
        InsnOp op = InsnTable.OpOf(insn);
        switch (op)
        {
            case InsnOp.Add: Binary(ref r, IrOp.Add, insn); break;
            case InsnOp.Sub: Binary(ref r, IrOp.Sub, insn); break;
            case InsnOp.Mul: Binary(ref r, IrOp.Mul, insn); break;
            case InsnOp.Or: Binary(ref r, IrOp.Or, insn); break;
            case InsnOp.And: Binary(ref r, IrOp.And, insn); break;
            case InsnOp.Xor: Binary(ref r, IrOp.Xor, insn); break;
            case InsnOp.Lsh: Binary(ref r, IrOp.Lsh, insn); break;
            case InsnOp.Rsh: Binary(ref r, IrOp.Rsh, insn); break;
            case InsnOp.Arsh: Binary(ref r, IrOp.Arsh, insn); break;
            case InsnOp.Div: Binary(ref r, IrOp.Div, insn); break;
            case InsnOp.SDiv: Binary(ref r, IrOp.SDiv, insn); break;
            case InsnOp.Mod: Binary(ref r, IrOp.Mod, insn); break;
            case InsnOp.SMod: Binary(ref r, IrOp.SMod, insn); break;
            case InsnOp.Neg: (r.Op, r.Dst, r.A) = (IrOp.Neg, dst, dst); break;
            case InsnOp.Mov when insn.Source == OperandSource.K:
                (r.Op, r.Dst, r.Imm) = (IrOp.MovImm, dst, is32 ? (uint)insn.Imm : insn.Imm);
                break;
            // Address space casts and per-CPU addresses change nothing here: one memory, addressed directly.
            case InsnOp.Mov or InsnOp.AddrSpaceCast or InsnOp.MovPercpu:
                (r.Op, r.Dst, r.A) = (IrOp.Mov, dst, src);
                break;
            case InsnOp.MovSx: (r.Op, r.Dst, r.A, r.Size) = (IrOp.MovSx, dst, src, (byte)(insn.Off / 8)); break;
            case InsnOp.ToLe when insn.Imm == 64: (r.Op, r.Dst, r.A, r.Is32) = (IrOp.Mov, dst, dst, false); break;
            case InsnOp.ToLe when insn.Imm == 32: (r.Op, r.Dst, r.A, r.Is32) = (IrOp.Mov, dst, dst, true); break;
            case InsnOp.ToLe: (r.Op, r.Dst, r.A, r.Size) = (IrOp.MovZx, dst, dst, 2); break;
            case InsnOp.ToBe or InsnOp.Bswap:
                // The class says nothing here: be64 belongs to the 32-bit one.
                (r.Op, r.Dst, r.A, r.Size, r.Is32) = (IrOp.Bswap, dst, dst, (byte)(insn.Imm / 8), insn.Imm < 64);
                break;
            case InsnOp.LdImm64: (r.Op, r.Dst, r.Imm) = (IrOp.MovImm, dst, Load64(program, slot)); break;
            case InsnOp.Ldx:
                (r.Op, r.Dst, r.A, r.Off, r.Size) = (ProbeMem(program, slot) ? IrOp.ProbeLoad : IrOp.Load, dst, src, insn.Off, (byte)insn.SizeBytes);
                break;
            case InsnOp.LdxSx:
                (r.Op, r.Dst, r.A, r.Off, r.Size) = (ProbeMem(program, slot) ? IrOp.ProbeLoadSx : IrOp.LoadSx, dst, src, insn.Off, (byte)insn.SizeBytes);
                break;
            case InsnOp.St: (r.Op, r.A, r.Imm, r.Off, r.Size) = (IrOp.Store, dst, insn.Imm, insn.Off, (byte)insn.SizeBytes); break;
            case InsnOp.Stx: (r.Op, r.A, r.B, r.Off, r.Size) = (IrOp.Store, dst, src, insn.Off, (byte)insn.SizeBytes); break;
            case >= InsnOp.AtomicAdd and <= InsnOp.AtomicCmpxchg or InsnOp.StoreRelease:
                (r.Op, r.A, r.B, r.Off, r.Size, r.Imm) = (IrOp.Atomic, dst, src, insn.Off, (byte)insn.SizeBytes, insn.Imm);
                break;
            case InsnOp.LoadAcquire:
                (r.Op, r.Dst, r.A, r.Off, r.Size, r.Imm) = (IrOp.Atomic, dst, src, insn.Off, (byte)insn.SizeBytes, insn.Imm);
                break;
            case InsnOp.Ja: r.Op = IrOp.Jump; return slot + 1 + insn.Off;
            case InsnOp.JaLong: r.Op = IrOp.Jump; return slot + 1 + insn.Imm;
            case InsnOp.MayGoto: r.Op = IrOp.MayGoto; return slot + 1 + insn.Off;
            case InsnOp.Exit: r.Op = IrOp.Exit; break;
            case InsnOp.CallLocal: r.Op = IrOp.CallLocal; return slot + 1 + insn.Imm;
            case InsnOp.CallHelper: (r.Op, r.Imm) = (insn.Imm == TailCallHelper ? IrOp.TailCall : IrOp.CallHelper, insn.Imm); break;
            case InsnOp.CallKfunc: (r.Op, r.Imm) = (IrOp.CallKfunc, insn.Imm); break;
            case InsnOp.LdAbs: (r.Op, r.Dst, r.Size, r.Imm) = (IrOp.PacketLoad, 0, (byte)insn.SizeBytes, insn.Imm); break;
            case InsnOp.LdInd: (r.Op, r.Dst, r.Size, r.Imm, r.A) = (IrOp.PacketLoad, 0, (byte)insn.SizeBytes, insn.Imm, src); break;
            case InsnOp.Jset:
                (r.Op, r.A, r.Condition) = (IrOp.BranchTest, dst, X86Condition.NotEqual);
                Operand(ref r, insn);
                return slot + 1 + insn.Off;
            case >= InsnOp.Jeq and <= InsnOp.Jsle:
                (r.Op, r.A, r.Condition) = (IrOp.Branch, dst, ConditionOf(op));
                Operand(ref r, insn);
                return slot + 1 + insn.Off;
            default:
                throw new InvalidProgramException($"insn {slot}: unknown opcode {insn.Code:x2}");
        }
        return 0;
    }

    private static bool ProbeMem(ExecutableProgram program, int slot) => slot < program.Facts.Length && program.Facts[slot].ProbeMem;

    private static void Binary(ref IrInsn r, IrOp op, Insn insn)
    {
        (r.Op, r.Dst, r.A) = (op, (byte)insn.Dst, (byte)insn.Dst);
        Operand(ref r, insn);
        if (op is not (IrOp.Lsh or IrOp.Rsh or IrOp.Arsh) || r.B != IrInsn.None) return;
        r.Imm &= r.Is32 ? 31 : 63;
    }

    private static void Operand(ref IrInsn r, Insn insn)
    {
        if (insn.Source == OperandSource.X) r.B = (byte)insn.Src;
        else r.Imm = insn.Imm;
    }

    private static X86Condition ConditionOf(InsnOp op) => op switch
    {
        InsnOp.Jeq => X86Condition.Equal,
        InsnOp.Jne => X86Condition.NotEqual,
        InsnOp.Jgt => X86Condition.Above,
        InsnOp.Jge => X86Condition.AboveEqual,
        InsnOp.Jlt => X86Condition.Below,
        InsnOp.Jle => X86Condition.BelowEqual,
        InsnOp.Jsgt => X86Condition.Greater,
        InsnOp.Jsge => X86Condition.GreaterEqual,
        InsnOp.Jslt => X86Condition.Less,
        _ => X86Condition.LessEqual,
    };

    private static long Load64(ExecutableProgram program, int slot)
    {
        Insn low = program.Insns[slot], high = program.Insns[slot + 1];
        switch ((PseudoSource)low.Src)
        {
            case PseudoSource.MapFd or PseudoSource.MapIdx:
                return (long)MapAt(program, slot, low.Imm).Header;
            case PseudoSource.MapValue or PseudoSource.MapIdxValue:
                return (long)MapAt(program, slot, low.Imm).Header->Data + (uint)high.Imm;
            case PseudoSource.Func:
                return slot + 1 + low.Imm;
            default:
                return (uint)low.Imm | (long)high.Imm << 32;
        }
    }

    private static Maps.BpfMap MapAt(ExecutableProgram program, int slot, int index) =>
        (uint)index < (uint)program.Maps.Length ? program.Maps[index]
        : throw new InvalidProgramException($"insn {slot}: map {index} is not one of the program's {program.Maps.Length}");
}
