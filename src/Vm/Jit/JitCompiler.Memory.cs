using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>Loads, stores and atomic operations.</summary>
internal sealed partial class JitCompiler
{
    private void EmitStore(in IrInsn n)
    {
        X86Memory memory = Memory(n);
        if (n.B == IrInsn.None) _e.StoreImm(memory, (int)n.Imm, n.Size);
        else _e.Store(memory, R(n.B), n.Size);
    }

    private void EmitMemoryAlu(in IrInsn n)
    {
        X86Alu op = n.Sub switch
        {
            IrOp.Add => X86Alu.Add,
            IrOp.Sub => X86Alu.Sub,
            IrOp.And => X86Alu.And,
            IrOp.Or => X86Alu.Or,
            _ => X86Alu.Xor,
        };
        if (n.B == IrInsn.None) _e.AluMI(op, Memory(n), (int)n.Imm, n.Size);
        else _e.AluMR(op, Memory(n), R(n.B), n.Size == 8);
    }

    /// <summary>
    /// A load through a kernel pointer: addresses inside the simulated kernel memory are translated, all
    /// others read 0.
    /// </summary>
    private void EmitProbeLoad(in IrInsn n)
    {
        int zero = _e.NewLabel(), done = _e.NewLabel();
        X86Register d = R(n.Dst);
        _e.Lea(Scratch1, Memory(n), true);
        _e.AluRM(X86Alu.Sub, Scratch1, new X86Memory(Context, RunContextOffsets.ArenaBase), true);
        _e.Load(Scratch0, new X86Memory(Context, RunContextOffsets.ArenaLength), 8);
        _e.AluRI(X86Alu.Sub, Scratch0, n.Size, true);
        _e.Jcc(X86Condition.Below, zero);
        _e.AluRR(X86Alu.Cmp, Scratch1, Scratch0, true);
        _e.Jcc(X86Condition.Above, zero);
        _e.AluRM(X86Alu.Add, Scratch1, new X86Memory(Context, RunContextOffsets.ArenaMemory), true);
        X86Memory translated = new(Scratch1, 0);
        if (n.Op == IrOp.ProbeLoad) _e.Load(d, translated, n.Size);
        else _e.LoadSx(d, translated, n.Size);
        _e.Bind(done);
        _cold.Add(() =>
        {
            _e.Bind(zero);
            _e.MovRI(d, 0);
            _e.Jmp(done);
        });
    }

    private void EmitAtomic(in IrInsn n)
    {
        X86Memory memory = Memory(n);
        bool wide = n.Size == 8;
        switch ((int)n.Imm)
        {
            case 0x100: _e.Load(R(n.Dst), memory, n.Size); break;
            case 0x110: _e.Store(memory, R(n.B), n.Size); break;
            case 0x00: LockAlu(X86Alu.Add, n, memory, wide); break;
            case 0x40: LockAlu(X86Alu.Or, n, memory, wide); break;
            case 0x50: LockAlu(X86Alu.And, n, memory, wide); break;
            case 0xa0: LockAlu(X86Alu.Xor, n, memory, wide); break;
            case 0x01:
                // When nobody reads the old value, the plain form is shorter and faster.
                if (_options.DeadCode && !LiveAfter(n.B)) LockAlu(X86Alu.Add, n, memory, wide);
                else _e.LockXadd(memory, R(n.B), wide);
                break;
            case 0xe1: _e.XchgM(memory, R(n.B), wide); break;
            case 0xf1:
                _e.LockCmpxchg(memory, R(n.B), wide);
                if (!wide) _e.MovRR(Rax, Rax, false);
                break;
            case 0x41: FetchLoop(X86Alu.Or, n, memory, wide); break;
            case 0x51: FetchLoop(X86Alu.And, n, memory, wide); break;
            case 0xa1: FetchLoop(X86Alu.Xor, n, memory, wide); break;
            default: throw new InvalidProgramException($"insn {n.Slot}: unknown atomic operation {n.Imm:x}");
        }
    }

    private void LockAlu(X86Alu op, in IrInsn n, in X86Memory memory, bool wide)
    {
        if (n.Flag) _e.LockAluImm(op, memory, n.Target, wide);
        else _e.LockAlu(op, memory, R(n.B), wide);
    }

    /// <summary>x86 has no fetching or, and, xor: load, compute, compare-and-exchange until nobody came between.</summary>
    private void FetchLoop(X86Alu op, in IrInsn n, X86Memory memory, bool wide)
    {
        if (_options.DeadCode && !LiveAfter(n.B))
        {
            LockAlu(op, n, memory, wide);
            return;
        }
        X86Register operand = R(n.B);
        // cmpxchg works in rax: both base and operand must lie elsewhere, and r0 must survive.
        _e.MovRR(Scratch0, Rax, true);
        if (operand == Rax) operand = Scratch0;
        if (memory.Base == Rax) memory = memory with { Base = Scratch0 };
        int again = _e.NewLabel();
        _e.Load(Rax, memory, n.Size);
        _e.Bind(again);
        _e.MovRR(Scratch1, Rax, wide);
        _e.AluRR(op, Scratch1, operand, wide);
        _e.LockCmpxchg(memory, Scratch1, wide);
        _e.Jcc(X86Condition.NotEqual, again);
        if (R(n.B) == Rax)
        {
            if (!wide) _e.MovRR(Rax, Rax, false);
            return;
        }
        _e.MovRR(R(n.B), Rax, wide);
        _e.MovRR(Rax, Scratch0, true);
    }
}
