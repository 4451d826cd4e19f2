using System.Numerics;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>What is known after an instruction.</summary>
internal sealed partial class Simplifier
{
    private void Track(in IrInsn n)
    {
        switch (n.Op)
        {
            case IrOp.Nop or IrOp.Jump or IrOp.Branch or IrOp.BranchTest or IrOp.MayGoto or IrOp.Exit or IrOp.Fault:
                return;
            case IrOp.Store:
                TrackStore(n);
                return;
            case IrOp.Atomic:
                _slots.Clear();
                Forget(Liveness.Writes(n), n.Size == 8 ? ulong.MaxValue : uint.MaxValue);
                return;
            case IrOp.CallLocal or IrOp.CallHelper or IrOp.CallKfunc or IrOp.TailCall or IrOp.PacketLoad:
                if (_frameEscapes) _slots.Clear();
                Forget(Liveness.Writes(n), ulong.MaxValue);
                return;
            case IrOp.MapLookup:
                Forget(Liveness.Writes(n), ulong.MaxValue);
                return;
            case IrOp.MovImm:
                _values.WriteConstant(n.Dst, n.Imm);
                return;
            case IrOp.Mov:
                TrackMove(n);
                return;
            case IrOp.Add when !n.Is32 && n.B == None:
                _values.WriteSum(n.Dst, n.A, None, 1, n.Imm, SumOf(_values[n.A].Max, (ulong)n.Imm));
                return;
            case IrOp.Add when !n.Is32:
                _values.WriteSum(n.Dst, n.A, n.B, 1, 0, SumOf(_values[n.A].Max, _values[n.B].Max));
                return;
            case IrOp.Lea when !n.Is32:
                _values.WriteSum(n.Dst, n.A, n.Index, n.Scale, n.Off, ulong.MaxValue);
                return;
            case IrOp.Lsh when !n.Is32 && n.B == None && n.Imm is >= 1 and <= 3 && n.A != n.Dst:
                _values.WriteSum(n.Dst, None, n.A, (byte)(1 << (int)n.Imm), 0, ShiftOf(_values[n.A].Max, (int)n.Imm));
                return;
            case IrOp.Lsh when !n.Is32 && n.B == None && n.Imm == 32 && n.A != n.Dst:
                // Not a sum: a note for the shift back.
                _values.WriteSum(n.Dst, n.A, None, 1, -32, ulong.MaxValue, lowHalfOnly: true);
                return;
            default:
                _values.Write(n.Dst, MaxOf(n));
                return;
        }
    }

    private void TrackMove(in IrInsn n)
    {
        ulong max = n.Is32 ? Math.Min(_values[n.A].Max, uint.MaxValue) : _values[n.A].Max;
        if (_values[n.A].IsConstant) _values.WriteConstant(n.Dst, n.Is32 ? (uint)_values[n.A].Constant : _values[n.A].Constant);
        else _values.WriteSum(n.Dst, n.A, None, 1, 0, max, lowHalfOnly: n.Is32 && _values[n.A].Max > uint.MaxValue);
    }

    private void TrackStore(in IrInsn n)
    {
        if (n.A != FramePointer)
        {
            if (_frameEscapes) _slots.Clear();
            return;
        }
        if (n.Index != None) _slots.Clear();
        else if (_options.StackForwarding) _slots.Store(n.Off, n.Size, n.B, n.B == None ? 0 : _values.VersionOf(n.B), n.Imm);
    }

    private void Forget(int mask, ulong max)
    {
        for (; mask != 0; mask &= mask - 1) _values.Write(BitOperations.TrailingZeroCount(mask), max);
    }

    /// <summary>An upper bound of what an instruction leaves in its destination.</summary>
    private ulong MaxOf(in IrInsn n)
    {
        ulong limit = n.Is32 ? uint.MaxValue : ulong.MaxValue;
        ulong a = n.A < 13 ? Math.Min(_values[n.A].Max, limit) : limit;
        ulong b = n.B == None ? (ulong)n.Imm : n.B < 13 ? _values[n.B].Max : limit;
        return n.Op switch
        {
            IrOp.Load or IrOp.ProbeLoad or IrOp.ContextField => n.Size == 8 ? ulong.MaxValue : (1ul << (8 * n.Size)) - 1,
            IrOp.MovZx => Math.Min(_values[n.A].Max, n.Size == 8 ? ulong.MaxValue : (1ul << (8 * n.Size)) - 1),
            IrOp.Bswap => n.Size == 8 ? ulong.MaxValue : (1ul << (8 * n.Size)) - 1,
            IrOp.And => n.Is32 ? Math.Min(a, n.B == None ? (uint)n.Imm : Math.Min(b, limit)) : n.B == None && n.Imm < 0 ? a : Math.Min(a, b),
            IrOp.Or or IrOp.Xor when n.B != None || n.Imm >= 0 => Math.Min(limit, OnesUpTo(a | b)),
            IrOp.Rsh when n.B == None && (!n.Is32 || _values[n.A].Max <= uint.MaxValue) => a >> (int)n.Imm,
            IrOp.Rsh when !n.Is32 || _values[n.A].Max <= uint.MaxValue => a,
            IrOp.Rsh when n.B == None => uint.MaxValue >> (int)n.Imm,
            IrOp.Div when !n.Is32 || _values[n.A].Max <= uint.MaxValue => n.B == None && n.Imm > 0 ? a / (ulong)n.Imm : a,
            IrOp.Mod when n.B == None && n.Imm > 0 => (ulong)n.Imm - 1,
            IrOp.LoadSx or IrOp.ProbeLoadSx => ulong.MaxValue,
            IrOp.Select => ulong.MaxValue,
            _ => limit,
        };
    }

    private static ulong SumOf(ulong a, ulong b) => a > ulong.MaxValue - b ? ulong.MaxValue : a + b;

    private static ulong ShiftOf(ulong a, int count) => BitOperations.LeadingZeroCount(a) >= count ? a << count : ulong.MaxValue;

    private static ulong OnesUpTo(ulong a) => a == 0 ? 0 : ulong.MaxValue >> BitOperations.LeadingZeroCount(a);
}
