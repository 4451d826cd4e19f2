using System.Buffers.Binary;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier.Domains;

// What arithmetic does to a set of numbers. Each operation is done on both widths, and 32-bit ones then
// clear the high half; a view that cannot be computed forgets what it knew.
internal partial struct ScalarRange
{
    /// <summary>
    /// Whether the result of an operation can be described at all: shifts need one known amount, and the
    /// whole of it, high half and all, must be below the width; and nothing is known of quotients, remainders and byte swaps.
    /// </summary>
    public static bool CanCompute(AluOp op, bool is32, in ScalarRange source) => op switch
    {
        AluOp.Add or AluOp.Sub or AluOp.Mul or AluOp.And or AluOp.Or or AluOp.Xor or AluOp.Neg => true,
        AluOp.Lsh or AluOp.Rsh or AluOp.Arsh => is32
            ? source.IsSubregConst && source.S32Min == source.S32Max && source.U32Min == source.U32Max && source.UMax < 32
            : source.IsConst && source.SMin == source.SMax && source.UMin == source.UMax && source.UMax < 64,
        _ => false,
    };

    /// <summary>Applies dst = dst op source; <see cref="CanCompute"/> must hold.</summary>
    public void Apply(AluOp op, bool is32, in ScalarRange source)
    {
        if (IsSingle && source.IsSingle)
        {
            this = Const(Compute(VarOff.Value, op, is32, source.VarOff.Value));
            return;
        }

        switch (op)
        {
            case AluOp.Add: Add(source); break;
            case AluOp.Sub: Subtract(source); break;
            case AluOp.Neg: Negate(); break;
            case AluOp.Mul: Multiply(source); break;
            case AluOp.And: And(source); break;
            case AluOp.Or: Or(source); break;
            case AluOp.Xor: Xor(source); break;
            case AluOp.Lsh: if (is32) ShiftLeft32((int)source.U32Max); else ShiftLeft64((int)source.UMax); break;
            case AluOp.Rsh: if (is32) ShiftRight32((int)source.U32Max); else ShiftRight64((int)source.UMax); break;
            case AluOp.Arsh: if (is32) ShiftRightSigned32((int)source.U32Max); else ShiftRightSigned64((int)source.UMax); break;
        }

        if (is32) ZeroExtend32();
        Sync();
    }

    private static ulong Compute(ulong a, AluOp op, bool is32, ulong b)
    {
        ulong result = op switch
        {
            AluOp.Add => a + b,
            AluOp.Sub => a - b,
            AluOp.Neg => 0 - a,
            AluOp.Mul => a * b,
            AluOp.And => a & b,
            AluOp.Or => a | b,
            AluOp.Xor => a ^ b,
            AluOp.Lsh => a << (int)b,
            AluOp.Rsh => is32 ? (uint)a >> (int)b : a >> (int)b,
            AluOp.Arsh => is32 ? (ulong)((int)a >> (int)b) : (ulong)((long)a >> (int)b),
            _ => throw new ArgumentOutOfRangeException(nameof(op), op, "no known result"),
        };
        return is32 ? (uint)result : result;
    }

    /// <summary>Pointer arithmetic adds offsets without the 32-bit views and without learning from one another.</summary>
    public void AddOffset(in ScalarRange source)
    {
        Add64(source);
        VarOff += source.VarOff;
    }

    /// <summary>As <see cref="AddOffset"/>, subtracting.</summary>
    public void SubtractOffset(in ScalarRange source)
    {
        Subtract64(source);
        VarOff -= source.VarOff;
    }

    private void Add(in ScalarRange b)
    {
        long smin32 = (long)S32Min + b.S32Min, smax32 = (long)S32Max + b.S32Max;
        if (smin32 < int.MinValue || smax32 > int.MaxValue || smin32 > int.MaxValue || smax32 < int.MinValue)
            (S32Min, S32Max) = (int.MinValue, int.MaxValue);
        else (S32Min, S32Max) = ((int)smin32, (int)smax32);

        ulong umin32 = (ulong)U32Min + b.U32Min, umax32 = (ulong)U32Max + b.U32Max;
        // Either no sum wraps or all do; only a mixture is hopeless.
        if (umin32 <= uint.MaxValue && umax32 > uint.MaxValue) (U32Min, U32Max) = (0, uint.MaxValue);
        else (U32Min, U32Max) = ((uint)umin32, (uint)umax32);

        Add64(b);
        VarOff += b.VarOff;
    }

    private void Add64(in ScalarRange b)
    {
        long smin = SMin + b.SMin, smax = SMax + b.SMax;
        bool over = ((SMin ^ smin) & (b.SMin ^ smin)) < 0 || ((SMax ^ smax) & (b.SMax ^ smax)) < 0;
        (SMin, SMax) = over ? (long.MinValue, long.MaxValue) : (smin, smax);

        ulong umin = UMin + b.UMin, umax = UMax + b.UMax;
        bool minWraps = umin < b.UMin, maxWraps = umax < b.UMax;
        (UMin, UMax) = !minWraps && maxWraps ? (0, ulong.MaxValue) : (umin, umax);
    }

    private void Subtract(in ScalarRange b)
    {
        long smin32 = (long)S32Min - b.S32Max, smax32 = (long)S32Max - b.S32Min;
        if (smin32 < int.MinValue || smax32 > int.MaxValue || smin32 > int.MaxValue || smax32 < int.MinValue)
            (S32Min, S32Max) = (int.MinValue, int.MaxValue);
        else (S32Min, S32Max) = ((int)smin32, (int)smax32);

        bool minWraps = U32Min < b.U32Max, maxWraps = U32Max < b.U32Min;
        if (minWraps && !maxWraps) (U32Min, U32Max) = (0, uint.MaxValue);
        else (U32Min, U32Max) = (U32Min - b.U32Max, U32Max - b.U32Min);

        Subtract64(b);
        VarOff -= b.VarOff;
    }

    private void Subtract64(in ScalarRange b)
    {
        long smin = SMin - b.SMax, smax = SMax - b.SMin;
        bool over = ((SMin ^ b.SMax) & (SMin ^ smin)) < 0 || ((SMax ^ b.SMin) & (SMax ^ smax)) < 0;
        (SMin, SMax) = over ? (long.MinValue, long.MaxValue) : (smin, smax);

        bool minWraps = UMin < b.UMax, maxWraps = UMax < b.UMin;
        (UMin, UMax) = minWraps && !maxWraps ? (0, ulong.MaxValue) : (UMin - b.UMax, UMax - b.UMin);
    }

    private void Negate()
    {
        ScalarRange value = this;
        this = Const(0);
        Subtract(value);
        VarOff = -value.VarOff;
    }

    private void Multiply(in ScalarRange b)
    {
        VarOff *= b.VarOff;

        ulong umax32 = (ulong)U32Max * b.U32Max;
        if (umax32 > uint.MaxValue) (U32Min, U32Max) = (0, uint.MaxValue);
        else (U32Min, U32Max) = (U32Min * b.U32Min, (uint)umax32);

        long p1 = (long)S32Min * b.S32Min, p2 = (long)S32Min * b.S32Max, p3 = (long)S32Max * b.S32Min, p4 = (long)S32Max * b.S32Max;
        long low = Math.Min(Math.Min(p1, p2), Math.Min(p3, p4)), high = Math.Max(Math.Max(p1, p2), Math.Max(p3, p4));
        if (low < int.MinValue || high > int.MaxValue) (S32Min, S32Max) = (int.MinValue, int.MaxValue);
        else (S32Min, S32Max) = ((int)low, (int)high);

        UInt128 umax = (UInt128)UMax * b.UMax;
        (UMin, UMax) = umax > ulong.MaxValue ? (0, ulong.MaxValue) : (UMin * b.UMin, (ulong)umax);

        Int128 q1 = (Int128)SMin * b.SMin, q2 = (Int128)SMin * b.SMax, q3 = (Int128)SMax * b.SMin, q4 = (Int128)SMax * b.SMax;
        Int128 lowest = Int128.Min(Int128.Min(q1, q2), Int128.Min(q3, q4)), highest = Int128.Max(Int128.Max(q1, q2), Int128.Max(q3, q4));
        (SMin, SMax) = lowest < long.MinValue || highest > long.MaxValue ? (long.MinValue, long.MaxValue) : ((long)lowest, (long)highest);
    }

    private void And(in ScalarRange b)
    {
        bool const32 = IsSubregConst && b.IsSubregConst, const64 = IsConst && b.IsConst;
        VarOff &= b.VarOff;
        if (const32) SetSubregConst((uint)VarOff.Value);
        else
        {
            (U32Min, U32Max) = ((uint)VarOff.Value, Math.Min(U32Max, b.U32Max));
            SignedFromUnsigned32();
        }

        if (const64) this = Const(VarOff.Value);
        else
        {
            (UMin, UMax) = (VarOff.Value, Math.Min(UMax, b.UMax));
            SignedFromUnsigned64();
            LearnFromBits();
        }
    }

    private void Or(in ScalarRange b)
    {
        bool const32 = IsSubregConst && b.IsSubregConst, const64 = IsConst && b.IsConst;
        VarOff |= b.VarOff;
        if (const32) SetSubregConst((uint)VarOff.Value);
        else
        {
            (U32Min, U32Max) = (Math.Max(U32Min, b.U32Min), (uint)VarOff.Max);
            SignedFromUnsigned32();
        }

        if (const64) this = Const(VarOff.Value);
        else
        {
            (UMin, UMax) = (Math.Max(UMin, b.UMin), VarOff.Max);
            SignedFromUnsigned64();
            LearnFromBits();
        }
    }

    private void Xor(in ScalarRange b)
    {
        bool const32 = IsSubregConst && b.IsSubregConst, const64 = IsConst && b.IsConst;
        VarOff ^= b.VarOff;
        if (const32) SetSubregConst((uint)VarOff.Value);
        else
        {
            (U32Min, U32Max) = ((uint)VarOff.Value, (uint)VarOff.Max);
            SignedFromUnsigned32();
        }

        if (const64) this = Const(VarOff.Value);
        else
        {
            (UMin, UMax) = (VarOff.Value, VarOff.Max);
            SignedFromUnsigned64();
            LearnFromBits();
        }
    }

    private void SignedFromUnsigned32() =>
        (S32Min, S32Max) = (int)U32Min <= (int)U32Max ? ((int)U32Min, (int)U32Max) : (int.MinValue, int.MaxValue);

    private void SignedFromUnsigned64() =>
        (SMin, SMax) = (long)UMin <= (long)UMax ? ((long)UMin, (long)UMax) : (long.MinValue, long.MaxValue);

    private void ShiftLeftHalf(int shift)
    {
        (S32Min, S32Max) = (int.MinValue, int.MaxValue);
        if (U32Max > 1ul << (31 - shift)) (U32Min, U32Max) = (0, uint.MaxValue);
        else (U32Min, U32Max) = (U32Min << shift, U32Max << shift);
    }

    private void ShiftLeft32(int shift)
    {
        Tnum half = VarOff.Subreg;
        ShiftLeftHalf(shift);
        VarOff = (half << shift).Subreg;
        Unbound64();
        LearnFromBits32();
    }

    private void ShiftLeft64(int shift)
    {
        // The pair << 32, s>> 32 is how compilers sign-extend; only there the sign can be told.
        if (shift == 32) (SMin, SMax) = ((long)S32Min << 32, (long)S32Max << 32);
        else (SMin, SMax) = (long.MinValue, long.MaxValue);

        if (UMax > 1ul << (63 - shift)) (UMin, UMax) = (0, ulong.MaxValue);
        else (UMin, UMax) = (UMin << shift, UMax << shift);
        if (shift < 32) ShiftLeftHalf(shift);
        else Unbound32();
        VarOff <<= shift;
        LearnFromBits();
    }

    private void ShiftRight32(int shift)
    {
        (S32Min, S32Max) = (int.MinValue, int.MaxValue);
        VarOff = VarOff.Subreg >> shift;
        (U32Min, U32Max) = (U32Min >> shift, U32Max >> shift);
        Unbound64();
        LearnFromBits32();
    }

    private void ShiftRight64(int shift)
    {
        (SMin, SMax) = (long.MinValue, long.MaxValue);
        VarOff >>= shift;
        (UMin, UMax) = (UMin >> shift, UMax >> shift);
        Unbound32();
        LearnFromBits();
    }

    private void ShiftRightSigned32(int shift)
    {
        (S32Min, S32Max) = (S32Min >> shift, S32Max >> shift);
        VarOff = VarOff.Subreg.ArithmeticShiftRight(shift, 32);
        (U32Min, U32Max) = (0, uint.MaxValue);
        Unbound64();
        LearnFromBits32();
    }

    private void ShiftRightSigned64(int shift)
    {
        (SMin, SMax) = (SMin >> shift, SMax >> shift);
        VarOff = VarOff.ArithmeticShiftRight(shift, 64);
        (UMin, UMax) = (0, ulong.MaxValue);
        Unbound32();
        LearnFromBits();
    }

    /// <summary>Reverses the bytes of the low <paramref name="bits"/> (16, 32, 64) bits, or only cuts the others off.</summary>
    public void ByteSwap(int bits, bool swap)
    {
        if (swap)
        {
            VarOff = new Tnum(Reverse(VarOff.Value, bits), Reverse(VarOff.Mask, bits));
            Unbound();
        }

        if (bits < 64) Truncate(bits / 8);
        else Sync();
    }

    private static ulong Reverse(ulong value, int bits) => BinaryPrimitives.ReverseEndianness(value) >> (64 - bits);

    /// <summary>Keeps the low <paramref name="size"/> bytes, zero-extended: narrow loads.</summary>
    public void Truncate(int size)
    {
        VarOff = VarOff.Cast(size);
        ulong mask = (1ul << (size * 8)) - 1;
        if ((UMin & ~mask) == (UMax & ~mask)) (UMin, UMax) = (UMin & mask, UMax & mask);
        else (UMin, UMax) = (0, mask);
        (SMin, SMax) = ((long)UMin, (long)UMax);
        if (size < 4) Unbound32();
        Sync();
    }

    /// <summary>The default after a sign extension of <paramref name="size"/> bytes to 64 bits.</summary>
    public void SetSignExtended64Default(int size)
    {
        long half = 1L << (size * 8 - 1);
        (SMin, SMax) = (-half, half - 1);
        (UMin, UMax) = (0, ulong.MaxValue);
        (S32Min, S32Max) = ((int)-half, (int)(half - 1));
        (U32Min, U32Max) = (0, uint.MaxValue);
        VarOff = Tnum.Unknown;
    }

    /// <summary>Sign-extends the low <paramref name="size"/> (1, 2, 4) bytes to 64 bits.</summary>
    public void SignExtend64(int size)
    {
        if (IsConst)
        {
            this = Const((ulong)SignExtend((long)VarOff.Value, size));
            return;
        }

        int bits = size * 8;
        if (SMax >> bits == SMin >> bits)
        {
            long a = SignExtend(SMax, size), b = SignExtend(SMin, size);
            long max = Math.Max(a, b), min = Math.Min(a, b);
            if (max >= 0 == min >= 0)
            {
                (SMin, SMax, UMin, UMax) = (min, max, (ulong)min, (ulong)max);
                (S32Min, S32Max, U32Min, U32Max) = ((int)min, (int)max, (uint)min, (uint)max);
                VarOff = Tnum.Range((ulong)min, (ulong)max);
                return;
            }
        }

        SetSignExtended64Default(size);
    }

    /// <summary>Sign-extends the low <paramref name="size"/> (1, 2) bytes to 32 bits; the high half is cleared by the caller.</summary>
    public void SignExtend32(int size)
    {
        if (IsSubregConst)
        {
            int value = (int)SignExtend((long)VarOff.Value, size);
            VarOff = Tnum.Const((uint)value);
            (S32Min, S32Max, U32Min, U32Max) = (value, value, (uint)value, (uint)value);
            return;
        }

        int bits = size * 8;
        if (S32Max >> bits == S32Min >> bits)
        {
            int a = (int)SignExtend(S32Max, size), b = (int)SignExtend(S32Min, size);
            int max = Math.Max(a, b), min = Math.Min(a, b);
            if (min >= 0 == max >= 0)
            {
                (S32Min, S32Max, U32Min, U32Max) = (min, max, (uint)min, (uint)max);
                VarOff = Tnum.Range((uint)min, (uint)max).Subreg;
                return;
            }
        }

        int half = 1 << (bits - 1);
        (S32Min, S32Max) = (-half, half - 1);
        (U32Min, U32Max) = (0, uint.MaxValue);
        VarOff = Tnum.Unknown.Subreg;
    }

    private static long SignExtend(long value, int size) => size switch
    {
        1 => (sbyte)value,
        2 => (short)value,
        _ => (int)value,
    };
}
