using System.Numerics;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// Division and modulo: by 0 a quotient is 0 and a remainder the dividend; INT_MIN / -1 is INT_MIN, its
/// remainder 0. x86 faults on both, so both are tested in the emitted code. Constant divisors become
/// multiplications by a rounded-up reciprocal (Granlund and Montgomery, "Division by invariant integers
/// using multiplication", 1994).
/// </summary>
internal sealed partial class JitCompiler
{
    private void EmitDivision(in IrInsn n)
    {
        bool signed = n.Op is IrOp.SDiv or IrOp.SMod, modulo = n.Op is IrOp.Mod or IrOp.SMod;
        if (n.B != IrInsn.None)
        {
            EmitDivide(n, signed, modulo);
            return;
        }
        long divisor = n.Is32 ? signed ? (int)n.Imm : (uint)n.Imm : n.Imm;
        if (divisor == 0)
        {
            if (modulo) _e.MovRR(R(n.Dst), R(n.A), !n.Is32);
            else _e.MovRI(R(n.Dst), 0);
        }
        else if (!_options.ReciprocalDivision)
        {
            EmitDivide(n, signed, modulo);
        }
        else if (signed)
        {
            EmitSignedByConstant(n, divisor, modulo);
        }
        else
        {
            EmitUnsignedByConstant(n, (ulong)divisor, modulo);
        }
    }

    // ---- unsigned ----

    private void EmitUnsignedByConstant(in IrInsn n, ulong divisor, bool modulo)
    {
        bool wide = !n.Is32;
        if (BitOperations.IsPow2(divisor))
        {
            int shift = BitOperations.TrailingZeroCount(divisor);
            if (modulo) EmitMask(n, divisor - 1);
            else
            {
                _e.MovRR(R(n.Dst), R(n.A), wide);
                if (shift > 0) _e.ShiftRI(X86Shift.Shr, R(n.Dst), shift, wide);
            }
            return;
        }
        // The quotient is made in Scratch0; then dst = quotient, or a - quotient * divisor.
        if (n.Is32 || n.Size == 4) UnsignedQuotient32(R(n.A), (uint)divisor, wide);
        else UnsignedQuotient64(n, divisor);
        FinishByConstant(n, (long)divisor, modulo);
    }

    private void EmitMask(in IrInsn n, ulong mask)
    {
        X86Register d = R(n.Dst);
        if (mask <= int.MaxValue)
        {
            _e.MovRR(d, R(n.A), false);
            _e.AluRI(X86Alu.And, d, (int)mask, false);
        }
        else
        {
            _e.MovRI(Scratch0, (long)mask);
            Move(n.Dst, n.A, n.Is32);
            _e.AluRR(X86Alu.And, d, Scratch0, !n.Is32);
        }
    }

    /// <summary>Scratch0 = the 32-bit value of a, divided: one 64-bit multiplication and a shift.</summary>
    private void UnsignedQuotient32(X86Register a, uint divisor, bool upperClear)
    {
        int bits = 32 - BitOperations.LeadingZeroCount(divisor - 1);
        UInt128 power = (UInt128)1 << (32 + bits);
        ulong magic = (ulong)((power + divisor - 1) / divisor);
        // Fewer bits are enough if the reciprocal has them to spare.
        int shift = 32 + bits;
        while ((magic & 1) == 0 && shift > 32 && magic > uint.MaxValue)
        {
            magic >>= 1;
            shift--;
        }
        if (magic > uint.MaxValue && TryShorterMagic(divisor, out ulong shorter, out int shorterShift)) (magic, shift) = (shorter, shorterShift);
        X86Register value = a;
        if (!upperClear && !IsUpperClear(a))
        {
            _e.MovRR(Scratch1, a, false);
            value = Scratch1;
        }
        if (magic <= int.MaxValue)
        {
            _e.ImulRRI(Scratch0, value, (int)magic, true);
            _e.ShiftRI(X86Shift.Shr, Scratch0, shift, true);
        }
        else if (magic <= uint.MaxValue)
        {
            _e.MovRI(Scratch0, (long)magic);
            _e.Imul(Scratch0, value, true);
            _e.ShiftRI(X86Shift.Shr, Scratch0, shift, true);
        }
        else
        {
            // 33 bits: the top one is added by hand. value + (value * low >> 32) fits in 33 bits.
            _e.MovRI(Scratch0, (uint)magic);
            _e.Imul(Scratch0, value, true);
            _e.ShiftRI(X86Shift.Shr, Scratch0, 32, true);
            _e.AluRR(X86Alu.Add, Scratch0, value, true);
            _e.ShiftRI(X86Shift.Shr, Scratch0, shift - 32, true);
        }
    }

    /// <summary>A reciprocal of 32 bits, where one that is exact for all 32-bit dividends exists.</summary>
    private static bool TryShorterMagic(uint divisor, out ulong magic, out int shift)
    {
        for (shift = 32; shift < 64; shift++)
        {
            UInt128 power = (UInt128)1 << shift;
            UInt128 candidate = (power + divisor - 1) / divisor;
            // Exact for all x < 2^32 if the error, times 2^32, stays below the power.
            UInt128 error = candidate * divisor - power;
            if (candidate > uint.MaxValue) break;
            if (error << 32 > power) continue;
            magic = (ulong)candidate;
            return true;
        }
        magic = 0;
        return false;
    }

    /// <summary>Whether the upper half is clear for another reason than the operation's width.</summary>
    private bool IsUpperClear(X86Register register)
    {
        int bpf = Array.IndexOf(Registers, register);
        return (_program.UpperClear[_index] & (1 << bpf)) != 0;
    }

    /// <summary>Scratch0 = a / divisor with the high half of a 64-bit multiplication.</summary>
    private void UnsignedQuotient64(in IrInsn n, ulong divisor)
    {
        X86Register a = R(n.A);
        int before = 0;
        if (!Magic64(divisor, 64, out ulong magic, out int after))
        {
            // An even divisor loses its zeros first, which saves the 65th bit. (Without mulx no register is free for that.)
            before = _options.Bmi2 ? BitOperations.TrailingZeroCount(divisor) : 0;
            if (before > 0 && Magic64(divisor >> before, 64 - before, out ulong shorter, out int shorterAfter)) (magic, after) = (shorter, shorterAfter);
            else before = 0;
        }
        bool wide65 = before == 0 && !Magic64(divisor, 64, out _, out _);
        X86Register value = a;
        if (before > 0)
        {
            _e.MovRR(Scratch1, a, true);
            _e.ShiftRI(X86Shift.Shr, Scratch1, before, true);
            value = Scratch1;
        }
        MultiplyHigh(n, value, magic, signed: false);
        if (wide65)
        {
            // quotient = (((a - high) >> 1) + high) >> (after - 1)
            _e.MovRR(Scratch1, a, true);
            _e.AluRR(X86Alu.Sub, Scratch1, Scratch0, true);
            _e.ShiftRI(X86Shift.Shr, Scratch1, 1, true);
            _e.AluRR(X86Alu.Add, Scratch0, Scratch1, true);
            if (after > 1) _e.ShiftRI(X86Shift.Shr, Scratch0, after - 1, true);
        }
        else if (after > 0)
        {
            _e.ShiftRI(X86Shift.Shr, Scratch0, after, true);
        }
    }

    /// <summary>
    /// The smallest reciprocal that is exact for dividends of so many bits: false if it needs 65 bits (then
    /// <paramref name="magic"/> holds the low 64 of them).
    /// </summary>
    private static bool Magic64(ulong divisor, int dividendBits, out ulong magic, out int shift)
    {
        int log = 64 - BitOperations.LeadingZeroCount(divisor - 1);
        for (shift = 0; shift < log; shift++)
        {
            (UInt128 quotient, UInt128 remainder) = UInt128.DivRem((UInt128)1 << (64 + shift), divisor);
            UInt128 candidate = quotient + (remainder == 0 ? UInt128.Zero : UInt128.One);
            UInt128 error = candidate * divisor - ((UInt128)1 << (64 + shift));
            if (candidate > ulong.MaxValue || error > (UInt128)1 << (64 + shift - dividendBits)) continue;
            magic = (ulong)candidate;
            return true;
        }
        shift = log;
        // 2^64 is taken off before the division, because 2^(64 + 64) does not fit in 128 bits.
        UInt128 numerator = (((UInt128)1 << log) - divisor) << 64;
        magic = (ulong)(numerator / divisor) + 1;
        return false;
    }

    /// <summary>Scratch0 = high half of value * magic; value is not Scratch0.</summary>
    private void MultiplyHigh(in IrInsn n, X86Register value, ulong magic, bool signed)
    {
        bool saveRdx = LiveAfter(3) && n.Dst != 3 || n.A == 3, saveRax = LiveAfter(0) && n.Dst != 0 || n.A == 0;
        if (!signed && _options.Bmi2)
        {
            if (value == Rdx)
            {
                _e.MovRI(Scratch0, (long)magic);
                _e.Mulx(Scratch0, Scratch2, Scratch0, true);
                return;
            }
            if (saveRdx) _e.MovRR(Scratch2, Rdx, true);
            _e.MovRI(Rdx, (long)magic);
            // The same register twice gets the high half.
            _e.Mulx(Scratch0, Scratch0, value, true);
            if (saveRdx) _e.MovRR(Rdx, Scratch2, true);
            return;
        }
        // No push: the stack below rsp may be the function's own.
        X86Register factor = value == Rdx ? Scratch2 : value;
        _e.MovRR(Scratch2, Rdx, true);
        if (value == Rax)
        {
            if (saveRax) _e.MovRR(Scratch1, Rax, true);
            _e.MovRI(Scratch0, (long)magic);
            MulOrImul(Scratch0, signed);
        }
        else
        {
            if (saveRax) _e.MovRR(Scratch1, Rax, true);
            _e.MovRI(Rax, (long)magic);
            MulOrImul(factor, signed);
        }
        _e.MovRR(Scratch0, Rdx, true);
        if (saveRax) _e.MovRR(Rax, Scratch1, true);
        if (saveRdx) _e.MovRR(Rdx, Scratch2, true);
    }

    private void MulOrImul(X86Register factor, bool signed)
    {
        if (signed) _e.Imul1(factor, true);
        else _e.Mul(factor, true);
    }

    /// <summary>dst = the quotient in Scratch0, or the remainder that goes with it.</summary>
    private void FinishByConstant(in IrInsn n, long divisor, bool modulo)
    {
        X86Register d = R(n.Dst);
        bool wide = !n.Is32;
        if (!modulo)
        {
            _e.MovRR(d, Scratch0, wide);
            return;
        }
        if (divisor == (int)divisor)
        {
            if (divisor is 3 or 5 or 9) _e.Lea(Scratch0, new X86Memory(Scratch0, 0, Scratch0, (int)divisor - 1), wide);
            else _e.ImulRRI(Scratch0, Scratch0, (int)divisor, wide);
        }
        else
        {
            _e.MovRI(Scratch1, divisor);
            _e.Imul(Scratch0, Scratch1, wide);
        }
        Move(n.Dst, n.A, n.Is32);
        _e.AluRR(X86Alu.Sub, d, Scratch0, wide);
        SetFlags(n.Dst, n.Is32);
    }

    // ---- signed ----

    private void EmitSignedByConstant(in IrInsn n, long divisor, bool modulo)
    {
        X86Register d = R(n.Dst), a = R(n.A);
        bool wide = !n.Is32;
        if (divisor == 1 || divisor == -1)
        {
            if (modulo)
            {
                _e.MovRI(d, 0);
                return;
            }
            _e.MovRR(d, a, wide);
            if (divisor < 0) _e.Neg(d, wide);
            return;
        }
        ulong magnitude = divisor < 0 ? 0 - (ulong)divisor : (ulong)divisor;
        int bits = wide ? 64 : 32;
        if (BitOperations.IsPow2(magnitude))
        {
            // Rounding toward zero: add divisor - 1 to negative dividends before the shift.
            int shift = BitOperations.TrailingZeroCount(magnitude);
            _e.MovRR(Scratch0, a, wide);
            if (shift > 1) _e.ShiftRI(X86Shift.Sar, Scratch0, bits - 1, wide);
            _e.ShiftRI(X86Shift.Shr, Scratch0, bits - shift, wide);
            _e.AluRR(X86Alu.Add, Scratch0, a, wide);
            _e.ShiftRI(X86Shift.Sar, Scratch0, shift, wide);
            if (!modulo)
            {
                if (divisor < 0) _e.Neg(Scratch0, wide);
                _e.MovRR(d, Scratch0, wide);
                return;
            }
            _e.ShiftRI(X86Shift.Shl, Scratch0, shift, wide);
            Move(n.Dst, n.A, n.Is32);
            _e.AluRR(X86Alu.Sub, d, Scratch0, wide);
            return;
        }
        if (n.Is32) SignedQuotient32(a, (uint)magnitude);
        else SignedQuotient64(n, magnitude);
        if (divisor < 0 && !modulo) _e.Neg(Scratch0, wide);
        // A remainder has the dividend's sign whatever the divisor's.
        FinishByConstant(n, modulo ? (long)magnitude : divisor, modulo);
    }

    private void SignedQuotient32(X86Register a, uint divisor)
    {
        // ceil(2^(32 + log) / divisor) has at most 33 bits and is exact for |x| <= 2^31.
        int log = 31 - BitOperations.LeadingZeroCount(divisor);
        ulong magic = (ulong)((((UInt128)1 << (32 + log)) / divisor) + 1);
        _e.MovSx(Scratch1, a, 4, true);
        if (magic <= int.MaxValue)
        {
            _e.ImulRRI(Scratch0, Scratch1, (int)magic, true);
        }
        else
        {
            _e.MovRI(Scratch0, (long)magic);
            _e.Imul(Scratch0, Scratch1, true);
        }
        _e.ShiftRI(X86Shift.Sar, Scratch0, 32 + log, true);
        _e.ShiftRI(X86Shift.Shr, Scratch1, 63, true);
        _e.AluRR(X86Alu.Add, Scratch0, Scratch1, false);
    }

    private void SignedQuotient64(in IrInsn n, ulong divisor)
    {
        int log = 63 - BitOperations.LeadingZeroCount(divisor);
        ulong magic = (ulong)((((UInt128)1 << (64 + log)) / divisor) + 1);
        MultiplyHigh(n, R(n.A), magic, signed: true);
        // The reciprocal is at least 2^63, so as a signed factor it was 2^64 too small.
        if ((long)magic < 0) _e.AluRR(X86Alu.Add, Scratch0, R(n.A), true);
        if (log > 0) _e.ShiftRI(X86Shift.Sar, Scratch0, log, true);
        _e.MovRR(Scratch1, R(n.A), true);
        _e.ShiftRI(X86Shift.Shr, Scratch1, 63, true);
        _e.AluRR(X86Alu.Add, Scratch0, Scratch1, true);
    }

    // ---- by the divide instruction ----

    private void EmitDivide(in IrInsn n, bool signed, bool modulo)
    {
        X86Register d = R(n.Dst), a = R(n.A);
        bool wide = !n.Is32;
        bool constant = n.B == IrInsn.None;
        // The divisor must survive in a register that is neither rax nor rdx.
        X86Register b = constant ? Scratch1 : R(n.B);
        if (constant)
        {
            _e.MovRI(Scratch1, n.Imm);
        }
        else if (b is Rax or Rdx)
        {
            _e.MovRR(Scratch1, b, true);
            b = Scratch1;
        }
        bool saveRax = d != Rax && LiveAfter(0), saveRdx = d != Rdx && LiveAfter(3);
        int done = _e.NewLabel();
        if (!constant)
        {
            if (signed) EmitRareSigned(n, b, done, modulo);
            else EmitRareZero(n, b, done, modulo);
        }
        else if (signed && (n.Is32 ? (int)n.Imm : n.Imm) == -1)
        {
            if (modulo) _e.MovRI(d, 0);
            else
            {
                _e.MovRR(d, a, wide);
                _e.Neg(d, wide);
            }
            return;
        }
        if (saveRax) _e.MovRR(Scratch0, Rax, true);
        if (saveRdx) _e.MovRR(Scratch2, Rdx, true);
        if (a != Rax) _e.MovRR(Rax, a, wide);
        if (signed)
        {
            _e.SignExtendRax(wide);
            _e.Idiv(b, wide);
        }
        else
        {
            _e.MovRI(Rdx, 0);
            _e.Div(b, wide);
        }
        _e.MovRR(d, modulo ? Rdx : Rax, true);
        if (saveRax) _e.MovRR(Rax, Scratch0, true);
        if (saveRdx) _e.MovRR(Rdx, Scratch2, true);
        _e.Bind(done);
        _flagsPosition = -1;
    }

    private void EmitRareZero(IrInsn n, X86Register b, int done, bool modulo)
    {
        int zero = _e.NewLabel();
        _e.TestRR(b, b, !n.Is32);
        _e.Jcc(X86Condition.Equal, zero);
        _cold.Add(() =>
        {
            _e.Bind(zero);
            ZeroDivisorResult(n, modulo);
            _e.Jmp(done);
        });
    }

    private void EmitRareSigned(IrInsn n, X86Register b, int done, bool modulo)
    {
        // One test for 0 and -1: both are at most 1 when 1 is added.
        int rare = _e.NewLabel();
        bool wide = !n.Is32;
        _e.Lea(Scratch0, new X86Memory(b, 1), wide);
        _e.AluRI(X86Alu.Cmp, Scratch0, 1, wide);
        _e.Jcc(X86Condition.BelowEqual, rare);
        _cold.Add(() =>
        {
            int minusOne = _e.NewLabel();
            _e.Bind(rare);
            _e.TestRR(b, b, wide);
            _e.Jcc(X86Condition.NotEqual, minusOne);
            ZeroDivisorResult(n, modulo);
            _e.Jmp(done);
            _e.Bind(minusOne);
            if (modulo) _e.MovRI(R(n.Dst), 0);
            else
            {
                _e.MovRR(R(n.Dst), R(n.A), wide);
                _e.Neg(R(n.Dst), wide);
            }
            _e.Jmp(done);
        });
    }

    private void ZeroDivisorResult(in IrInsn n, bool modulo)
    {
        if (modulo) _e.MovRR(R(n.Dst), R(n.A), !n.Is32);
        else _e.MovRI(R(n.Dst), 0);
    }
}
