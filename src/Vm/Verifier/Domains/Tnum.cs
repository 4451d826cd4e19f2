using System.Numerics;

namespace BpfSim.Vm.Verifier.Domains;

/// <summary>
/// A tristate number: every bit is 0, 1 or unknown. Unknown bits are set in <see cref="Mask"/> and clear in
/// <see cref="Value"/>; the concrete values are those x with (x &amp; ~Mask) == Value.
/// </summary>
/// <param name="Value">The bits known to be 1.</param>
/// <param name="Mask">The unknown bits; disjoint from Value.</param>
internal readonly record struct Tnum(ulong Value, ulong Mask)
{
    /// <summary>Nothing known.</summary>
    public static readonly Tnum Unknown = new(0, ulong.MaxValue);

    /// <summary>Exactly one value.</summary>
    public static Tnum Const(ulong value) => new(value, 0);

    /// <summary>Whether there is only one value.</summary>
    public bool IsConst => Mask == 0;

    /// <summary>Whether nothing is known.</summary>
    public bool IsUnknown => Mask == ulong.MaxValue;

    /// <summary>The largest unsigned value.</summary>
    public ulong Max => Value | Mask;

    /// <summary>The smallest tnum that holds all of [min, max].</summary>
    public static Tnum Range(ulong min, ulong max)
    {
        int differing = 64 - BitOperations.LeadingZeroCount(min ^ max);
        if (differing > 63) return Unknown;
        ulong low = (1ul << differing) - 1;
        return new Tnum(min & ~low, low);
    }

    public static Tnum operator <<(Tnum a, int shift) => new(a.Value << shift, a.Mask << shift);

    public static Tnum operator >>(Tnum a, int shift) => new(a.Value >> shift, a.Mask >> shift);

    /// <summary>Arithmetic shift right of the low <paramref name="width"/> (32 or 64) bits.</summary>
    public Tnum ArithmeticShiftRight(int shift, int width) => width == 32
        ? new((uint)((int)Value >> shift), (uint)((int)Mask >> shift))
        : new((ulong)((long)Value >> shift), (ulong)((long)Mask >> shift));

    public static Tnum operator +(Tnum a, Tnum b)
    {
        // Bits that differ between the largest and the smallest sum are those that carries may touch.
        ulong smallest = a.Value + b.Value;
        ulong carries = (smallest + a.Mask + b.Mask) ^ smallest;
        ulong unknown = carries | a.Mask | b.Mask;
        return new(smallest & ~unknown, unknown);
    }

    public static Tnum operator -(Tnum a, Tnum b)
    {
        ulong difference = a.Value - b.Value;
        ulong borrows = (difference + a.Mask) ^ (difference - b.Mask);
        ulong unknown = borrows | a.Mask | b.Mask;
        return new(difference & ~unknown, unknown);
    }

    public static Tnum operator -(Tnum a) => Const(0) - a;

    public static Tnum operator &(Tnum a, Tnum b)
    {
        ulong ones = a.Value & b.Value;
        return new(ones, a.Max & b.Max & ~ones);
    }

    public static Tnum operator |(Tnum a, Tnum b)
    {
        ulong ones = a.Value | b.Value;
        return new(ones, (a.Mask | b.Mask) & ~ones);
    }

    public static Tnum operator ^(Tnum a, Tnum b)
    {
        ulong unknown = a.Mask | b.Mask;
        return new((a.Value ^ b.Value) & ~unknown, unknown);
    }

    /// <summary>Long multiplication: where a bit of a is unknown, both outcomes are joined.</summary>
    public static Tnum operator *(Tnum a, Tnum b)
    {
        Tnum product = Const(0);
        for (; a.Max != 0; a >>= 1, b <<= 1)
        {
            if ((a.Value & 1) != 0) product += b;
            else if ((a.Mask & 1) != 0) product = Union(product, product + b);
        }

        return product;
    }

    /// <summary>What is known if both hold; contradictions are resolved towards 1.</summary>
    public static Tnum Intersect(Tnum a, Tnum b)
    {
        ulong unknown = a.Mask & b.Mask;
        return new((a.Value | b.Value) & ~unknown, unknown);
    }

    /// <summary>What is known if one of both holds.</summary>
    public static Tnum Union(Tnum a, Tnum b)
    {
        ulong unknown = a.Mask | b.Mask | (a.Value ^ b.Value);
        return new(a.Value & ~unknown, unknown);
    }

    /// <summary>Whether some value belongs to both.</summary>
    public static bool Overlap(Tnum a, Tnum b) => ((a.Value ^ b.Value) & ~(a.Mask | b.Mask)) == 0;

    /// <summary>Only the low <paramref name="size"/> bytes.</summary>
    public Tnum Cast(int size)
    {
        if (size >= 8) return this;
        ulong keep = (1ul << (size * 8)) - 1;
        return new(Value & keep, Mask & keep);
    }

    /// <summary>Whether every value is a multiple of <paramref name="size"/>, a power of two.</summary>
    public bool IsAligned(ulong size) => size == 0 || (Max & (size - 1)) == 0;

    /// <summary>Whether every value of <paramref name="other"/> is one of this.</summary>
    public bool Contains(Tnum other) => (other.Mask & ~Mask) == 0 && Value == (other.Value & ~Mask);

    /// <summary>The smallest value above <paramref name="x"/>; the largest of all if there is none.</summary>
    public ulong Next(ulong x)
    {
        if (x >= Max) return Max;
        ulong least = x + 1, wrong = (least ^ Value) & ~Mask;
        if (wrong == 0) return least;
        int at = 63 - BitOperations.LeadingZeroCount(wrong);
        if ((Value >> at & 1) == 0)
        {
            // A bit that must be 0 is 1: carry into the next unknown bit that is 0.
            ulong free = Mask & ~least & (ulong.MaxValue << at);
            if (free == 0) return Max;
            at = BitOperations.TrailingZeroCount(free);
            least |= 1ul << at;
            ulong lower = (1ul << at) - 1;
            return (least & ~lower) | (Value & lower);
        }

        ulong below = (2ul << at) - 1;
        return (least & ~below) | (Value & below);
    }

    /// <summary>The low half.</summary>
    public Tnum Subreg => new((uint)Value, (uint)Mask);

    /// <summary>The high half, the low one being 0.</summary>
    public Tnum ClearSubreg => new(Value & ~0xfffffffful, Mask & ~0xfffffffful);

    /// <summary>The high half of this with the low half of <paramref name="low"/>.</summary>
    public Tnum WithSubreg(Tnum low) => ClearSubreg | low.Subreg;

    /// <summary>The high half of this with a known low half.</summary>
    public Tnum WithConstSubreg(uint low) => WithSubreg(Const(low));

    /// <summary>Whether the low half is known.</summary>
    public bool IsSubregConst => (uint)Mask == 0;

    /// <summary>As the verifier log prints it.</summary>
    public override string ToString() => Mask != 0 ? $"(0x{Value:x}; 0x{Mask:x})" : Value <= ushort.MaxValue ? $"{Value}" : $"0x{Value:x}";
}
