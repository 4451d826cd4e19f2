using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Arithmetic and moves on numbers.
internal sealed partial class ProgramVerifier
{
    private const int AddressSpaceCast = 1;

    /// <summary>Checks that a register may be used so; reading an uninitialised one is rejected.</summary>
    private void CheckRegArg(int regno, RegUse use)
    {
        if (regno > 10) Reject(Errno.EINVAL, $"R{regno} is invalid");
        _scratchedRegs |= 1u << regno;
        if (use == RegUse.Source)
        {
            if (Regs[regno].Type == RegType.NotInit) Reject(Errno.EACCES, $"R{regno} !read_ok");
            return;
        }

        if (regno == 10) Reject(Errno.EACCES, "frame pointer is read only");
        if (use == RegUse.Destination) MarkRegUnknown(regno);
    }

    private static string AluText(AluOp op) => op switch
    {
        AluOp.Add => "+=",
        AluOp.Sub => "-=",
        AluOp.Mul => "*=",
        AluOp.Div => "/=",
        AluOp.Or => "|=",
        AluOp.And => "&=",
        AluOp.Lsh => "<<=",
        AluOp.Rsh => ">>=",
        AluOp.Neg => "neg",
        AluOp.Mod => "%=",
        AluOp.Xor => "^=",
        AluOp.Mov => "=",
        AluOp.Arsh => "s>>=",
        _ => "endian",
    };

    /// <summary>Gives a number an id before it is copied, so that the copies stay linked.</summary>
    private void AssignScalarId(ref RegisterState reg)
    {
        if (reg.Type != RegType.Scalar) return;
        // A register that already is "sibling plus constant" cannot be the base of another relation.
        if ((reg.Id & RegisterState.AddConst) != 0) ClearScalarId(ref reg);
        if (reg.Id == 0 && !reg.IsConst) reg.Id = NewId();
    }

    private static void ClearScalarId(ref RegisterState reg)
    {
        reg.Id = 0;
        reg.Off = 0;
    }

    private void CheckAlu(in Insn insn)
    {
        AluOp op = insn.AluOp;
        switch (op)
        {
            case AluOp.Neg or AluOp.End: CheckUnary(insn); break;
            case AluOp.Mov: CheckMov(insn); break;
            case > AluOp.End: Reject(Errno.EINVAL, $"invalid BPF_ALU opcode {(int)op:x}"); break;
            default: CheckBinary(insn); break;
        }

        CheckBoundsSanity(ref Regs[insn.Dst], "alu");
    }

    private void CheckUnary(in Insn insn)
    {
        int dst = insn.Dst;
        if (insn.AluOp == AluOp.Neg)
        {
            if (insn.Source != OperandSource.K || insn.Src != 0 || insn.Off != 0 || insn.Imm != 0)
                Reject(Errno.EINVAL, "BPF_NEG uses reserved fields");
        }
        else if (insn.Src != 0 || insn.Off != 0 || insn.Imm is not (16 or 32 or 64)
            || (insn.Class == InsnClass.Alu64 && insn.Source != OperandSource.K))
        {
            Reject(Errno.EINVAL, "BPF_END uses reserved fields");
        }

        CheckRegArg(dst, RegUse.Source);
        if (IsPointerValue(dst)) Reject(Errno.EACCES, $"R{dst} pointer arithmetic prohibited");
        if (Regs[dst].Type != RegType.Scalar)
        {
            CheckRegArg(dst, RegUse.Destination);
            return;
        }

        CheckRegArg(dst, RegUse.DestinationNoMark);
        ref RegisterState reg = ref Regs[dst];
        bool is32 = insn.Class == InsnClass.Alu;
        bool swap = !is32 || insn.Source == OperandSource.X;
        // On a little-endian machine "to little endian" of all 64 bits changes nothing.
        if (insn.AluOp == AluOp.End && !swap && insn.Imm == 64) return;
        if (insn.AluOp == AluOp.Neg) reg.Bounds.Apply(AluOp.Neg, is32, reg.Bounds);
        else reg.Bounds.ByteSwap(insn.Imm, swap);
        ClearScalarId(ref reg);
    }

    private void CheckMov(in Insn insn)
    {
        bool is64 = insn.Class == InsnClass.Alu64;
        if (insn.Source == OperandSource.X)
        {
            if (is64 && insn.Off == AddressSpaceCast)
            {
                if (insn.Imm is not (1 or 1 << 16))
                    Reject(Errno.EINVAL, "addr_space_cast insn can only convert between address space 1 and 0");
                if (!Maps.Exists(m => m.Type == MapType.Arena))
                    Reject(Errno.EINVAL, "addr_space_cast insn can only be used in a program that has an associated arena");
            }
            else if (insn.Imm != 0 || !(insn.Off is 0 or 8 or 16 || (is64 && insn.Off == 32)))
            {
                Reject(Errno.EINVAL, "BPF_MOV uses reserved fields");
            }

            CheckRegArg(insn.Src, RegUse.Source);
        }
        else if (insn.Src != 0 || insn.Off != 0)
        {
            Reject(Errno.EINVAL, "BPF_MOV uses reserved fields");
        }

        CheckRegArg(insn.Dst, RegUse.DestinationNoMark);
        if (insn.Source == OperandSource.K)
        {
            ref RegisterState constant = ref Regs[insn.Dst];
            constant = default;
            constant.Type = RegType.Scalar;
            constant.Precise = !BpfCapable;
            constant.Bounds = ScalarRange.Const(is64 ? (ulong)insn.Imm : (uint)insn.Imm);
        }
        else if (is64) MoveWide(insn);
        else MoveNarrow(insn);
    }

    private void MoveWide(in Insn insn)
    {
        ref RegisterState src = ref Regs[insn.Src], dst = ref Regs[insn.Dst];
        if (insn.Imm != 0)
        {
            MarkRegUnknown(insn.Dst);
            if (insn.Imm == 1) dst.Type = RegType.PtrToArena;
        }
        else if (insn.Off == 0)
        {
            AssignScalarId(ref src);
            dst = src;
        }
        else if (IsPointerValue(src))
        {
            Reject(Errno.EACCES, $"R{insn.Src} sign-extension part of pointer");
        }
        else if (src.Type == RegType.Scalar)
        {
            bool same = src.UMax < 1ul << (insn.Off - 1);
            if (same) AssignScalarId(ref src);
            dst = src;
            if (!same) ClearScalarId(ref dst);
            dst.Bounds.SignExtend64(insn.Off / 8);
        }
        else
        {
            MarkRegUnknown(insn.Dst);
        }
    }

    private void MoveNarrow(in Insn insn)
    {
        ref RegisterState src = ref Regs[insn.Src], dst = ref Regs[insn.Dst];
        if (IsPointerValue(src)) Reject(Errno.EACCES, $"R{insn.Src} partial copy of pointer");
        if (src.Type == RegType.Scalar)
        {
            bool same = insn.Off == 0 ? WidthOf(src) <= 32 : src.UMax < 1ul << (insn.Off - 1);
            if (same) AssignScalarId(ref src);
            dst = src;
            if (!same) ClearScalarId(ref dst);
            if (insn.Off != 0) dst.Bounds.SignExtend32(insn.Off / 8);
        }
        else
        {
            MarkRegUnknown(insn.Dst);
        }

        dst.Bounds.ZeroExtend32();
        dst.Bounds.Sync();
    }

    private void CheckBinary(in Insn insn)
    {
        AluOp op = insn.AluOp;
        bool divides = op is AluOp.Mod or AluOp.Div, reservedOff = !(insn.Off == 0 || (insn.Off == 1 && divides));
        if (insn.Source == OperandSource.X)
        {
            if (insn.Imm != 0 || reservedOff) Reject(Errno.EINVAL, "BPF_ALU uses reserved fields");
            CheckRegArg(insn.Src, RegUse.Source);
        }
        else if (insn.Src != 0 || reservedOff)
        {
            Reject(Errno.EINVAL, "BPF_ALU uses reserved fields");
        }

        CheckRegArg(insn.Dst, RegUse.Source);
        if (divides && insn.Source == OperandSource.K && insn.Imm == 0) Reject(Errno.EINVAL, "div by zero");
        if (op is AluOp.Lsh or AluOp.Rsh or AluOp.Arsh && insn.Source == OperandSource.K)
        {
            int width = insn.Class == InsnClass.Alu64 ? 64 : 32;
            if (insn.Imm < 0 || insn.Imm >= width) Reject(Errno.EINVAL, $"invalid shift {insn.Imm}");
        }

        CheckRegArg(insn.Dst, RegUse.DestinationNoMark);
        if (Regs[insn.Dst].Type == RegType.PtrToArena) Aux[InsnIdx].InArena |= insn.Class == InsnClass.Alu64;
        else Adjust(insn);
    }

    private void Adjust(in Insn insn)
    {
        ref RegisterState dst = ref Regs[insn.Dst];
        bool pointer = dst.Type != RegType.Scalar;
        ScalarRange source;
        if (insn.Source == OperandSource.X)
        {
            ref RegisterState src = ref Regs[insn.Src];
            if (src.Type != RegType.Scalar)
            {
                if (pointer)
                {
                    if (insn.AluOp == AluOp.Sub && AllowPtrLeaks)
                    {
                        MarkRegUnknown(insn.Dst);
                        return;
                    }

                    Reject(Errno.EACCES, $"R{insn.Dst} pointer {AluText(insn.AluOp)} pointer prohibited");
                }

                MarkChainPrecision(insn.Dst);
                AdjustPointer(insn, src, dst, offsetIsDestination: true);
                return;
            }

            if (pointer)
            {
                MarkChainPrecision(insn.Src);
                AdjustPointer(insn, dst, src, offsetIsDestination: false);
                return;
            }

            if (dst.Precise) MarkChainPrecision(insn.Src);
            source = src.Bounds;
        }
        else
        {
            source = ScalarRange.Const((ulong)insn.Imm);
            if (pointer)
            {
                AdjustPointer(insn, dst, new RegisterState { Type = RegType.Scalar, Bounds = source }, offsetIsDestination: false);
                return;
            }
        }

        AdjustScalar(insn, ref dst, source);
    }

    private void AdjustScalar(in Insn insn, ref RegisterState dst, in ScalarRange source)
    {
        bool is32 = insn.Class == InsnClass.Alu;
        if (!ScalarRange.CanCompute(insn.AluOp, is32, source))
        {
            dst.MarkUnknown(!BpfCapable);
            return;
        }

        SanitizeScalarAlu(insn);
        if (insn.AluOp is AluOp.And or AluOp.Or && source.IsConst) ForkSignMask(insn, ref dst);
        bool wide = dst.UMax > uint.MaxValue;
        dst.Bounds.Apply(insn.AluOp, is32, source);

        LinkByConstant(insn, ref dst, source, is32, wide);
    }

    // An arithmetic shift by all bits leaves 0 or -1, and a mask chooses by it: both are walked apart.
    private void ForkSignMask(in Insn insn, ref RegisterState dst)
    {
        bool whole = dst.SMin == -1 && dst.SMax == 0;
        if (!whole && !(dst.Bounds.S32Min == -1 && dst.Bounds.S32Max == 0)) return;
        ref RegisterState zero = ref PushState(InsnIdx, InsnIdx, false).Current.Regs[insn.Dst];
        if (whole)
        {
            zero.MarkKnown(0);
            dst.MarkKnown(ulong.MaxValue);
        }
        else
        {
            zero.Bounds.SetSubregConst(0);
            dst.Bounds.SetSubregConst(uint.MaxValue);
        }
    }

    // r1 = r2; r1 += 1; if r2 < 1000: what is learnt of r2 holds for r1, shifted by the constant.
    private void LinkByConstant(in Insn insn, ref RegisterState dst, in ScalarRange source, bool is32, bool wide)
    {
        bool twice = insn.Source == OperandSource.X && insn.Src == insn.Dst;
        bool known = is32 ? source.IsSubregConst : source.IsConst;
        if (!BpfCapable || insn.AluOp is not (AluOp.Add or AluOp.Sub) || dst.Id == 0 || !known || twice
            || (dst.Id & RegisterState.AddConst) != 0 || (is32 && wide))
        {
            ClearScalarId(ref dst);
            return;
        }

        long delta = is32 ? (int)source.VarOff.Value : (long)source.VarOff.Value;
        if (delta is < int.MinValue or > int.MaxValue || (insn.AluOp == AluOp.Sub && delta == int.MinValue))
        {
            ClearScalarId(ref dst);
            return;
        }

        dst.Id |= is32 ? RegisterState.AddConst32 : RegisterState.AddConst64;
        dst.Off = (int)(insn.AluOp == AluOp.Sub ? -delta : delta);
    }

    /// <summary>A contradiction means that the path is dead; the kernel says so and forgets the intervals, or stops if it was asked to.</summary>
    private void CheckBoundsSanity(ref RegisterState reg, string where)
    {
        if (reg.Bounds.FindViolation() is not { } violation) return;
        if (TestRegInvariants || Log.Enabled)
        {
            string bug = $"REG INVARIANTS VIOLATION ({where}): {violation} {reg.Bounds.DescribeIntervals()}";
            if (TestRegInvariants) RejectBug(bug);
            Verbose($"verifier bug: {bug}\n");
        }

        reg.Bounds.Unbound();
    }
}
