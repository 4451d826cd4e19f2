using System.Numerics;
using BpfSim.Vm.Jit.Emit;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// Walks forward through each stretch of code without joins and rewrites instructions by what is known:
/// constants are folded, copies looked through, additions moved into addresses, values taken from registers
/// instead of the stack. What becomes useless is removed later by <see cref="DeadCode"/>.
/// </summary>
internal sealed partial class Simplifier
{
    private const byte None = IrInsn.None, FramePointer = 10;

    private readonly RegisterValues _values = new();
    private readonly StackSlots _slots = new();
    private IrProgram _program = null!;
    private JitOptions _options = JitOptions.Default;
    private bool _frameEscapes;
    private bool _branchesFolded;
    private int _index;

    /// <summary>Rewrites all functions; returns whether a branch turned out to go always the same way.</summary>
    public bool Run(IrProgram program, JitOptions options)
    {
        (_program, _options, _branchesFolded) = (program, options, false);
        IrInsn[] insns = program.Insns;
        foreach (ref readonly IrFunction function in program.Functions.AsSpan())
        {
            _frameEscapes = FrameEscapes(function);
            _values.Forget(0);
            _slots.Clear();
            bool afterEnd = false;
            for (int i = function.Start; i < function.End; i++)
            {
                ref IrInsn n = ref insns[i];
                if (program.IsTarget[i] || afterEnd)
                {
                    _values.Forget(program.UpperClear[i]);
                    _slots.Clear();
                }
                _index = i;
                Operands(ref n);
                Rewrite(ref n);
                Track(n);
                afterEnd = n.EndsFlow;
            }
        }
        return _branchesFolded;
    }

    private bool FrameEscapes(in IrFunction function)
    {
        for (int i = function.Start; i < function.End; i++)
        {
            ref readonly IrInsn n = ref _program.Insns[i];
            bool asBase = n.A == FramePointer && n.Op is IrOp.Load or IrOp.LoadSx or IrOp.Store or IrOp.Atomic;
            if ((n.A == FramePointer && !asBase) || n.B == FramePointer) return true;
        }
        return false;
    }

    /// <summary>Replaces operands by constants and by the registers they were copied from.</summary>
    private void Operands(ref IrInsn n)
    {
        if (n.Op is IrOp.Load or IrOp.LoadSx or IrOp.ProbeLoad or IrOp.ProbeLoadSx or IrOp.Store or IrOp.Atomic)
        {
            FoldAddress(ref n);
            if (n.Op == IrOp.Store && n.B != None) StoreOperand(ref n);
            return;
        }
        if (!(n.IsBinary || n.Op is IrOp.Branch or IrOp.BranchTest or IrOp.Mov or IrOp.MovSx or IrOp.MovZx or IrOp.Neg or IrOp.Bswap)) return;
        if (_options.CopyPropagation)
        {
            bool lowHalf = n.Is32 || (n.Op is IrOp.MovSx or IrOp.MovZx && n.Size <= 4) || (n.Op == IrOp.Bswap && n.Size <= 4);
            if (_values.TryCopy(n.A, lowHalf, out byte a)) n.A = a;
            if (n.B != None && _values.TryCopy(n.B, n.Is32 || IsShift(n.Op), out byte b)) n.B = b;
        }
        if (!_options.ConstantPropagation || n.B == None) return;
        if (_values[n.A].IsConstant && !_values[n.B].IsConstant && n.Op is IrOp.Add or IrOp.Mul or IrOp.And or IrOp.Or or IrOp.Xor)
            (n.A, n.B) = (n.B, n.A);
        if (!_values[n.B].IsConstant) return;
        long constant = _values[n.B].Constant;
        if (n.Is32) constant = (int)constant;
        if (IsShift(n.Op)) constant &= n.Is32 ? 31 : 63;
        if (constant != (int)constant) return;
        n.B = None;
        n.Imm = constant;
    }

    private void StoreOperand(ref IrInsn n)
    {
        if (_options.CopyPropagation && _values.TryCopy(n.B, n.Size <= 4, out byte source)) n.B = source;
        if (!_options.ConstantPropagation || !_values[n.B].IsConstant) return;
        long constant = _values[n.B].Constant;
        if (n.Size == 8 && constant != (int)constant) return;
        n.B = None;
        n.Imm = (int)constant;
    }

    private void FoldAddress(ref IrInsn n)
    {
        if (!_options.AddressFolding || n.A == None || !_values.TrySum(n.A, out RegisterValues.Value sum) || sum.Base == None) return;
        long offset = sum.Constant + n.Off;
        if (offset != (int)offset || (n.Op == IrOp.Atomic && sum.Index != None)) return;
        (n.A, n.Index, n.Scale, n.Off) = (sum.Base, sum.Index, sum.Scale, (int)offset);
    }

    private void Rewrite(ref IrInsn n)
    {
        switch (n.Op)
        {
            case >= IrOp.Add and <= IrOp.SMod:
                if (_options.ConstantPropagation && n.B == None && _values[n.A].IsConstant) Fold(ref n);
                else Reduce(ref n);
                break;
            case IrOp.Mov or IrOp.MovSx or IrOp.MovZx or IrOp.Neg or IrOp.Bswap:
                if (_options.ConstantPropagation && _values[n.A].IsConstant) Fold(ref n);
                else if (n.Op == IrOp.Mov) ReduceMove(ref n);
                else if (n.Op == IrOp.MovZx && _options.ZeroExtension && _values[n.A].Max <= (n.Size == 1 ? 0xfful : n.Size == 2 ? 0xffff : uint.MaxValue))
                    (n.Op, n.Is32) = (IrOp.Mov, false);
                break;
            case IrOp.MovImm:
                if (_options.ConstantPropagation && _values[n.Dst].IsConstant && _values[n.Dst].Constant == n.Imm) n.Op = IrOp.Nop;
                break;
            case IrOp.Branch or IrOp.BranchTest:
                if (_options.ConstantPropagation && n.B == None && _values[n.A].IsConstant) FoldBranch(ref n);
                break;
            case IrOp.Load when _options.StackForwarding && n.A == FramePointer && n.Index == None:
                Forward(ref n);
                break;
            case IrOp.CallHelper:
                RewriteHelper(ref n);
                break;
        }
    }

    /// <summary>Simpler forms of binary operations.</summary>
    private void Reduce(ref IrInsn n)
    {
        bool wide = !n.Is32;
        if (n.B == None && _options.ZeroExtension && wide && n.Op == IrOp.And && n.Imm > 0)
        {
            // A mask that covers all bits that can be set does nothing.
            ulong max = _values[n.A].Max, mask = (ulong)n.Imm;
            if (BitOperations.IsPow2(mask + 1) && max <= mask)
            {
                (n.Op, n.Imm) = (IrOp.Mov, 0);
                ReduceMove(ref n);
                return;
            }
        }
        if (wide && n.B == None && n.Imm == 32 && n.Op is IrOp.Rsh or IrOp.Arsh && _options.ZeroExtension && TryShiftedLeft(n, out byte source))
        {
            // (x << 32) >> 32: the low half, extended.
            bool signed = n.Op == IrOp.Arsh;
            (n.Op, n.A, n.Is32, n.Imm, n.Size) = (signed ? IrOp.MovSx : IrOp.Mov, source, !signed, 0, 4);
            if (!signed) ReduceMove(ref n);
            return;
        }
        if (n.B == None && wide && n.Op is IrOp.Div or IrOp.Mod && _values[n.A].Max <= uint.MaxValue && (ulong)n.Imm <= uint.MaxValue) n.Size = 4;
        if (!wide || !_options.Lea || n.Op != IrOp.Add) return;
        if (n.B == None)
        {
            // x + y + constant in one lea, and chains of constants in one addition.
            if (_values.TrySum(n.A, out RegisterValues.Value sum) && sum.Base != None && sum.Constant + n.Imm is var c && c == (int)c)
            {
                if (sum.Index == None) (n.A, n.Imm) = (sum.Base, c);
                else (n.Op, n.A, n.Index, n.Scale, n.Off, n.Imm) = (IrOp.Lea, sum.Base, sum.Index, sum.Scale, (int)c, 0);
            }
            return;
        }
        if (TryLea(ref n, n.A, n.B) || TryLea(ref n, n.B, n.A)) return;
    }

    /// <summary>a + b where a is a sum of one register and a constant, or b a small multiple.</summary>
    private bool TryLea(ref IrInsn n, byte a, byte b)
    {
        if (_values.TrySum(b, out RegisterValues.Value scaled) && scaled.Base == None && scaled.Index != None && scaled.Constant == 0)
        {
            (n.Op, n.A, n.B, n.Index, n.Scale, n.Off) = (IrOp.Lea, a, None, scaled.Index, scaled.Scale, 0);
            return true;
        }
        if (!_values.TrySum(a, out RegisterValues.Value sum) || sum.Base == None || sum.Index != None || sum.Constant != (int)sum.Constant) return false;
        (n.Op, n.A, n.B, n.Index, n.Scale, n.Off) = (IrOp.Lea, sum.Base, None, b, 1, (int)sum.Constant);
        return true;
    }

    /// <summary>
    /// Whether the operand is another register shifted left by 32; a shift in place just before is undone, if
    /// the one that follows overwrites its result.
    /// </summary>
    private bool TryShiftedLeft(in IrInsn n, out byte source)
    {
        ref readonly RegisterValues.Value noted = ref _values[n.A];
        source = noted.Base;
        if (noted.IsSum && noted.LowHalfOnly && noted.Constant == -32 && source != None && _values.VersionOf(source) == noted.BaseVersion) return true;
        source = n.A;
        if (n.A != n.Dst || _program.IsTarget[_index]) return false;
        int before = _index - 1;
        while (before >= 0 && _program.Insns[before].Op == IrOp.Nop && !_program.IsTarget[before]) before--;
        if (before < 0) return false;
        ref IrInsn shift = ref _program.Insns[before];
        if (shift.Op != IrOp.Lsh || shift.Is32 || shift.B != None || shift.Imm != 32 || shift.Dst != n.A || shift.A != n.A) return false;
        shift.Op = IrOp.Nop;
        return true;
    }

    private void ReduceMove(ref IrInsn n)
    {
        if (n.Is32 && _options.ZeroExtension && _values[n.A].Max <= uint.MaxValue) n.Is32 = false;
        if (!n.Is32 && n.Dst == n.A) n.Op = IrOp.Nop;
    }

    private void Forward(ref IrInsn n)
    {
        if (!_slots.TryFind(n.Off, n.Size, _values, out byte register, out long constant)) return;
        if (register == None)
        {
            (n.Op, n.Imm, n.A) = (IrOp.MovImm, n.Size switch { 1 => (byte)constant, 2 => (ushort)constant, 4 => (uint)constant, _ => constant }, None);
            return;
        }
        (n.Op, n.A, n.Is32) = n.Size switch { 8 => (IrOp.Mov, register, false), 4 => (IrOp.Mov, register, true), _ => (IrOp.MovZx, register, false) };
        if (n.Op == IrOp.Mov) ReduceMove(ref n);
    }
}
