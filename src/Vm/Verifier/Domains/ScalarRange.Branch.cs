using System.Numerics;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier.Domains;

// What comparisons decide beforehand, and what they teach afterwards.
internal partial struct ScalarRange
{
    /// <summary>Whether a comparison is decided by the ranges: true or false for all values, null if not.</summary>
    public static bool? Decide(in ScalarRange a, in ScalarRange b, JmpOp op, bool is32)
    {
        Tnum ta = is32 ? a.VarOff.Subreg : a.VarOff, tb = is32 ? b.VarOff.Subreg : b.VarOff;
        ulong umin1 = is32 ? a.U32Min : a.UMin, umax1 = is32 ? a.U32Max : a.UMax;
        ulong umin2 = is32 ? b.U32Min : b.UMin, umax2 = is32 ? b.U32Max : b.UMax;
        long smin1 = is32 ? a.S32Min : a.SMin, smax1 = is32 ? a.S32Max : a.SMax;
        long smin2 = is32 ? b.S32Min : b.SMin, smax2 = is32 ? b.S32Max : b.SMax;

        switch (op)
        {
            case JmpOp.Jeq:
            case JmpOp.Jne:
                bool equal = op == JmpOp.Jeq;
                if (ta.IsConst && tb.IsConst) return ta.Value == tb.Value == equal;
                if (!Tnum.Overlap(ta, tb)) return !equal;
                if (umin1 > umax2 || umax1 < umin2 || smin1 > smax2 || smax1 < smin2) return !equal;
                if (!is32 && (a.U32Min > b.U32Max || a.U32Max < b.U32Min || a.S32Min > b.S32Max || a.S32Max < b.S32Min))
                    return !equal;
                return null;
            case JmpOp.Jset:
                if (!tb.IsConst) (ta, tb) = (tb, ta);
                if (!tb.IsConst) return null;
                if ((ta.Value & tb.Value) != 0) return true;
                if ((ta.Max & tb.Value) == 0) return false;
                return null;
            case JmpOp.Jgt: return umin1 > umax2 ? true : umax1 <= umin2 ? false : null;
            case JmpOp.Jsgt: return smin1 > smax2 ? true : smax1 <= smin2 ? false : null;
            case JmpOp.Jlt: return umax1 < umin2 ? true : umin1 >= umax2 ? false : null;
            case JmpOp.Jslt: return smax1 < smin2 ? true : smin1 >= smax2 ? false : null;
            case JmpOp.Jge: return umin1 >= umax2 ? true : umax1 < umin2 ? false : null;
            case JmpOp.Jsge: return smin1 >= smax2 ? true : smax1 < smin2 ? false : null;
            case JmpOp.Jle: return umax1 <= umin2 ? true : umin1 > umax2 ? false : null;
            case JmpOp.Jsle: return smax1 <= smin2 ? true : smin1 > smax2 ? false : null;
            default: return null;
        }
    }

    /// <summary>The comparison with its operands exchanged: a &lt; b is b &gt; a.</summary>
    public static JmpOp Flip(JmpOp op) => op switch
    {
        JmpOp.Jgt => JmpOp.Jlt,
        JmpOp.Jlt => JmpOp.Jgt,
        JmpOp.Jge => JmpOp.Jle,
        JmpOp.Jle => JmpOp.Jge,
        JmpOp.Jsgt => JmpOp.Jslt,
        JmpOp.Jslt => JmpOp.Jsgt,
        JmpOp.Jsge => JmpOp.Jsle,
        JmpOp.Jsle => JmpOp.Jsge,
        _ => op,
    };

    /// <summary>Learns from a comparison that came out as <paramref name="taken"/>, and syncs both sides.</summary>
    public static void Refine(ref ScalarRange a, ref ScalarRange b, JmpOp op, bool is32, bool taken)
    {
        if (!taken && op == JmpOp.Jset) RefineNoBits(ref a, ref b, is32);
        else RefineTrue(ref a, ref b, taken ? op : Negate(op), is32);
        a.Sync();
        b.Sync();
    }

    private static JmpOp Negate(JmpOp op) => op switch
    {
        JmpOp.Jeq => JmpOp.Jne,
        JmpOp.Jne => JmpOp.Jeq,
        JmpOp.Jgt => JmpOp.Jle,
        JmpOp.Jle => JmpOp.Jgt,
        JmpOp.Jge => JmpOp.Jlt,
        JmpOp.Jlt => JmpOp.Jge,
        JmpOp.Jsgt => JmpOp.Jsle,
        JmpOp.Jsle => JmpOp.Jsgt,
        JmpOp.Jsge => JmpOp.Jslt,
        JmpOp.Jslt => JmpOp.Jsge,
        _ => op,
    };

    private static void RefineTrue(ref ScalarRange a, ref ScalarRange b, JmpOp op, bool is32)
    {
        switch (op)
        {
            case JmpOp.Jgt:
            case JmpOp.Jge:
            case JmpOp.Jsgt:
            case JmpOp.Jsge:
                RefineTrue(ref b, ref a, Flip(op), is32);
                break;
            case JmpOp.Jeq:
                RefineEqual(ref a, ref b, is32);
                break;
            case JmpOp.Jne:
                if (b.IsKnown(is32)) a.Exclude(b.VarOff.Value, is32);
                else if (a.IsKnown(is32)) b.Exclude(a.VarOff.Value, is32);
                break;
            case JmpOp.Jset:
                if (b.IsKnown(is32)) a.SetBit(b.VarOff.Value, is32);
                else if (a.IsKnown(is32)) b.SetBit(a.VarOff.Value, is32);
                break;
            case JmpOp.Jle when is32:
                a.U32Max = Math.Min(a.U32Max, b.U32Max);
                b.U32Min = Math.Max(a.U32Min, b.U32Min);
                break;
            case JmpOp.Jle:
                a.UMax = Math.Min(a.UMax, b.UMax);
                b.UMin = Math.Max(a.UMin, b.UMin);
                break;
            case JmpOp.Jlt when is32:
                a.U32Max = Math.Min(a.U32Max, b.U32Max - 1);
                b.U32Min = Math.Max(a.U32Min + 1, b.U32Min);
                break;
            case JmpOp.Jlt:
                a.UMax = Math.Min(a.UMax, b.UMax - 1);
                b.UMin = Math.Max(a.UMin + 1, b.UMin);
                break;
            case JmpOp.Jsle when is32:
                a.S32Max = Math.Min(a.S32Max, b.S32Max);
                b.S32Min = Math.Max(a.S32Min, b.S32Min);
                break;
            case JmpOp.Jsle:
                a.SMax = Math.Min(a.SMax, b.SMax);
                b.SMin = Math.Max(a.SMin, b.SMin);
                break;
            case JmpOp.Jslt when is32:
                a.S32Max = Math.Min(a.S32Max, b.S32Max - 1);
                b.S32Min = Math.Max(a.S32Min + 1, b.S32Min);
                break;
            case JmpOp.Jslt:
                a.SMax = Math.Min(a.SMax, b.SMax - 1);
                b.SMin = Math.Max(a.SMin + 1, b.SMin);
                break;
        }
    }

    private readonly bool IsKnown(bool is32) => is32 ? IsSubregConst : IsConst;

    private static void RefineEqual(ref ScalarRange a, ref ScalarRange b, bool is32)
    {
        if (is32)
        {
            a.U32Min = b.U32Min = Math.Max(a.U32Min, b.U32Min);
            a.U32Max = b.U32Max = Math.Min(a.U32Max, b.U32Max);
            a.S32Min = b.S32Min = Math.Max(a.S32Min, b.S32Min);
            a.S32Max = b.S32Max = Math.Min(a.S32Max, b.S32Max);
            Tnum half = Tnum.Intersect(a.VarOff.Subreg, b.VarOff.Subreg);
            a.VarOff = a.VarOff.WithSubreg(half);
            b.VarOff = b.VarOff.WithSubreg(half);
            return;
        }

        a.UMin = b.UMin = Math.Max(a.UMin, b.UMin);
        a.UMax = b.UMax = Math.Min(a.UMax, b.UMax);
        a.SMin = b.SMin = Math.Max(a.SMin, b.SMin);
        a.SMax = b.SMax = Math.Min(a.SMax, b.SMax);
        a.VarOff = b.VarOff = Tnum.Intersect(a.VarOff, b.VarOff);
    }

    // An interval shrinks only if the excluded number is its edge.
    private void Exclude(ulong value, bool is32)
    {
        if (is32)
        {
            if (U32Min == (uint)value) U32Min++;
            if (U32Max == (uint)value) U32Max--;
            if (S32Min == (int)value) S32Min++;
            if (S32Max == (int)value) S32Max--;
            return;
        }

        if (UMin == value) UMin++;
        if (UMax == value) UMax--;
        if (SMin == (long)value) SMin++;
        if (SMax == (long)value) SMax--;
    }

    // "Some of these bits is set" tells something only of a single bit.
    private void SetBit(ulong bits, bool is32)
    {
        if (is32) bits = (uint)bits;
        if (!BitOperations.IsPow2(bits)) return;
        VarOff = is32 ? VarOff.WithSubreg(VarOff.Subreg | Tnum.Const(bits)) : VarOff | Tnum.Const(bits);
    }

    private static void RefineNoBits(ref ScalarRange a, ref ScalarRange b, bool is32)
    {
        if (b.IsKnown(is32)) a.ClearBits(b.VarOff.Value, is32);
        else if (a.IsKnown(is32)) b.ClearBits(a.VarOff.Value, is32);
    }

    private void ClearBits(ulong bits, bool is32)
    {
        // On a path that cannot be taken the intervals may contradict the bits: start anew from the bits.
        Unbound();
        VarOff = is32 ? VarOff.WithSubreg(VarOff.Subreg & Tnum.Const((uint)~bits)) : VarOff & Tnum.Const(~bits);
    }

    /// <summary>All views, as the log shows a contradiction.</summary>
    public readonly string DescribeIntervals() =>
        $"u64=[0x{UMin:x}, 0x{UMax:x}] s64=[0x{SMin:x}, 0x{SMax:x}] u32=[0x{U32Min:x}, 0x{U32Max:x}] s32=[0x{S32Min:x}, 0x{S32Max:x}] var_off=(0x{VarOff.Value:x}, 0x{VarOff.Mask:x})";

    /// <summary>What contradicts itself in this set, in the log's words; null if nothing does.</summary>
    public readonly string? FindViolation()
    {
        if (UMin > UMax || SMin > SMax || U32Min > U32Max || S32Min > S32Max) return "range bounds violation";
        if (VarOff.IsConst)
        {
            ulong u = VarOff.Value;
            if (UMin != u || UMax != u || SMin != (long)u || SMax != (long)u) return "const tnum out of sync with range bounds";
        }

        if (VarOff.IsSubregConst)
        {
            uint u = (uint)VarOff.Value;
            if (U32Min != u || U32Max != u || S32Min != (int)u || S32Max != (int)u)
                return "const subreg tnum out of sync with range bounds";
        }

        return null;
    }
}
