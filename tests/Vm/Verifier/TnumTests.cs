using BpfSim.Vm.Verifier.Domains;

namespace BpfSim.Vm.Tests.Verifier;

/// <summary>Known bits against concrete arithmetic: exhaustively over four bits, at both ends of the word.</summary>
public class TnumTests
{
    private const int Bits = 4;

    private static IEnumerable<Tnum> All()
    {
        for (ulong mask = 0; mask < 1 << Bits; mask++)
        {
            for (ulong value = 0; value < 1 << Bits; value++)
            {
                if ((value & mask) == 0) yield return new Tnum(value, mask);
            }
        }
    }

    private static IEnumerable<ulong> Members(Tnum t)
    {
        for (ulong x = 0; x < 1 << Bits; x++)
        {
            if (t.Contains(Tnum.Const(x))) yield return x;
        }
    }

    public static TheoryData<string> Operations => ["+", "-", "*", "&", "|", "^"];

    private static (Tnum Abstract, Func<ulong, ulong, ulong> Concrete) Apply(string op, Tnum a, Tnum b) => op switch
    {
        "+" => (a + b, (x, y) => x + y),
        "-" => (a - b, (x, y) => x - y),
        "*" => (a * b, (x, y) => x * y),
        "&" => (a & b, (x, y) => x & y),
        "|" => (a | b, (x, y) => x | y),
        _ => (a ^ b, (x, y) => x ^ y),
    };

    [Theory]
    [MemberData(nameof(Operations))]
    public void ResultsAreMembers(string op)
    {
        foreach (Tnum a in All())
        {
            foreach (Tnum b in All())
            {
                (Tnum result, Func<ulong, ulong, ulong> concrete) = Apply(op, a, b);
                Assert.Equal(0ul, result.Value & result.Mask);
                foreach (ulong x in Members(a))
                {
                    foreach (ulong y in Members(b))
                        Assert.True(result.Contains(Tnum.Const(concrete(x, y))), $"{x} {op} {y} is not in {result}");
                }
            }
        }
    }

    [Fact]
    public void IntersectionAndUnion()
    {
        foreach (Tnum a in All())
        {
            foreach (Tnum b in All())
            {
                bool overlap = Members(a).Intersect(Members(b)).Any();
                Assert.Equal(overlap, Tnum.Overlap(a, b));
                Tnum both = Tnum.Intersect(a, b), either = Tnum.Union(a, b);
                foreach (ulong x in Members(a).Intersect(Members(b))) Assert.True(both.Contains(Tnum.Const(x)));
                foreach (ulong x in Members(a).Concat(Members(b))) Assert.True(either.Contains(Tnum.Const(x)));
            }
        }
    }

    [Fact]
    public void RangeHoldsItsEnds()
    {
        for (ulong min = 0; min < 40; min++)
        {
            for (ulong max = min; max < 40; max++)
            {
                for (ulong x = min; x <= max; x++) Assert.True(Tnum.Range(min, max).Contains(Tnum.Const(x)));
            }
        }

        Assert.Equal(Tnum.Unknown, Tnum.Range(0, ulong.MaxValue));
    }
}
