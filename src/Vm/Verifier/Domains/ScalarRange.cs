using System.Runtime.InteropServices;

namespace BpfSim.Vm.Verifier.Domains;

/// <summary>
/// A set of 64-bit numbers, seen five ways at once: known bits, and signed and unsigned intervals of the
/// whole and of the low half. <see cref="Sync"/> carries what one view knows over to the others.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal partial struct ScalarRange : IEquatable<ScalarRange>
{
    public Tnum VarOff;
    public long SMin, SMax;
    public ulong UMin, UMax;
    public int S32Min, S32Max;
    public uint U32Min, U32Max;

    /// <summary>All numbers.</summary>
    public static readonly ScalarRange Unknown = new()
    {
        VarOff = Tnum.Unknown,
        SMin = long.MinValue,
        SMax = long.MaxValue,
        UMin = 0,
        UMax = ulong.MaxValue,
        S32Min = int.MinValue,
        S32Max = int.MaxValue,
        U32Min = 0,
        U32Max = uint.MaxValue,
    };

    /// <summary>One number.</summary>
    public static ScalarRange Const(ulong value) => new()
    {
        VarOff = Tnum.Const(value),
        SMin = (long)value,
        SMax = (long)value,
        UMin = value,
        UMax = value,
        S32Min = (int)value,
        S32Max = (int)value,
        U32Min = (uint)value,
        U32Max = (uint)value,
    };

    /// <summary>Whether there is exactly one number.</summary>
    public readonly bool IsConst => VarOff.Mask == 0;

    /// <summary>Whether the low half is one number.</summary>
    public readonly bool IsSubregConst => VarOff.IsSubregConst;

    /// <summary>Whether the number is in the set, by all five views.</summary>
    public readonly bool Contains(ulong x) =>
        VarOff.Contains(Tnum.Const(x)) && (long)x >= SMin && (long)x <= SMax && x >= UMin && x <= UMax
        && (int)x >= S32Min && (int)x <= S32Max && (uint)x >= U32Min && (uint)x <= U32Max;

    /// <summary>Whether every number of <paramref name="other"/> is in this set, view by view.</summary>
    public readonly bool Includes(in ScalarRange other) =>
        UMin <= other.UMin && UMax >= other.UMax && SMin <= other.SMin && SMax >= other.SMax
        && U32Min <= other.U32Min && U32Max >= other.U32Max && S32Min <= other.S32Min && S32Max >= other.S32Max
        && VarOff.Contains(other.VarOff);

    /// <summary>Keeps the known bits and forgets the intervals.</summary>
    public void Unbound()
    {
        Unbound64();
        Unbound32();
    }

    /// <summary>Forgets the intervals of the whole.</summary>
    public void Unbound64() => (SMin, SMax, UMin, UMax) = (long.MinValue, long.MaxValue, 0, ulong.MaxValue);

    /// <summary>Forgets the intervals of the low half.</summary>
    public void Unbound32() => (S32Min, S32Max, U32Min, U32Max) = (int.MinValue, int.MaxValue, 0, uint.MaxValue);

    /// <summary>Makes the low half one number; the high half's bits stay.</summary>
    public void SetSubregConst(uint value)
    {
        VarOff = VarOff.WithConstSubreg(value);
        S32Min = S32Max = (int)value;
        U32Min = U32Max = value;
    }

    /// <summary>Learns from known bits, from the intervals of each other, and the bits from the intervals.</summary>
    public void Sync()
    {
        LearnFromBits();
        if (IsSingle) return;
        // One round may find what the next one needs: three are what Linux 6.18 spends. A round that finds nothing is the last.
        for (int round = 0; round < 3; round++)
        {
            ScalarRange before = this;
            Deduce();
            if (SameBits(this, before)) break;
        }

        LearnBits();
        LearnFromBits();
    }

    /// <summary>Whether all five views agree on one number.</summary>
    private readonly bool IsSingle =>
        VarOff.Mask == 0 && UMin == VarOff.Value && UMax == VarOff.Value && SMin == (long)VarOff.Value && SMax == (long)VarOff.Value
        && U32Min == (uint)VarOff.Value && U32Max == (uint)VarOff.Value && S32Min == (int)VarOff.Value && S32Max == (int)VarOff.Value;

    // Vectors would not be compiled ahead of time.
    private static bool SameBits(in ScalarRange a, in ScalarRange b) =>
        ((a.VarOff.Value ^ b.VarOff.Value) | (a.VarOff.Mask ^ b.VarOff.Mask) | (a.UMin ^ b.UMin) | (a.UMax ^ b.UMax)
            | (ulong)(a.SMin ^ b.SMin) | (ulong)(a.SMax ^ b.SMax)) == 0
        && ((a.U32Min ^ b.U32Min) | (a.U32Max ^ b.U32Max) | (uint)(a.S32Min ^ b.S32Min) | (uint)(a.S32Max ^ b.S32Max)) == 0;

    /// <summary>Narrows the intervals by the known bits.</summary>
    public void LearnFromBits()
    {
        LearnFromBits32();
        LearnFromBits64();
    }

    private void LearnFromBits32()
    {
        uint value = (uint)VarOff.Value, mask = (uint)VarOff.Mask;
        S32Min = Math.Max(S32Min, (int)(value | (mask & 0x80000000u)));
        S32Max = Math.Min(S32Max, (int)(value | (mask & 0x7fffffffu)));
        U32Min = Math.Max(U32Min, value);
        U32Max = Math.Min(U32Max, value | mask);
    }

    private void LearnFromBits64()
    {
        ulong value = VarOff.Value, mask = VarOff.Mask;
        SMin = Math.Max(SMin, (long)(value | (mask & (1ul << 63))));
        SMax = Math.Min(SMax, (long)(value | (mask & ~(1ul << 63))));
        UMin = Math.Max(UMin, value);
        UMax = Math.Min(UMax, value | mask);
        // An interval without gaps between the bits' values holds more than one of them.
        if ((mask & (mask + 1)) != 0 || UMin >= UMax) LearnOnlyValue();
    }

    /// <summary>Known bits and interval may meet in a single number.</summary>
    private void LearnOnlyValue()
    {
        ulong next = VarOff.Next(UMin);
        if ((UMin & ~VarOff.Mask) == VarOff.Value)
        {
            if (next > UMax) this = Const(UMin);
        }
        else if (next == VarOff.Max || (next <= UMax && VarOff.Next(next) > UMax))
        {
            this = Const(next);
        }
    }

    private void Deduce()
    {
        DeduceHalf();
        DeduceWhole();
        DeduceMixed();
    }

    private void DeduceHalf()
    {
        if (UMin >> 32 == UMax >> 32)
        {
            // The high half never changes, so the low half runs over an interval of its own.
            NarrowU32((uint)UMin, (uint)UMax);
            if ((int)UMin <= (int)UMax) NarrowS32((int)UMin, (int)UMax);
        }

        if (SMin >> 32 == SMax >> 32)
        {
            if ((uint)SMin <= (uint)SMax) NarrowU32((uint)SMin, (uint)SMax);
            if ((int)SMin <= (int)SMax) NarrowS32((int)SMin, (int)SMax);
        }

        // The low half wraps once, over a stretch from below zero to above it.
        if ((uint)(UMin >> 32) + 1 == (uint)(UMax >> 32) && (int)UMin < 0 && (int)UMax >= 0)
            NarrowS32((int)UMin, (int)UMax);
        if ((uint)(SMin >> 32) + 1 == (uint)(SMax >> 32) && (int)SMin < 0 && (int)SMax >= 0)
            NarrowS32((int)SMin, (int)SMax);

        if ((int)U32Min <= (int)U32Max) NarrowS32((int)U32Min, (int)U32Max);
        if ((uint)S32Min <= (uint)S32Max)
        {
            NarrowU32((uint)S32Min, (uint)S32Max);
        }
        else if (U32Max < (uint)S32Min)
        {
            // As for the whole: signed, the set has two ends, and unsigned, it misses one of them.
            S32Min = (int)U32Min;
            U32Max = Math.Min(U32Max, (uint)S32Max);
        }
        else if ((uint)S32Max < U32Min)
        {
            S32Max = (int)U32Max;
            U32Min = Math.Max(U32Min, (uint)S32Min);
        }
    }

    private void DeduceWhole()
    {
        if ((long)UMin <= (long)UMax) NarrowS64((long)UMin, (long)UMax);
        if ((ulong)SMin <= (ulong)SMax)
        {
            NarrowU64((ulong)SMin, (ulong)SMax);
        }
        else if (UMax < (ulong)SMin)
        {
            // Signed, the set has a negative and a positive end; unsigned, it misses the negative one.
            SMin = (long)UMin;
            UMax = Math.Min(UMax, (ulong)SMax);
        }
        else if ((ulong)SMax < UMin)
        {
            SMax = (long)UMax;
            UMin = Math.Max(UMin, (ulong)SMin);
        }
    }

    private void DeduceMixed()
    {
        const ulong High = 0xffffffff00000000;
        NarrowU64((UMin & High) | U32Min, (UMax & High) | U32Max);
        NarrowS64((long)(((ulong)SMin & High) | U32Min), (long)(((ulong)SMax & High) | U32Max));

        // A sign-extended number whose low half is not negative has a zero high half.
        if (S32Min >= 0 && SMin >= int.MinValue && SMax <= int.MaxValue)
        {
            (SMin, SMax, UMin, UMax) = (S32Min, S32Max, (ulong)S32Min, (ulong)S32Max);
            VarOff = Tnum.Intersect(VarOff, Tnum.Range((ulong)SMin, (ulong)SMax));
        }
    }

    private void LearnBits()
    {
        Tnum whole = Tnum.Intersect(VarOff, Tnum.Range(UMin, UMax));
        Tnum half = Tnum.Intersect(whole.Subreg, Tnum.Range(U32Min, U32Max));
        VarOff = whole.ClearSubreg | half;
    }

    private void NarrowU64(ulong min, ulong max) => (UMin, UMax) = (Math.Max(UMin, min), Math.Min(UMax, max));

    private void NarrowS64(long min, long max) => (SMin, SMax) = (Math.Max(SMin, min), Math.Min(SMax, max));

    private void NarrowU32(uint min, uint max) => (U32Min, U32Max) = (Math.Max(U32Min, min), Math.Min(U32Max, max));

    private void NarrowS32(int min, int max) => (S32Min, S32Max) = (Math.Max(S32Min, min), Math.Min(S32Max, max));

    /// <summary>Sets the intervals of the whole from those of the low half, the high half being zero.</summary>
    private void WidenFromHalf()
    {
        UMin = U32Min;
        UMax = U32Max;
        if (S32Min >= 0 && S32Max >= 0) (SMin, SMax) = (S32Min, S32Max);
        else (SMin, SMax) = (0, uint.MaxValue);
    }

    /// <summary>Clears the high half: the result of every 32-bit operation.</summary>
    public void ZeroExtend32()
    {
        VarOff = VarOff.Subreg;
        WidenFromHalf();
    }

    /// <inheritdoc/>
    public readonly bool Equals(ScalarRange other) => SameBits(this, other);

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is ScalarRange other && Equals(other);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => HashCode.Combine(VarOff, SMin, SMax, UMin, UMax);
}
