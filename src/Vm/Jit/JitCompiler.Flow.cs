using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using BpfSim.Vm.Programs;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>Functions, jumps, calls, and how a run is stopped.</summary>
internal sealed unsafe partial class JitCompiler
{
    /// <summary>may_goto gives up after so many rounds of one function call (BPF_MAX_LOOPS).</summary>
    private const int MaxLoops = 8 * 1024 * 1024;

    /// <summary>Local calls nested deeper than this stop an unverified program (MAX_CALL_FRAMES).</summary>
    private const int MaxFrames = 8;

    private static readonly X86Register[] CalleeSaved = [Rbx, R13, R14, R15];
    private readonly List<X86Register> _saved = [];

    private void EmitPrologue()
    {
        _saved.Clear();
        _hasFrame = _function.UsesStack || _function.HasMayGoto || !_options.FrameElimination;
        if (!_isMain)
        {
            if (_hasFrame) _saved.Add(Rbp);
            for (int i = 0; i < 4; i++)
                if (!_options.SaveUsedRegistersOnly || (_function.CalleeSavedWritten & (1 << (6 + i))) != 0) _saved.Add(CalleeSaved[i]);
        }
        foreach (X86Register r in _saved) _e.Push(r);
        int stack = _hasFrame ? (_function.StackBytes + 7) & ~7 : 0;
        if (_function.HasMayGoto) stack += 8;
        // On entry rsp is 8 below a multiple of 16; callees want to be entered in the same way.
        bool misaligned = ((8 + (8 * _saved.Count) + stack) & 15) != 0;
        if (_function.HasCalls && misaligned) stack += 8;
        if (_hasFrame) _e.MovRR(Rbp, Rsp, true);
        // The 128 bytes below rsp belong to a function that calls nobody.
        _frame = _function.HasCalls || stack > 128 ? stack : 0;
        if (_frame > 0) _e.AluRI(X86Alu.Sub, Rsp, _frame, true);
        if (_function.HasMayGoto) _e.StoreImm(MayGotoCounter(), MaxLoops, 8);
        if ((_function.StackEscapes && _function.HasCalls) || !_verified || _program.Source.ReadsUninitStack) ClearStack();
    }

    /// <summary>
    /// Zeros a stack whose address leaves the function, so that what a program forgot to initialise (padding in
    /// keys, most often) is the same in every run.
    /// </summary>
    private void ClearStack()
    {
        int bytes = _hasFrame ? ((_verified && !_program.Source.ReadsUninitStack ? _function.ClearBytes : _function.StackBytes) + 7) & ~7 : 0;
        if (bytes == 0) return;
        int offset = -bytes;
        if (bytes >= 16) _e.ZeroXmm0();
        for (; offset <= -16; offset += 16) _e.StoreXmm0(new X86Memory(Rbp, offset));
        if (offset < 0) _e.StoreImm(new X86Memory(Rbp, offset), 0, 8);
    }

    private X86Memory MayGotoCounter() => new(Rbp, -((_function.StackBytes + 7) & ~7) - 8);

    private void EmitEpilogue()
    {
        LeaveFrame();
        _e.Ret();
    }

    private void LeaveFrame()
    {
        if (_hasFrame && _frame > 0) _e.MovRR(Rsp, Rbp, true);
        else if (_frame > 0) _e.AluRI(X86Alu.Add, Rsp, _frame, true);
        for (int i = _saved.Count - 1; i >= 0; i--) _e.Pop(_saved[i]);
    }

    // ---- jumps ----

    private void EmitJump(in IrInsn n)
    {
        if (n.Target <= _index) EmitFuelCheck(n.Slot);
        if (_options.JumpOptimization && _program.SkipNops(_index + 1, _function.End) == _program.SkipNops(n.Target, _function.End)) return;
        _e.Jmp(_labels[n.Target]);
    }

    private void EmitBranch(in IrInsn n)
    {
        if (n.Target <= _index) EmitFuelCheck(n.Slot);
        EmitComparison(n, n.Op);
        _e.Jcc(n.Condition, _labels[n.Target]);
    }

    private void EmitComparison(in IrInsn n, IrOp kind)
    {
        X86Register a = R(n.A);
        bool wide = !n.Is32;
        if (kind == IrOp.BranchTest)
        {
            if (n.B != IrInsn.None) _e.TestRR(a, R(n.B), wide);
            else _e.TestRI(a, (int)n.Imm, wide);
        }
        else if (n.B != IrInsn.None)
        {
            _e.AluRR(X86Alu.Cmp, a, R(n.B), wide);
        }
        else if (n.Imm != 0)
        {
            _e.AluRI(X86Alu.Cmp, a, (int)n.Imm, wide);
        }
        else if (!FlagsTell(n))
        {
            _e.TestRR(a, a, wide);
        }
    }

    /// <summary>Whether the instruction just emitted has set the zero flag by the register that is compared with 0.</summary>
    private bool FlagsTell(in IrInsn n) =>
        _options.FlagReuse && _flagsPosition == _e.Position && _flagsRegister == n.A && n.Op is not (IrOp.Select or IrOp.SetCondition)
        && (n.Condition is X86Condition.Equal or X86Condition.NotEqual) && (_flags32 || !n.Is32);

    private void EmitSelect(in IrInsn n)
    {
        X86Register source;
        if (n.Index == IrInsn.None)
        {
            source = Scratch0;
            _e.MovRI(source, n.Off);
        }
        else
        {
            source = R(n.Index);
            if (n.Size == 4)
            {
                _e.MovRR(Scratch0, source, false);
                source = Scratch0;
            }
        }
        EmitComparison(n, n.Sub);
        _e.Cmov(n.Condition, R(n.Dst), source, true);
    }

    private void EmitSetCondition(in IrInsn n)
    {
        X86Register d = R(n.Dst);
        bool inPlace = n.Dst != n.A && n.Dst != n.B;
        if (inPlace) _e.MovRI(d, 0);
        EmitComparison(n, n.Sub);
        _e.Setcc(n.Condition, d);
        if (!inPlace) _e.MovZx(d, d, 1);
    }

    private void EmitMaskConstant(in IrInsn n)
    {
        _e.MovRI(Scratch0, n.Imm);
        _e.TestRI(R(n.A), 1, false);
        _e.MovRI(R(n.Dst), 0, keepFlags: true);
        _e.Cmov(X86Condition.NotEqual, R(n.Dst), Scratch0, true);
    }

    private void EmitMayGoto(in IrInsn n)
    {
        X86Memory counter = MayGotoCounter();
        _e.AluMI(X86Alu.Sub, counter, 1, 8);
        int end = _e.NewLabel();
        int target = _labels[n.Target], slot = n.Slot;
        bool goesBack = n.Target <= _index;
        _e.Jcc(X86Condition.Below, end);
        _cold.Add(() =>
        {
            // The counter stays at 0, so that the next may_goto gives up as well.
            _e.Bind(end);
            _e.StoreImm(counter, 0, 8);
            if (goesBack) EmitFuelCheck(slot);
            _e.Jmp(target);
        });
    }

    // ---- calls ----

    private void EmitCallLocal(in IrInsn n)
    {
        EmitFuelCheck(n.Slot);
        if (_verified)
        {
            _e.CallLabel(_functionLabels[n.Target]);
            return;
        }
        X86Memory depth = new(Context, RunContextOffsets.CallDepth);
        _e.AluMI(X86Alu.Add, depth, 1, 4);
        _e.AluMI(X86Alu.Cmp, depth, MaxFrames, 4);
        JumpToFault(X86Condition.AboveEqual, n.Slot, RunFault.CallTooDeep);
        _e.CallLabel(_functionLabels[n.Target]);
        _e.AluMI(X86Alu.Sub, depth, 1, 4);
    }

    private void EmitCall(in IrInsn n)
    {
        HelperPrototype? helper = n.Op == IrOp.CallHelper
            ? _program.Source.Helpers.Find((int)n.Imm) : _program.Source.Kfuncs.Find((int)n.Imm);
        if (helper == null && !_verified)
        {
            EmitFault(n.Slot, RunFault.BadInstruction);
            return;
        }
        if (helper == null || helper.Implementation == null)
        {
            _e.MovRI(Rax, -(int)Errno.EOPNOTSUPP);
            return;
        }
        switch (n.Sub)
        {
            case IrOp.RingReserve or IrOp.RingOutput: EmitRingReserve(n, (nint)helper.Implementation); return;
            case IrOp.RingCommit: EmitRingCommit(n); return;
            case IrOp.HashUpdate or IrOp.HashDelete: EmitHashChange(n, (nint)helper.Implementation); return;
        }
        EmitNativeCall((nint)helper.Implementation);
        if (_verified) return;
        _e.AluMI(X86Alu.Cmp, new X86Memory(Context, RunContextOffsets.Fault), 0, 4);
        _e.Jcc(X86Condition.NotEqual, _faultLabel);
    }

    /// <summary>Calls native code with r1 to r5 where they are and the run context as the sixth argument.</summary>
    private void EmitNativeCall(nint address)
    {
        _e.MovRR(R9, Context, true);
        _e.MovRI(Rax, address);
        _e.CallR(Rax);
    }

    /// <summary>
    /// bpf_tail_call: the runtime finds the target's main function; then this frame is left and the target
    /// entered in its place. It does not return here, but when it cannot be done, the program goes on.
    /// </summary>
    private void EmitTailCall(in IrInsn n)
    {
        EmitNativeCall(JitRuntime.TailCallTarget);
        int goOn = _e.NewLabel();
        _e.TestRR(Rax, Rax, true);
        _e.Jcc(X86Condition.Equal, goOn);
        _e.Load(Rdi, new X86Memory(Context, RunContextOffsets.Ctx), 8);
        LeaveFrame();
        if (_isMain)
        {
            _e.JmpR(Rax);
        }
        else
        {
            // The target's main function saves nothing, but this function's caller relies on it.
            foreach (X86Register r in CalleeSaved) _e.Push(r);
            _e.Push(Rbp);
            _e.CallR(Rax);
            _e.Pop(Rbp);
            for (int i = CalleeSaved.Length - 1; i >= 0; i--) _e.Pop(CalleeSaved[i]);
            _e.Ret();
        }
        _e.Bind(goOn);
        _e.MovRI(Rax, -(int)Errno.EINVAL);
    }

    private void EmitPacketLoad(in IrInsn n)
    {
        // The packet's bytes come from the runtime, as from bpf_skb_load_bytes: offset, size; r6 is the context.
        if (n.A == IrInsn.None) _e.MovRI(Rsi, (int)n.Imm);
        else
        {
            _e.MovRR(Rsi, R(n.A), false);
            if (n.Imm != 0) _e.AluRI(X86Alu.Add, Rsi, (int)n.Imm, false);
        }
        _e.MovRR(Rdi, Rbx, true);
        _e.MovRI(Rdx, n.Size);
        EmitNativeCall(JitRuntime.LoadPacket);
        // The value has at most 32 bits; above it stands whether the bytes were there.
        int missing = _e.NewLabel();
        _e.TestRR(Rax, Rax, true);
        _e.Jcc(X86Condition.Sign, missing);
        _cold.Add(() =>
        {
            _e.Bind(missing);
            _e.MovRI(Rax, 0);
            EmitEpilogue();
        });
    }

    // ---- stopping ----

    /// <summary>Unverified programs: one unit of fuel, or the end.</summary>
    private void EmitFuelCheck(int slot)
    {
        if (_verified) return;
        _e.AluMI(X86Alu.Sub, new X86Memory(Context, RunContextOffsets.Fuel), 1, 8);
        JumpToFault(X86Condition.Sign, slot, RunFault.OutOfFuel);
    }

    private void JumpToFault(X86Condition condition, int slot, RunFault fault)
    {
        int label = _e.NewLabel();
        _e.Jcc(condition, label);
        _cold.Add(() =>
        {
            _e.Bind(label);
            EmitFault(slot, fault);
        });
    }

    private void EmitFault(int slot, RunFault fault)
    {
        _e.StoreImm(new X86Memory(Context, RunContextOffsets.Fault), (int)fault, 4);
        _e.StoreImm(new X86Memory(Context, RunContextOffsets.FaultInsn), slot, 4);
        _e.Jmp(_faultLabel);
    }

    /// <summary>Drops all frames of this entry and returns 0 to the trampoline.</summary>
    private void EmitFaultExit()
    {
        _e.Reserve(64);
        _e.Bind(_faultLabel);
        _e.Load(Rsp, new X86Memory(Context, RunContextOffsets.EngineStack), 8);
        _e.MovRI(Rax, 0);
        _e.Ret();
    }
}
