using System.Numerics;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>Arithmetic but division.</summary>
internal sealed partial class JitCompiler
{
    private void EmitBinary(in IrInsn n)
    {
        switch (n.Op)
        {
            case IrOp.Add or IrOp.Sub: EmitAddSub(n); break;
            case IrOp.Mul: EmitMultiply(n); break;
            case IrOp.Lsh or IrOp.Rsh or IrOp.Arsh: EmitShift(n); break;
            default: EmitLogic(n); break;
        }
    }

    private void EmitAddSub(in IrInsn n)
    {
        X86Register d = R(n.Dst), a = R(n.A);
        bool wide = !n.Is32;
        if (n.B == IrInsn.None)
        {
            long imm = n.Op == IrOp.Add ? n.Imm : -n.Imm;
            if (imm != (int)imm)
            {
                // Only -(-2^31): subtracting has no such gap.
                Move(n.Dst, n.A, n.Is32);
                _e.AluRI(X86Alu.Sub, d, (int)n.Imm, wide);
                SetFlags(n.Dst, n.Is32);
            }
            else if (d != a && _options.Lea)
            {
                _e.Lea(d, new X86Memory(a, (int)imm), wide);
            }
            else
            {
                Move(n.Dst, n.A, n.Is32);
                // Subtracting -128 has a shorter form than adding 128.
                if (imm == 128) _e.AluRI(X86Alu.Sub, d, -128, wide);
                else _e.AluRI(X86Alu.Add, d, (int)imm, wide);
                SetFlags(n.Dst, n.Is32);
            }
            return;
        }
        X86Register b = R(n.B);
        if (n.Op == IrOp.Add && d != a && d != b && _options.Lea)
        {
            _e.Lea(d, new X86Memory(a, 0, b), wide);
            return;
        }
        if (n.Op == IrOp.Add && d == b)
        {
            _e.AluRR(X86Alu.Add, d, a, wide);
        }
        else if (n.Op == IrOp.Sub && d == b && d != a)
        {
            _e.Neg(d, wide);
            _e.AluRR(X86Alu.Add, d, a, wide);
        }
        else
        {
            Move(n.Dst, n.A, n.Is32);
            _e.AluRR(n.Op == IrOp.Add ? X86Alu.Add : X86Alu.Sub, d, b, wide);
        }
        SetFlags(n.Dst, n.Is32);
    }

    private void EmitLogic(in IrInsn n)
    {
        X86Register d = R(n.Dst);
        X86Alu op = n.Op switch { IrOp.And => X86Alu.And, IrOp.Or => X86Alu.Or, _ => X86Alu.Xor };
        bool wide = !n.Is32;
        if (n.B != IrInsn.None)
        {
            byte other = n.B;
            if (n.Dst == n.B) other = n.A;
            else Move(n.Dst, n.A, n.Is32);
            _e.AluRR(op, d, R(other), wide);
        }
        else if (n.Op == IrOp.And && (n.Imm is 0xff or 0xffff))
        {
            _e.MovZx(d, R(n.A), n.Imm == 0xff ? 1 : 2);
            return;
        }
        else
        {
            Move(n.Dst, n.A, n.Is32);
            if (n.Op == IrOp.Xor && n.Imm == -1)
            {
                _e.Not(d, wide);
                return;
            }
            // A positive mask clears the upper half anyway.
            if (n.Op == IrOp.And && n.Imm >= 0) wide = false;
            _e.AluRI(op, d, (int)n.Imm, wide);
        }
        SetFlags(n.Dst, n.Is32);
    }

    private void EmitMultiply(in IrInsn n)
    {
        X86Register d = R(n.Dst), a = R(n.A);
        bool wide = !n.Is32;
        if (n.B != IrInsn.None)
        {
            if (n.Dst == n.B && n.Dst != n.A)
            {
                _e.Imul(d, a, wide);
                return;
            }
            Move(n.Dst, n.A, n.Is32);
            _e.Imul(d, R(n.B), wide);
            return;
        }
        long imm = n.Imm;
        if (!_options.StrengthReduction)
        {
            _e.ImulRRI(d, a, (int)imm, wide);
        }
        else if (imm == 0)
        {
            _e.MovRI(d, 0);
        }
        else if (imm > 0 && BitOperations.IsPow2(imm))
        {
            Move(n.Dst, n.A, n.Is32);
            int shift = BitOperations.TrailingZeroCount(imm);
            if (shift > 0) _e.ShiftRI(X86Shift.Shl, d, shift, wide);
            else if (n.Is32 && n.Dst == n.A) _e.MovRR(d, d, false);
        }
        else if (imm is 3 or 5 or 9)
        {
            _e.Lea(d, new X86Memory(a, 0, a, (int)imm - 1), wide);
        }
        else
        {
            _e.ImulRRI(d, a, (int)imm, wide);
        }
    }

    private void EmitShift(in IrInsn n)
    {
        X86Register d = R(n.Dst), a = R(n.A);
        bool wide = !n.Is32;
        X86Shift op = n.Op switch { IrOp.Lsh => X86Shift.Shl, IrOp.Rsh => X86Shift.Shr, _ => X86Shift.Sar };
        if (n.B == IrInsn.None)
        {
            if (n.Op == IrOp.Lsh && d != a && n.Imm == 1 && _options.Lea)
            {
                _e.Lea(d, new X86Memory(a, 0, a), wide);
                return;
            }
            if (n.Op == IrOp.Lsh && d != a && (n.Imm is 2 or 3) && _options.Lea)
            {
                _e.Lea(d, new X86Memory(None, 0, a, 1 << (int)n.Imm), wide);
                return;
            }
            Move(n.Dst, n.A, n.Is32);
            if (n.Imm != 0)
            {
                _e.ShiftRI(op, d, (int)n.Imm, wide);
                SetFlags(n.Dst, n.Is32);
            }
            else if (n.Is32 && d == a)
            {
                _e.MovRR(d, d, false);
            }
            return;
        }
        X86Register b = R(n.B);
        if (_options.Bmi2)
        {
            _e.ShiftX(op, d, a, b, wide);
        }
        else if (b == Rcx && d != Rcx)
        {
            Move(n.Dst, n.A, n.Is32);
            _e.ShiftCl(op, d, wide);
        }
        else
        {
            _e.MovRR(Scratch1, a, wide);
            if (b != Rcx)
            {
                _e.MovRR(Scratch0, Rcx, true);
                _e.MovRR(Rcx, b, false);
            }
            _e.ShiftCl(op, Scratch1, wide);
            if (b != Rcx) _e.MovRR(Rcx, Scratch0, true);
            _e.MovRR(d, Scratch1, true);
        }
    }

    private void EmitMovZx(in IrInsn n)
    {
        if (n.Size == 4) _e.MovRR(R(n.Dst), R(n.A), false);
        else _e.MovZx(R(n.Dst), R(n.A), n.Size);
    }

    private void EmitBswap(in IrInsn n)
    {
        X86Register d = R(n.Dst);
        Move(n.Dst, n.A, n.Size != 8);
        if (n.Size == 2)
        {
            _e.Rol16By8(d);
            _e.MovZx(d, d, 2);
        }
        else
        {
            _e.Bswap(d, n.Size == 8);
        }
    }

    private void EmitRotate(in IrInsn n)
    {
        int bits = n.Is32 ? 32 : 64;
        if (n.Dst != n.A && _options.Bmi2)
        {
            _e.Rorx(R(n.Dst), R(n.A), (bits - (int)n.Imm) & (bits - 1), !n.Is32);
            return;
        }
        Move(n.Dst, n.A, n.Is32);
        _e.ShiftRI(X86Shift.Rol, R(n.Dst), (int)n.Imm, !n.Is32);
    }
}
