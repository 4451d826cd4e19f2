using System.Numerics;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Precision: a number whose exact value mattered is marked in all checkpoints on the way it came, so that
// pruning compares it there. Numbers without the mark are equal to any other number.
internal sealed partial class ProgramVerifier
{
    private const uint ArgumentRegs = 0b111110;
    private static readonly HistoryEntry s_noEntry;
    private readonly BacktrackSet _backtrack = new();
    private readonly TracedRegs _traced = new();

    /// <summary>Index of the running instruction's history entry, -1 if it has none yet.</summary>
    private int _currentHistory = -1;

    /// <summary>The exact value of a register of the running frame matters: marks it back through the path.</summary>
    private void MarkChainPrecision(int regno)
    {
        if (!BpfCapable) return;
        _backtrack.Reset(State.CurFrame);
        if (regno >= 0)
        {
            if (Regs[regno].Type != RegType.Scalar) RejectBug("backtracking misuse");
            _backtrack.SetReg(regno);
        }

        bool changed = false;
        if (MarkBack(State, ref changed) && regno >= 0) _traced.Add(State.History.Count, InsnIdx, State.CurFrame, regno);
    }

    private void PushHistory(HistoryFlags flags, ulong linked)
    {
        if (_currentHistory >= 0)
        {
            // Atomics record the same slot for their read and their write.
            ref HistoryEntry present = ref State.History.Entries[_currentHistory];
            present.Flags |= flags;
            present.LinkedRegs = linked;
            return;
        }

        if (State.History.Count == JumpHistory.Limit) Reject(Errno.ENOMEM);
        _currentHistory = State.History.Count;
        ref HistoryEntry entry = ref State.History.Add();
        entry.Idx = InsnIdx;
        entry.PrevIdx = PrevInsnIdx;
        entry.Flags = flags;
        entry.LinkedRegs = linked;
    }

    /// <summary>Goes back from a state, with what <see cref="_backtrack"/> holds, to where the values came from. False: that could not be told.</summary>
    private bool MarkBack(VerifierState start, ref bool changed)
    {
        BacktrackSet bt = _backtrack;
        if (bt.IsEmpty) return true;
        VerifierState? st = start;
        int first = st.FirstInsnIdx, last = st.InsnIdx, subsequent = -1;
        bool skipFirst = true;
        while (true)
        {
            if (Log.Detailed)
                Verbose($"mark_precise: frame{bt.Frame}: last_idx {last} first_idx {first} subseq_idx {subsequent} \n");
            if (last < 0)
            {
                MarkGlobalArguments(st, ref changed);
                return true;
            }

            int history = st.History.Count;
            for (int i = last; ;)
            {
                bool known = true;
                if (skipFirst) skipFirst = false;
                else known = BacktrackInsn(i, subsequent, st, history);
                if (!known)
                {
                    MarkAllPrecise(start);
                    bt.Reset(0);
                    return false;
                }

                if (st == State) ForgetTraced(history, i);
                if (bt.IsEmpty) return true;
                subsequent = i;
                i = PreviousInsn(st, i, ref history);
                if (i < 0 && i != int.MinValue) RejectBug($"backtracking idx {i}");
                if (i == int.MinValue) break;
            }

            st = st.Parent;
            if (st == null) break;
            MarkInState(st, ref changed);
            if (bt.IsEmpty) return true;
            subsequent = first;
            last = st.LastInsnIdx;
            first = st.FirstInsnIdx;
        }

        if (bt.IsEmpty) return true;
        MarkAllPrecise(start);
        bt.Reset(0);
        return false;
    }

    // The log of all paths shows every step.
    private void ForgetTraced(int history, int idx)
    {
        if (Log.Detailed) return;
        BacktrackSet bt = _backtrack;
        for (uint mask = bt.Regs; mask != 0; mask &= mask - 1)
        {
            int regno = BitOperations.TrailingZeroCount(mask);
            if (_traced.Has(history, idx, bt.Frame, regno)) bt.ClearReg(regno);
        }
    }

    // The entry of a global function: its arguments come from anywhere.
    private void MarkGlobalArguments(VerifierState st, ref bool changed)
    {
        BacktrackSet bt = _backtrack;
        if (st.CurFrame != 0 || st.Peek(0).SubprogNo == 0 || bt.Slots != 0 || (bt.Regs & ~ArgumentRegs) != 0)
            RejectBug($"backtracking func entry subprog {st.Current.SubprogNo} reg_mask {bt.Regs:x} stack_mask {bt.Slots:x}");
        for (uint mask = bt.Regs; mask != 0; mask &= mask - 1)
        {
            int i = BitOperations.TrailingZeroCount(mask);
            ref RegisterState reg = ref st.Frames[0]!.Regs[i];
            bt.ClearReg(i);
            if (reg.Type != RegType.Scalar) continue;
            reg.Precise = true;
            changed = true;
        }
    }

    private void MarkInState(VerifierState st, ref bool changed)
    {
        BacktrackSet bt = _backtrack;
        for (int f = bt.Frame; f >= 0; f--)
        {
            bool traced = bt.RegsOf(f) != 0 || bt.SlotsOf(f) != 0;
            FuncFrame frame = traced ? st.Frames[f]! : st.Peek(f);
            for (uint mask = bt.RegsOf(f); mask != 0; mask &= mask - 1)
            {
                int i = BitOperations.TrailingZeroCount(mask);
                ref RegisterState reg = ref frame.Regs[i];
                if (reg.Type != RegType.Scalar || reg.Precise)
                {
                    bt.ClearReg(f, i);
                    continue;
                }

                reg.Precise = true;
                changed = true;
            }

            for (ulong mask = bt.SlotsOf(f); mask != 0; mask &= mask - 1)
            {
                int i = BitOperations.TrailingZeroCount(mask);
                if (i >= frame.StackSlots) RejectBug($"stack slot {i}, total slots {frame.StackSlots} (i >= func->allocated_stack / BPF_REG_SIZE)");
                if (!frame.Stack[i].IsSpilledScalar || frame.Stack[i].Spilled.Precise)
                {
                    bt.ClearSlot(f, i);
                    continue;
                }

                frame.Stack[i].Spilled.Precise = true;
                changed = true;
            }

            if (!Log.Detailed) continue;
            Verbose($"mark_precise: frame{f}: parent state regs={BacktrackSet.RegsText(bt.RegsOf(f))} ");
            Verbose($"stack={BacktrackSet.SlotsText(bt.SlotsOf(f))}: ");
            PrintState(st, f, all: true);
        }
    }

    private static int PreviousInsn(VerifierState st, int i, ref int history)
    {
        HistoryEntry[] entries = st.History.Entries;
        if (i == st.FirstInsnIdx)
        {
            if (history == 0) return int.MinValue;
            if (history == 1 && entries[0].Idx == i) return int.MinValue;
        }

        if (history > 0 && entries[history - 1].Idx == i)
        {
            history--;
            return entries[history].PrevIdx;
        }

        return i - 1;
    }

    /// <summary>One instruction back: which registers and slots must be precise before it. False: cannot be told.</summary>
    private bool BacktrackInsn(int idx, int subsequent, VerifierState st, int history)
    {
        ref readonly Insn insn = ref Insns[idx];
        BacktrackSet bt = _backtrack;
        if (insn.Code == 0) return true;
        if (Log.Detailed)
        {
            Verbose($"mark_precise: frame{bt.Frame}: regs={BacktrackSet.RegsText(bt.Regs)} ");
            Verbose($"stack={BacktrackSet.SlotsText(bt.Slots)} before {idx}: ");
            Verbose(InsnText(idx) + "\n");
        }

        bool recorded = history > 0 && st.History.Entries[history - 1].Idx == idx;
        ref readonly HistoryEntry entry = ref recorded ? ref st.History.Entries[history - 1] : ref s_noEntry;
        // Arithmetic on other registers is most of what is passed.
        if (entry.LinkedRegs == 0 && insn.Class is InsnClass.Alu or InsnClass.Alu64) return BacktrackAlu(insn);
        if (entry.LinkedRegs != 0) SyncLinkedBack(entry.LinkedRegs);
        bool known = insn.Class switch
        {
            InsnClass.Alu or InsnClass.Alu64 => BacktrackAlu(insn),
            InsnClass.Ldx => BacktrackLoad(insn.Dst, entry),
            InsnClass.Stx when insn.Mode == MemMode.Atomic && insn.Imm == 0x100 => BacktrackLoad(insn.Dst, entry),
            InsnClass.Stx or InsnClass.St => BacktrackStore(insn, entry),
            InsnClass.Jmp or InsnClass.Jmp32 => BacktrackJump(insn, idx, subsequent, entry),
            _ => BacktrackLd(insn, idx, subsequent),
        };
        if (!known) return false;
        if (entry.LinkedRegs != 0) SyncLinkedBack(entry.LinkedRegs);
        return true;
    }

    private void SyncLinkedBack(ulong linked)
    {
        int count = (int)(linked & 15);
        bool any = false;
        for (int i = 0; i < count && !any; i++)
        {
            LinkedReg reg = LinkedReg.Unpack(linked, i);
            any = reg.IsReg ? _backtrack.HasReg(reg.Frame, reg.Index) : _backtrack.HasSlot(reg.Frame, reg.Index);
        }

        if (!any) return;
        for (int i = 0; i < count; i++)
        {
            LinkedReg reg = LinkedReg.Unpack(linked, i);
            if (reg.IsReg) _backtrack.SetReg(reg.Frame, reg.Index);
            else _backtrack.SetSlot(reg.Frame, reg.Index);
        }
    }

    private bool BacktrackAlu(in Insn insn)
    {
        BacktrackSet bt = _backtrack;
        if (!bt.HasReg(insn.Dst) || insn.AluOp is AluOp.End or AluOp.Neg) return true;
        if (insn.AluOp == AluOp.Mov) bt.ClearReg(insn.Dst);
        if (insn.Source == OperandSource.X && insn.Src != 10) bt.SetReg(insn.Src);
        return true;
    }

    private bool BacktrackLoad(int dst, in HistoryEntry entry)
    {
        BacktrackSet bt = _backtrack;
        if (!bt.HasReg(dst)) return true;
        bt.ClearReg(dst);
        if ((entry.Flags & HistoryFlags.StackAccess) == 0) return true;
        bt.SetSlot(FrameOfEntry(entry), SlotOfEntry(entry));
        return true;
    }

    private static int FrameOfEntry(in HistoryEntry entry) => (int)(entry.Flags & HistoryFlags.FrameMask);

    private static int SlotOfEntry(in HistoryEntry entry) => (int)(entry.Flags & HistoryFlags.SlotMask) >> (int)HistoryFlags.SlotShift;

    private bool BacktrackStore(in Insn insn, in HistoryEntry entry)
    {
        BacktrackSet bt = _backtrack;
        // A number cannot be the address: the difference of two pointers must be involved.
        if (bt.HasReg(insn.Dst)) return false;
        // Linux 6.18 takes an atomic operation that fetches for a store alone: the register it loads stays traced.
        if ((entry.Flags & HistoryFlags.StackAccess) == 0) return true;
        int frame = FrameOfEntry(entry), slot = SlotOfEntry(entry);
        if (!bt.HasSlot(frame, slot)) return true;
        bt.ClearSlot(frame, slot);
        if (insn.Class == InsnClass.Stx) bt.SetReg(insn.Src);
        return true;
    }

    private bool BacktrackLd(in Insn insn, int idx, int subsequent)
    {
        BacktrackSet bt = _backtrack;
        bool packet = insn.Mode is MemMode.Ind or MemMode.Abs;
        if (packet && subsequent - idx != 1)
        {
            // A packet load behind the packet's end left the function with 0.
            bt.ClearReg(0);
            EnterFrame();
        }

        if (!bt.HasReg(insn.Dst)) return true;
        bt.ClearReg(insn.Dst);
        return !packet;
    }

    private bool BacktrackJump(in Insn insn, int idx, int subsequent, in HistoryEntry entry)
    {
        BacktrackSet bt = _backtrack;
        if (insn.IsLocalCall) return BacktrackLocalCall(insn, idx);
        if (insn.JmpOp == JmpOp.Call)
        {
            if (IsSyncCallbackCall(insn) && idx != subsequent - 1)
            {
                // Out of the callback, to the call that ran it; its arguments are not the callback's.
                if ((bt.Regs & ~ArgumentRegs) != 0 || bt.Slots != 0) RejectBug($"backtracking callback stack slots {bt.Slots:x} (regs {bt.Regs:x})");
                for (int i = 1; i <= 5; i++) bt.ClearReg(i);
                LeaveFrame();
                return true;
            }

            if (insn.IsKfuncCall && insn.Imm == 0) return false;
            // A tail call that worked out left the function.
            if (insn.IsHelperCall && insn.Imm == Helpers.HelperId.TailCall && subsequent - idx != 1)
            {
                bt.ClearReg(0);
                EnterFrame();
            }

            bt.ClearReg(0);
            if ((bt.Regs & ArgumentRegs) != 0) RejectBug($"backtracking call unexpected regs {bt.Regs:x}");
            return true;
        }

        if (insn.JmpOp == JmpOp.Exit)
        {
            // A callback's arguments come from the kernel, so nobody in the program makes them exact.
            if (subsequent >= 0 && Aux[subsequent].CallsCallback)
            {
                for (int i = 1; i <= 5; i++) bt.ClearReg(i);
            }

            if ((bt.Regs & ArgumentRegs) != 0) RejectBug($"backtracking exit unexpected regs {bt.Regs:x}");
            // Only a function's result goes on in the caller; a callback's does not.
            bool result = subsequent - 1 >= 0 && Insns[subsequent - 1].IsLocalCall && bt.HasReg(0);
            bt.ClearReg(0);
            EnterFrame();
            if (result) bt.SetReg(0);
            return true;
        }

        if (insn.JmpOp is JmpOp.Ja or JmpOp.Jcond || insn.Source != OperandSource.X) return true;
        if (!bt.HasReg(insn.Dst) && !bt.HasReg(insn.Src)) return true;
        if ((entry.Flags & HistoryFlags.SrcRegStack) == 0) bt.SetReg(insn.Src);
        if ((entry.Flags & HistoryFlags.DstRegStack) == 0) bt.SetReg(insn.Dst);
        return true;
    }

    private bool BacktrackLocalCall(in Insn insn, int idx)
    {
        BacktrackSet bt = _backtrack;
        int subprog = FindSubprog(idx + insn.Imm + 1);
        if (Subprogs[subprog].IsGlobal)
        {
            if ((bt.Regs & ArgumentRegs) != 0) RejectBug($"global subprog unexpected regs {bt.Regs:x}");
            bt.ClearReg(0);
            return true;
        }

        if ((bt.Regs & ~ArgumentRegs) != 0) RejectBug($"static subprog unexpected regs {bt.Regs:x}");
        if (bt.Slots != 0) RejectBug($"static subprog leftover stack slots {bt.Slots:x}");
        for (int i = 1; i <= 5; i++)
        {
            if (!bt.HasReg(i)) continue;
            bt.ClearReg(i);
            bt.SetReg(bt.Frame - 1, i);
        }

        LeaveFrame();
        return true;
    }

    private void EnterFrame()
    {
        if (_backtrack.Frame == VerifierState.MaxFrames - 1) RejectBug($"subprog enter from frame {_backtrack.Frame}");
        _backtrack.Frame++;
    }

    private void LeaveFrame()
    {
        if (_backtrack.Frame == 0) RejectBug("subprog exit from frame 0");
        _backtrack.Frame--;
    }

    /// <summary>Gives up tracing: everything in all checkpoints of the path is precise.</summary>
    private void MarkAllPrecise(VerifierState st)
    {
        if (Log.Detailed) Verbose($"mark_precise: frame{st.CurFrame}: falling back to forcing all scalars precise\n");
        for (VerifierState? s = st.Parent; s != null; s = s.Parent)
        {
            for (int f = 0; f <= s.CurFrame; f++)
            {
                if (f < s.CurFrame && !s.Peek(f).HasScalar(precise: false)) continue;
                FuncFrame frame = s.Frames[f]!;
                for (int i = 0; i < 10; i++)
                {
                    ref RegisterState reg = ref frame.Regs[i];
                    if (reg.Type != RegType.Scalar || reg.Precise) continue;
                    reg.Precise = true;
                    if (Log.Detailed) Verbose($"force_precise: frame{f}: forcing r{i} to be precise\n");
                }

                for (int i = 0; i < frame.StackSlots; i++)
                {
                    if (!frame.Stack[i].IsSpilled) continue;
                    ref RegisterState reg = ref frame.Stack[i].Spilled;
                    if (reg.Type != RegType.Scalar || reg.Precise) continue;
                    reg.Precise = true;
                    if (Log.Detailed) Verbose($"force_precise: frame{f}: forcing fp{-(i + 1) * 8} to be precise\n");
                }
            }
        }
    }

    /// <summary>What a checkpoint was found to need precise, the path that ends in it needs too.</summary>
    private void PropagatePrecision(VerifierState old, VerifierState cur, ref bool changed)
    {
        _backtrack.Reset(cur.CurFrame);
        for (int f = old.CurFrame; f >= 0; f--)
        {
            FuncFrame frame = old.Peek(f);
            bool first = true;
            for (int i = 0; i < 10; i++)
            {
                if (frame.Regs[i].Type != RegType.Scalar || !frame.Regs[i].Precise) continue;
                if (Log.Detailed) Verbose(first ? $"frame {f}: propagating r{i}" : $",r{i}");
                _backtrack.SetReg(f, i);
                first = false;
            }

            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (!frame.Stack[i].IsSpilled) continue;
                ref RegisterState reg = ref frame.Stack[i].Spilled;
                if (reg.Type != RegType.Scalar || !reg.Precise) continue;
                if (Log.Detailed) Verbose(first ? $"frame {f}: propagating fp{-(i + 1) * 8}" : $",fp{-(i + 1) * 8}");
                _backtrack.SetSlot(f, i);
                first = false;
            }

            if (!first && Log.Enabled) Verbose("\n");
        }

        MarkBack(cur, ref changed);
    }
}
