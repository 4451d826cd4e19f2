using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// The walk: instruction by instruction along one path, then back to the last path that waits.
internal sealed partial class ProgramVerifier
{
    /// <summary>A path that waits: its state, where it goes on, and how long the log was.</summary>
    private readonly record struct Waiting(VerifierState State, int InsnIdx, int PrevInsnIdx, long LogPosition, long Bytes);

    private readonly Stack<Waiting> _waiting = new();
    private long _waitingBytes;
    private readonly StatePool _pool = StatePool.Take();
    private int _insnsProcessed, _jumpsProcessed, _lastInsnsProcessed, _lastJumpsProcessed;

    /// <summary>Remembers a second way to go; returns its state, a copy of the present one. Too many waiting ways have an error of their own at each place.</summary>
    private VerifierState PushState(int insnIdx, int prevInsnIdx, bool speculative, Errno tooMany = Errno.ENOMEM)
    {
        VerifierState copy = _pool.RentState();
        copy.CopyFrom(State, _pool);
        copy.History.CopyFrom(State.History);
        copy.Speculative |= speculative;
        Queue(copy, insnIdx, prevInsnIdx, tooMany);
        if (copy.Parent != null) copy.Parent.Branches++;
        return copy;
    }

    private void Queue(VerifierState state, int insnIdx, int prevInsnIdx, Errno tooMany)
    {
        long bytes = state.CountBytes();
        _waitingBytes += bytes;
        _waiting.Push(new Waiting(state, insnIdx, prevInsnIdx, Log.Position, bytes));
        if (_waiting.Count > JumpSequenceLimit)
            Reject(tooMany, $"The sequence of {_waiting.Count} jumps is too complex.");
    }

    /// <summary>Remembers that an asynchronous callback must be walked; returns its state with one fresh frame whose registers the caller sets.</summary>
    private VerifierState PushAsyncCallback(int insnIdx, int prevInsnIdx, int subprogNo, bool sleepable)
    {
        var state = new VerifierState { Branches = 1, InSleepable = sleepable, InsnIdx = insnIdx, FirstInsnIdx = 0, LastInsnIdx = -1 };
        state.SetFrame(0, _pool.RentFrame());
        state.Frames[0]!.Init(-1, 0, subprogNo);
        MarkAllScratched();
        Queue(state, insnIdx, prevInsnIdx, Errno.EFAULT);
        return state;
    }

    /// <summary>Walks one function from its first instruction, with everything it reaches.</summary>
    private void CheckFunction(int subprogNo)
    {
        Subprogram subprog = Subprogs[subprogNo];
        State = new VerifierState { Branches = 1, InSleepable = Input.Attributes.Sleepable, FirstInsnIdx = subprog.Start, LastInsnIdx = -1 };
        State.SetFrame(0, _pool.RentFrame());
        State.Frames[0]!.Init(-1, 0, subprogNo);
        _previousSource = null;
        if (subprogNo == 0 && Input.Attributes.Type != ProgramType.Ext)
        {
            Regs[1].MarkPointer(RegType.PtrToCtx);
            SetUpMainArguments();
        }
        else
        {
            Verbose($"Validating {subprog.Name}() func#{subprogNo}...\n");
            SetUpGlobalArguments(subprog, subprogNo);
        }

        _explored.Reset();
        _traced.Clear();
        MarkAllScratched();
        _stackLiveness.ResetChain();
        InsnIdx = subprog.Start;
        Walk();
    }

    private void Walk()
    {
        bool printState = false;
        bool takesBack = !Log.Detailed;
        IExplorationObserver? observer = Input.Observer;
        int previous = -1;
        while (true)
        {
            _currentHistory = -1;
            PrevInsnIdx = previous;
            if ((uint)InsnIdx >= (uint)Insns.Length) RejectBug($"invalid insn idx {InsnIdx} insn_cnt {Insns.Length}");
            if (++_insnsProcessed > InsnLimit)
                Reject(Errno.E2BIG, $"BPF program is too large. Processed {_insnsProcessed} insn");
            State.LastInsnIdx = PrevInsnIdx;
            State.InsnIdx = InsnIdx;
            bool done = false;
            ref InsnAux aux = ref Aux[InsnIdx];
            if (aux.PrunePoint && IsStateVisited(InsnIdx))
            {
                if (Log.Enabled)
                {
                    Verbose(printState
                        ? $"\nfrom {PrevInsnIdx} to {InsnIdx}{(State.Speculative ? " (speculative execution)" : "")}: safe\n"
                        : $"{InsnIdx}: safe\n");
                }

                done = true;
            }

            if (!done)
            {
                if (aux.JumpPoint) PushHistory(HistoryFlags.None, 0);
                if (Log.Enabled) LogInsn(ref printState);
                // What only a misspeculating CPU reaches is dead code all the same.
                if (!State.Speculative) aux.Seen = true;
                observer?.Visit(InsnIdx, State, _waiting.Count);
                previous = InsnIdx;
                ref readonly Insn insn = ref Insns[InsnIdx];
                bool stopped = State.Speculative && aux.Barrier;
                bool touchesStack = insn.Class is InsnClass.St or InsnClass.Stx || insn.IsHelperCall || insn.IsKfuncCall
                    || (insn.Class == InsnClass.Ld && insn.Mode is MemMode.Abs or MemMode.Ind);
                int at = InsnIdx, frame = State.CurFrame;
                touchesStack &= !stopped;
                if (touchesStack) _stackLiveness.BeginInsn();
                done = stopped || (State.Speculative ? CheckInsnSpeculatively(insn, ref printState, ref touchesStack) : CheckInsn(insn, ref printState));
                if (touchesStack && State.CurFrame == frame) _stackLiveness.EndInsn(State, at);
            }

            if (!done) continue;
            MarkAllScratched();
            UpdateBranchCounts(State);
            _stackLiveness.Update(State);
            observer?.PathEnded(this, _waiting.Count);
            if (_waiting.Count == 0) break;
            Waiting next = _waiting.Pop();
            _waitingBytes -= next.Bytes;
            _pool.Return(State);
            State = next.State;
            _traced.Clear();
            InsnIdx = next.InsnIdx;
            previous = next.PrevInsnIdx;
            _stackLiveness.ResetChain();
            if (takesBack && Log.Level != 0) Log.Reset(next.LogPosition);
            printState = true;
        }

        if (takesBack && Log.Level != 0) Log.Reset(_functionLogStart);
    }

    /// <summary>The verification is over: its states serve the next one.</summary>
    internal void Recycle()
    {
        // Who watched may still hold states.
        if (Input.Observer != null) return;
        _explored.Recycle(_pool);
        foreach (Waiting waiting in _waiting) _pool.Return(waiting.State);
        _pool.GiveBack();
    }

    private void LogInsn(ref bool printState)
    {
        if (printState && Log.Detailed)
        {
            Verbose($"\nfrom {PrevInsnIdx} to {InsnIdx}{(State.Speculative ? " (speculative execution)" : "")}:");
            PrintState(State, State.CurFrame, all: true);
            printState = false;
        }

        if ((_scratchedRegs & 0x7ff) != 0 || _scratchedSlots != 0) PrintInsnState(State, State.CurFrame);
        LogSourceLine(InsnIdx, "; ");
        long before = Log.Position;
        Verbose($"{InsnIdx}: {InsnText(InsnIdx)}\n");
        _insnTextLength = (int)(Log.Position - before);
        _insnTextEnd = Log.Position;
    }

    /// <summary>Checks and applies one instruction and sets the next; true at the end of the path.</summary>
    private bool CheckInsn(in Insn insn, ref bool printState)
    {
        switch (insn.Class)
        {
            case InsnClass.Alu or InsnClass.Alu64:
                CheckAlu(insn);
                break;
            case InsnClass.Ldx:
                CheckLoad(insn, false, insn.Mode == MemMode.MemSx, true, "ldx");
                break;
            case InsnClass.Stx:
                if (insn.Mode == MemMode.Atomic) CheckAtomic(insn);
                else if (insn.Mode != MemMode.Mem || insn.Imm != 0) Reject(Errno.EINVAL, "BPF_STX uses reserved fields");
                else CheckStore(insn, false);
                break;
            case InsnClass.St:
                CheckStoreImmediate(insn);
                break;
            case InsnClass.Ld:
                if (insn.Mode is MemMode.Abs or MemMode.Ind)
                {
                    InsnIdx = CheckLegacyPacketLoad(insn);
                    return false;
                }
                else if (insn.Mode == MemMode.Imm)
                {
                    CheckLoadImm64(insn);
                    InsnIdx++;
                }
                else
                {
                    Reject(Errno.EINVAL, "invalid BPF_LD mode");
                }

                break;
            default:
                return CheckJump(insn, ref printState);
        }

        InsnIdx++;
        return false;
    }

    private bool CheckJump(in Insn insn, ref bool printState)
    {
        bool is32 = insn.Class == InsnClass.Jmp32;
        _jumpsProcessed++;
        switch (insn.JmpOp)
        {
            case JmpOp.Call:
                return CheckCall(insn, is32, ref printState);
            case JmpOp.Ja:
                if (insn.Source != OperandSource.K || insn.Src != 0 || insn.Dst != 0 || (is32 ? insn.Off != 0 : insn.Imm != 0))
                    Reject(Errno.EINVAL, "BPF_JA uses reserved fields");
                InsnIdx += (is32 ? insn.Imm : insn.Off) + 1;
                return false;
            case JmpOp.Exit:
                if (insn.Source != OperandSource.K || insn.Imm != 0 || insn.Src != 0 || insn.Dst != 0 || is32)
                    Reject(Errno.EINVAL, "BPF_EXIT uses reserved fields");
                return CheckExit(exception: false, ref printState);
            default:
                CheckConditionalJump(insn);
                InsnIdx++;
                return false;
        }
    }

    private bool CheckCall(in Insn insn, bool is32, ref bool printState)
    {
        if (insn.Source != OperandSource.K || (insn.Src != (int)CallKind.Kfunc && insn.Off != 0)
            || insn.Src > (int)CallKind.Kfunc || insn.Dst != 0 || is32)
            Reject(Errno.EINVAL, "BPF_CALL uses reserved fields");
        CheckCallWhileLocked(insn);
        switch ((CallKind)insn.Src)
        {
            case CallKind.Local:
                InsnIdx = CheckLocalCall(insn, InsnIdx);
                // A new frame is a new place for stack marks.
                _stackLiveness.ResetChain();
                _scratchedRegs |= 1;
                return false;
            case CallKind.Kfunc:
                CheckKfuncCall(insn, InsnIdx);
                if (IsThrowCall(insn)) return CheckExit(exception: true, ref printState);
                break;
            default:
                InsnIdx = CheckHelperCall(insn, InsnIdx);
                _scratchedRegs |= 1;
                return false;
        }

        _scratchedRegs |= 1;
        InsnIdx++;
        return false;
    }

    private bool CheckExit(bool exception, ref bool printState)
    {
        CheckResourceLeak(exception, exception || State.CurFrame == 0, exception ? "bpf_throw" : "BPF_EXIT instruction in main prog");
        if (exception) return true;
        if (State.CurFrame > 0)
        {
            _stackLiveness.Update(State);
            InsnIdx = PrepareFuncExit(InsnIdx);
            _stackLiveness.ResetChain();
            printState = true;
            return false;
        }

        CheckReturnCode(0, "R0");
        return true;
    }

    /// <summary>A finished path: checkpoints without open paths below are proved.</summary>
    private void UpdateBranchCounts(VerifierState? state)
    {
        while (state != null)
        {
            if (--state.Branches > 0) return;
            ExitLoop(state);
            VerifierState? parent = state.Parent;
            _explored.Release(state);
            state = parent;
        }
    }

    /// <summary>Slot liveness: a slot was read by the running instruction.</summary>
    private void MarkStackRead(int frameNo, int spi) => _stackLiveness.MarkRead(State, frameNo, InsnIdx, spi);

    /// <summary>Slot liveness: a slot was overwritten wholly by the running instruction.</summary>
    private void MarkStackWrite(int frameNo, int spi) => _stackLiveness.MarkWrite(frameNo, spi);
}
