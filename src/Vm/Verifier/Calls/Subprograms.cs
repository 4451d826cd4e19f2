using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Calls within the program: frames of static functions, calls of global ones, and the way back.
internal sealed partial class ProgramVerifier
{
    /// <summary>Sets the argument registers of a callee from its caller's.</summary>
    private delegate void CalleeSetup(FuncFrame caller, FuncFrame callee);

    /// <summary>
    /// Checks a local call. A global function is judged by its arguments alone, and the walk goes on behind the
    /// call; into a static one the walk enters with a new frame. Returns the next instruction.
    /// </summary>
    private int CheckLocalCall(in Insn insn, int insnIdx)
    {
        int target = insnIdx + insn.Imm + 1;
        int subprogNo = FindSubprog(target);
        if (subprogNo < 0) RejectBug($"func without subprogram at {target}");
        Subprogram subprog = Subprogs[subprogNo];
        Errno mismatch = CheckSubprogArguments(subprogNo);
        if (mismatch == Errno.EFAULT) Reject(Errno.EFAULT);
        if (subprog.IsGlobal)
        {
            CallGlobal(subprog, subprogNo, mismatch);
            return insnIdx + 1;
        }

        EnterFunction(State, subprogNo, insnIdx, static (caller, callee) =>
        {
            for (int i = 1; i <= 5; i++) callee.Regs[i] = caller.Regs[i];
        });
        ClearRegsOf(State.Frames[State.CurFrame - 1]!);
        if (Log.Enabled)
        {
            Verbose("caller:\n");
            PrintFrame(State.Frames[State.CurFrame - 1]!, true);
            Verbose("callee:\n");
            PrintFrame(State.Current, true);
        }

        return subprog.Start;
    }

    private void CallGlobal(Subprogram subprog, int subprogNo, Errno mismatch)
    {
        if (State.ActiveLocks != 0)
            Reject(Errno.EINVAL, "global function calls are not allowed while holding a lock,\nuse static function instead");
        if (subprog.MightSleep
            && (State.ActiveRcuLocks != 0 || State.ActivePreemptLocks != 0 || State.ActiveIrqId != 0 || !InSleepable))
        {
            Reject(Errno.EINVAL,
                "global functions that may sleep are not allowed in non-sleepable context,\n"
                + "i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context");
        }

        if (mismatch != Errno.None) Reject(mismatch, $"Caller passes invalid args into func#{subprogNo} ('{subprog.Name}')");
        if (Log.Enabled) Verbose($"Func#{subprogNo} ('{subprog.Name}') is global and assumed valid.\n");
        if (subprog.ChangesPacketData) ClearAllPacketPointers();
        subprog.Called = true;
        ClearCallerSavedRegs();
        MarkRegUnknown(0);
    }

    /// <summary>A new frame on top of a state, which becomes the running one.</summary>
    private void EnterFunction(VerifierState state, int subprogNo, int callSite, CalleeSetup setup)
    {
        if (state.CurFrame + 1 >= VerifierState.MaxFrames)
            Reject(Errno.E2BIG, $"the call stack of {state.CurFrame + 2} frames is too deep");
        FuncFrame caller = state.Frames[state.CurFrame]!;
        FuncFrame callee = Pool.RentFrame();
        callee.Init(callSite, state.CurFrame + 1, subprogNo);
        MarkAllScratched();
        state.SetFrame(state.CurFrame + 1, callee);
        setup(caller, callee);
        state.CurFrame++;
    }

    private static void ClearRegsOf(FuncFrame frame)
    {
        for (int i = 0; i <= 5; i++) frame.Regs[i].MarkNotInit();
    }

    /// <summary>Leaves the running frame (exit in a static function or a callback); returns the next instruction.</summary>
    private int PrepareFuncExit(int insnIdx)
    {
        FuncFrame callee = State.Current;
        FuncFrame caller = State.Frames[State.CurFrame - 1]!;
        ref RegisterState r0 = ref callee.Regs[0];
        if (r0.Type == RegType.PtrToStack) Reject(Errno.EINVAL, "cannot return stack pointer to the caller");
        int next;
        if (callee.InCallback)
        {
            if (r0.Type != RegType.Scalar) Reject(Errno.EACCES, "R0 not a scalar value");
            MarkChainPrecision(0);
            (long min, long max) = callee.CallbackReturnRange;
            if (r0.SMin < min || r0.SMax > max)
            {
                LogBadRange(r0, (min, max), "callback return", "R0");
                Reject(Errno.EINVAL);
            }

            next = callee.CallSite;
        }
        else
        {
            caller.Regs[0] = r0;
            next = callee.CallSite + 1;
        }

        bool callback = callee.InCallback;
        if (Log.Enabled)
        {
            Verbose("returning from callee:\n");
            PrintFrame(callee, true);
            Verbose($"to caller at {next}:\n");
            PrintFrame(caller, true);
        }

        Pool.Return(callee);
        State.SetFrame(State.CurFrame, null);
        State.CurFrame--;
        // A callback is simulated until its state converges: numbers that nobody needed exactly may be anything.
        if (callback && FindPreviousEntry(State, next) is { } previous) WidenImpreciseScalars(previous, State);
        return next;
    }

    /// <summary>Numbers that differ between two rounds of a loop, and whose value did not matter, become unknown.</summary>
    private void WidenImpreciseScalars(VerifierState old, VerifierState current)
    {
        _compare.ForgetIds();
        for (int f = old.CurFrame; f >= 0; f--)
        {
            FuncFrame before = old.Peek(f), now = current.Frames[f]!;
            for (int i = 0; i < 10; i++) Widen(ref before.Regs[i], ref now.Regs[i]);
            int slots = Math.Min(before.StackSlots, now.StackSlots);
            for (int i = 0; i < slots; i++)
            {
                if (before.Stack[i].IsSpilled && now.Stack[i].IsSpilled) Widen(ref before.Stack[i].Spilled, ref now.Stack[i].Spilled);
            }
        }
    }

    private void Widen(ref RegisterState before, ref RegisterState now)
    {
        if (before.Type != RegType.Scalar || now.Type != RegType.Scalar || before.Precise || now.Precise) return;
        if (_compare.RegsExact(ref before, ref now)) return;
        now.MarkUnknown(!BpfCapable);
    }
}
