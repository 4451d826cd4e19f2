using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>Operations on constants, done now.</summary>
internal sealed partial class Simplifier
{
    private static bool IsShift(IrOp op) => op is IrOp.Lsh or IrOp.Rsh or IrOp.Arsh;

    private void Fold(ref IrInsn n)
    {
        long a = _values[n.A].Constant, b = n.Imm;
        long? result = n.Is32 ? Fold32(n, (int)a, (int)b) : Fold64(n, a, b);
        if (result == null) return;
        (n.Op, n.A, n.B, n.Imm, n.Is32) = (IrOp.MovImm, None, None, n.Is32 ? (uint)result.Value : result.Value, false);
    }

    private static long? Fold64(in IrInsn n, long a, long b) => n.Op switch
    {
        IrOp.Add => a + b,
        IrOp.Sub => a - b,
        IrOp.Mul => a * b,
        IrOp.Or => a | b,
        IrOp.And => a & b,
        IrOp.Xor => a ^ b,
        IrOp.Lsh => a << (int)b,
        IrOp.Rsh => (long)((ulong)a >> (int)b),
        IrOp.Arsh => a >> (int)b,
        IrOp.Div => b == 0 ? 0 : (long)((ulong)a / (ulong)b),
        IrOp.Mod => b == 0 ? a : (long)((ulong)a % (ulong)b),
        IrOp.Mov => a,
        IrOp.MovSx => n.Size switch { 1 => (sbyte)a, 2 => (short)a, _ => (int)a },
        IrOp.MovZx => n.Size switch { 1 => (byte)a, 2 => (ushort)a, _ => (uint)a },
        IrOp.Neg => -a,
        _ => null,
    };

    private static long? Fold32(in IrInsn n, int a, int b) => n.Op switch
    {
        IrOp.Add => a + b,
        IrOp.Sub => a - b,
        IrOp.Mul => a * b,
        IrOp.Or => a | b,
        IrOp.And => a & b,
        IrOp.Xor => a ^ b,
        IrOp.Lsh => a << b,
        IrOp.Rsh => (long)((uint)a >> b),
        IrOp.Arsh => a >> b,
        IrOp.Div => b == 0 ? 0 : (long)((uint)a / (uint)b),
        IrOp.Mod => b == 0 ? a : (long)((uint)a % (uint)b),
        IrOp.Mov => a,
        IrOp.MovSx => n.Size switch { 1 => (sbyte)a, _ => (short)a },
        IrOp.Neg => -a,
        _ => null,
    };

    private void FoldBranch(ref IrInsn n)
    {
        long a = _values[n.A].Constant, b = n.Imm;
        if (n.Is32) (a, b) = ((int)a, (int)b);
        (ulong ua, ulong ub) = n.Is32 ? ((uint)a, (uint)b) : ((ulong)a, (ulong)b);
        bool taken = n.Op == IrOp.BranchTest
            ? (ua & ub) != 0 == (n.Condition == X86Condition.NotEqual)
            : n.Condition switch
            {
                X86Condition.Equal => ua == ub,
                X86Condition.NotEqual => ua != ub,
                X86Condition.Above => ua > ub,
                X86Condition.AboveEqual => ua >= ub,
                X86Condition.Below => ua < ub,
                X86Condition.BelowEqual => ua <= ub,
                X86Condition.Greater => a > b,
                X86Condition.GreaterEqual => a >= b,
                X86Condition.Less => a < b,
                _ => a <= b,
            };
        _branchesFolded = true;
        n.A = n.B = None;
        n.Op = taken ? IrOp.Jump : IrOp.Nop;
    }
}
