using System.Buffers.Binary;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Interpreter;

/// <summary>What arithmetic and comparisons mean, by operation and width: the checked interpreter's plain second wording of the loop.</summary>
internal static class AluSemantics
{
    /// <summary>The result of an arithmetic instruction; b is the source register or the sign-extended immediate.</summary>
    public static ulong Compute(InsnForm form, Insn insn, ulong a, ulong b)
    {
        bool wide = form.Class == InsnClass.Alu64;
        int shift = (int)b & (wide ? 63 : 31);
        uint x = (uint)a, y = (uint)b;
        ulong result = form.Row.Op switch
        {
            InsnOp.Add => a + b,
            InsnOp.Sub => a - b,
            InsnOp.Mul => a * b,
            InsnOp.Or => a | b,
            InsnOp.And => a & b,
            InsnOp.Xor => a ^ b,
            InsnOp.Lsh => a << shift,
            InsnOp.Rsh => wide ? a >> shift : x >> shift,
            InsnOp.Arsh => wide ? (ulong)((long)a >> shift) : (uint)((int)x >> shift),
            InsnOp.Div => wide ? Arithmetic.Divide(a, b) : Arithmetic.Divide(x, y),
            InsnOp.Mod => wide ? Arithmetic.Modulo(a, b) : Arithmetic.Modulo(x, y),
            InsnOp.SDiv => wide ? Arithmetic.SignedDivide(a, b) : Arithmetic.SignedDivide(x, y),
            InsnOp.SMod => wide ? Arithmetic.SignedModulo(a, b) : Arithmetic.SignedModulo(x, y),
            InsnOp.Neg => 0 - a,
            InsnOp.Mov or InsnOp.AddrSpaceCast => b,
            InsnOp.MovSx => SignExtend(b, insn.Off),
            InsnOp.ToLe => Truncate(a, insn.Imm),
            InsnOp.ToBe or InsnOp.Bswap => BinaryPrimitives.ReverseEndianness(a) >> (64 - insn.Imm),
            _ => throw new ArgumentOutOfRangeException(nameof(form)),
        };
        // A byte swap to 64 bits belongs to the 32-bit class and yields 64 bits all the same.
        return wide || form.Row.Syntax == InsnSyntax.Swap ? result : (uint)result;
    }

    /// <summary>Whether a conditional jump is taken.</summary>
    public static bool Taken(InsnForm form, ulong a, ulong b)
    {
        if (form.Class == InsnClass.Jmp32)
        {
            bool signed = form.Row.Op is InsnOp.Jsgt or InsnOp.Jsge or InsnOp.Jslt or InsnOp.Jsle;
            (a, b) = signed ? ((ulong)(int)a, (ulong)(int)b) : ((uint)a, (uint)b);
        }

        return form.Row.Op switch
        {
            InsnOp.Jeq => a == b,
            InsnOp.Jne => a != b,
            InsnOp.Jgt => a > b,
            InsnOp.Jge => a >= b,
            InsnOp.Jlt => a < b,
            InsnOp.Jle => a <= b,
            InsnOp.Jsgt => (long)a > (long)b,
            InsnOp.Jsge => (long)a >= (long)b,
            InsnOp.Jslt => (long)a < (long)b,
            InsnOp.Jsle => (long)a <= (long)b,
            InsnOp.Jset => (a & b) != 0,
            _ => throw new ArgumentOutOfRangeException(nameof(form)),
        };
    }

    /// <summary>The lowest bits of a number, zero-extended.</summary>
    public static ulong Truncate(ulong value, int bits) => bits == 64 ? value : value & ((1UL << bits) - 1);

    /// <summary>The lowest bits of a number, sign-extended to 64.</summary>
    public static ulong SignExtend(ulong value, int bits) => (ulong)((long)(value << (64 - bits)) >> (64 - bits));
}
