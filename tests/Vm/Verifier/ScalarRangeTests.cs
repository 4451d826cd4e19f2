using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;

namespace BpfSim.Vm.Tests.Verifier;

/// <summary>
/// Ranges against concrete arithmetic: sets are grown around random numbers, every operation and every
/// comparison is done on both, and the concrete result must lie in the abstract one.
/// </summary>
public class ScalarRangeTests
{
    private const int Rounds = 60_000;

    private static readonly AluOp[] s_ops =
        [AluOp.Add, AluOp.Sub, AluOp.Mul, AluOp.And, AluOp.Or, AluOp.Xor, AluOp.Lsh, AluOp.Rsh, AluOp.Arsh, AluOp.Neg];

    private static readonly JmpOp[] s_jumps =
        [JmpOp.Jeq, JmpOp.Jne, JmpOp.Jgt, JmpOp.Jge, JmpOp.Jlt, JmpOp.Jle, JmpOp.Jsgt, JmpOp.Jsge, JmpOp.Jslt, JmpOp.Jsle, JmpOp.Jset];

    private static ulong Number(Random random) => random.Next(8) switch
    {
        0 => 0,
        1 => ulong.MaxValue,
        2 => 1ul << random.Next(64),
        3 => (ulong)random.Next(-20, 20),
        4 => (uint)random.Next(),
        5 => (ulong)(int)random.Next(int.MinValue, int.MaxValue),
        _ => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
    };

    // A set that holds x, made by learning true things about it.
    private static ScalarRange Around(ulong x, Random random)
    {
        if (random.Next(6) == 0) return ScalarRange.Const(x);
        ScalarRange range = ScalarRange.Unknown;
        for (int i = random.Next(4); i > 0; i--)
        {
            JmpOp op = s_jumps[random.Next(s_jumps.Length)];
            bool is32 = random.Next(3) == 0;
            ScalarRange other = ScalarRange.Const(Number(random));
            ScalarRange.Refine(ref range, ref other, op, is32, Concrete(x, other.VarOff.Value, op, is32));
        }

        if (random.Next(3) == 0)
        {
            ulong mask = Number(random);
            range.VarOff = Tnum.Intersect(range.VarOff, new Tnum(x & ~mask, mask));
            range.Sync();
        }

        return range;
    }

    private static bool Concrete(ulong x, ulong y, JmpOp op, bool is32)
    {
        if (is32) (x, y) = ((uint)x, (uint)y);
        long sx = is32 ? (int)x : (long)x, sy = is32 ? (int)y : (long)y;
        return op switch
        {
            JmpOp.Jeq => x == y,
            JmpOp.Jne => x != y,
            JmpOp.Jgt => x > y,
            JmpOp.Jge => x >= y,
            JmpOp.Jlt => x < y,
            JmpOp.Jle => x <= y,
            JmpOp.Jsgt => sx > sy,
            JmpOp.Jsge => sx >= sy,
            JmpOp.Jslt => sx < sy,
            JmpOp.Jsle => sx <= sy,
            _ => (x & y) != 0,
        };
    }

    private static ulong Concrete(ulong x, ulong y, AluOp op, bool is32)
    {
        int shift = (int)(y & (is32 ? 31u : 63u));
        ulong result = op switch
        {
            AluOp.Add => x + y,
            AluOp.Sub => x - y,
            AluOp.Mul => x * y,
            AluOp.And => x & y,
            AluOp.Or => x | y,
            AluOp.Xor => x ^ y,
            AluOp.Lsh => x << shift,
            AluOp.Rsh => is32 ? (uint)x >> shift : x >> shift,
            AluOp.Arsh => is32 ? (ulong)((int)x >> shift) : (ulong)((long)x >> shift),
            _ => 0 - x,
        };
        return is32 ? (uint)result : result;
    }

    [Fact]
    public void ArithmeticHoldsTheConcreteResult()
    {
        var random = new Random(1);
        for (int i = 0; i < Rounds; i++)
        {
            AluOp op = s_ops[random.Next(s_ops.Length)];
            bool is32 = random.Next(2) == 0, shifts = op is AluOp.Lsh or AluOp.Rsh or AluOp.Arsh;
            ulong x = Number(random), y = shifts ? (ulong)random.Next(is32 ? 32 : 64) : Number(random);
            ScalarRange a = Around(x, random), b = shifts ? ScalarRange.Const(y) : Around(y, random), result = a;
            Assert.True(ScalarRange.CanCompute(op, is32, b));
            result.Apply(op, is32, b);
            ulong concrete = Concrete(x, y, op, is32);
            Assert.True(result.Contains(concrete), $"round {i}: 0x{x:x} {op} 0x{y:x} ({(is32 ? 32 : 64)}) = 0x{concrete:x} is not in the result");
        }
    }

    [Fact]
    public void ComparisonsKeepTheNumbersAndNeverDecideWrongly()
    {
        var random = new Random(2);
        for (int i = 0; i < Rounds; i++)
        {
            JmpOp op = s_jumps[random.Next(s_jumps.Length)];
            bool is32 = random.Next(2) == 0;
            ulong x = Number(random), y = random.Next(4) == 0 ? x : Number(random);
            ScalarRange a = Around(x, random), b = Around(y, random);
            bool taken = Concrete(x, y, op, is32);
            if (ScalarRange.Decide(a, b, op, is32) is { } decided) Assert.Equal(taken, decided);
            ScalarRange.Refine(ref a, ref b, op, is32, taken);
            Assert.True(a.Contains(x) && b.Contains(y), $"round {i}: 0x{x:x} {op} 0x{y:x} ({(is32 ? 32 : 64)}) is {taken}, but a side lost its number");
        }
    }

    [Fact]
    public void CutsAndExtensionsHoldTheConcreteResult()
    {
        var random = new Random(3);
        for (int i = 0; i < Rounds; i++)
        {
            ulong x = Number(random);
            int size = 1 << random.Next(3);
            ScalarRange cut = Around(x, random), extended = cut, extended32 = cut, swapped = cut;
            cut.Truncate(size);
            Assert.True(cut.Contains(size == 4 ? (uint)x : size == 2 ? (ushort)x : (byte)x));
            extended.SignExtend64(size);
            long signed = size == 4 ? (int)x : size == 2 ? (short)x : (sbyte)x;
            Assert.True(extended.Contains((ulong)signed));
            if (size < 4)
            {
                extended32.SignExtend32(size);
                extended32.ZeroExtend32();
                extended32.Sync();
                Assert.True(extended32.Contains((uint)signed));
            }

            swapped.ByteSwap(64, swap: true);
            Assert.True(swapped.Contains(System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(x)));
        }
    }
}
