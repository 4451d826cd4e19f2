using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Pruning: a path ends where a checkpoint covers its state; and when a checkpoint is made.
internal sealed partial class ProgramVerifier
{
    private const int LongHistory = 40, MaxStatesUnprivileged = 64;

    /// <summary>Memory that explored and waiting states may take; where Linux has more, it has its own limits.</summary>
    private const long StateMemoryLimit = 1L << 30;

    private ExploredStates _explored = new(1);
    private StateCompare _compare = null!;
    private StackLiveness _stackLiveness = null!;

    /// <summary>True if a checkpoint covers the state; otherwise perhaps makes a new one.</summary>
    private bool IsStateVisited(int insnIdx)
    {
        VerifierState cur = State;
        bool force = TestStateFreq || Aux[insnIdx].ForceCheckpoint || cur.History.Count > LongHistory;
        bool add = force || (_jumpsProcessed - _lastJumpsProcessed >= 2 && _insnsProcessed - _lastInsnsProcessed >= 8);
        List<Checkpoint> bucket = _explored.At(insnIdx, cur.Current.CallSite);
        CleanLiveStates(bucket, insnIdx, cur);

        int count = 0;
        for (int i = bucket.Count - 1; i >= 0; i--)
        {
            Checkpoint point = bucket[i];
            count++;
            VerifierState old = point.State;
            if (old.InsnIdx != insnIdx) continue;
            bool loop = false, hit = false;
            if (old.Branches > 0)
            {
                hit = ClosesLoop(old, cur, insnIdx, force, ref add);
                // A callback's call is no loop of the control flow graph: its closures wait for nothing.
                loop = hit && !Aux[insnIdx].CallsCallback;
            }
            else
            {
                loop = IsLoopOpen(old);
                hit = _compare.Equal(old, cur, loop ? Exactness.RangeWithin : Exactness.NotExact, IdGenerator);
            }

            if (hit)
            {
                point.Hits++;
                if (Aux[insnIdx].JumpPoint) PushHistory(HistoryFlags.None, 0);
                bool changed = false;
                PropagatePrecision(old, cur, ref changed);
                if (loop) AddBackEdge(old, cur, insnIdx);
                return true;
            }

            if (add) point.Misses++;
            int patience = Aux[insnIdx].ForceCheckpoint && old.Branches > 0 ? 64 : 3;
            if (point.Misses > point.Hits * patience + patience) _explored.RemoveAt(bucket, i);
        }

        if (_explored.MaxPerInsn < count) _explored.MaxPerInsn = count;
        if (!BpfCapable && count > MaxStatesUnprivileged) return false;
        if (add) AddCheckpoint(insnIdx);
        return false;
    }

    /// <summary>An unfinished checkpoint at the same instruction: a loop that converged, an endless one, or neither.</summary>
    private bool ClosesLoop(VerifierState old, VerifierState cur, int insnIdx, bool force, ref bool add)
    {
        FuncFrame frame = old.Current;
        if (!(frame.InAsyncCallback && frame.AsyncEntryCount != cur.Current.AsyncEntryCount))
        {
            ref InsnAux aux = ref Aux[insnIdx];
            if (aux.IsIterNext)
            {
                if (_compare.Equal(old, cur, Exactness.RangeWithin, IdGenerator) && IteratorIsActive(cur)) return true;
            }
            else
            {
                bool mayGoto = Insns[insnIdx].Code == ((byte)InsnClass.Jmp | (byte)JmpOp.Jcond);
                if (mayGoto && old.MayGotoDepth != cur.MayGotoDepth && _compare.Equal(old, cur, Exactness.RangeWithin, IdGenerator))
                    return true;
                if (aux.CallsCallback)
                {
                    if (_compare.Equal(old, cur, Exactness.RangeWithin, IdGenerator)) return true;
                }
                else if (MaybeLooping(old, cur) && _compare.Equal(old, cur, Exactness.Exact, IdGenerator)
                    && !IteratorDepthsDiffer(old, cur) && old.MayGotoDepth == cur.MayGotoDepth
                    && old.CallbackUnrollDepth == cur.CallbackUnrollDepth)
                {
                    LogSourceLine(insnIdx, "; ");
                    Verbose($"infinite loop detected at insn {insnIdx}\n");
                    Verbose("cur state:");
                    PrintState(cur, cur.CurFrame, all: true);
                    Verbose("old state:");
                    PrintState(old, cur.CurFrame, all: true);
                    _decisive = $"infinite loop detected at insn {insnIdx}";
                    Reject(Errno.EINVAL);
                }
            }
        }

        // Iterations have states of their own; few of them are worth keeping.
        if (!force && _jumpsProcessed - _lastJumpsProcessed < 20 && _insnsProcessed - _lastInsnsProcessed < 100) add = false;
        return false;
    }

    private static bool MaybeLooping(VerifierState old, VerifierState cur)
    {
        if (old.CurFrame != cur.CurFrame) return false;
        RegisterState[] a = old.Current.Regs, b = cur.Current.Regs;
        for (int i = 0; i < 11; i++)
        {
            if (a[i].Type != b[i].Type || a[i].Off != b[i].Off || a[i].Details != b[i].Details || a[i].Id != b[i].Id
                || a[i].RefObjId != b[i].RefObjId || !a[i].Bounds.Equals(b[i].Bounds)) return false;
        }

        return true;
    }

    private static bool IteratorIsActive(VerifierState cur)
    {
        ref RegisterState reg = ref cur.Current.Regs[1];
        int spi = (-(reg.Off + (int)reg.VarOff.Value) - 1) / 8;
        return cur.Peek(reg.FrameNo).Stack[spi].Spilled.Iter == IterState.Active;
    }

    private static bool IteratorDepthsDiffer(VerifierState old, VerifierState cur)
    {
        for (int f = old.CurFrame; f >= 0; f--)
        {
            FuncFrame a = old.Peek(f), b = cur.Peek(f);
            for (int i = 0; i < a.StackSlots; i++)
            {
                ref StackSlot slot = ref a.Stack[i];
                if (slot.Types[0] != SlotType.Iter || slot.Spilled.Iter != IterState.Active) continue;
                if (b.Stack[i].Spilled.IterDepth != slot.Spilled.IterDepth) return true;
            }
        }

        return false;
    }

    private void AddCheckpoint(int insnIdx)
    {
        VerifierState cur = State;
        _lastJumpsProcessed = _jumpsProcessed;
        _lastInsnsProcessed = _insnsProcessed;
        if (BpfCapable) MarkAllImprecise(cur);
        if (_explored.Bytes + _waitingBytes + _stackLiveness.Bytes > StateMemoryLimit)
            Reject(Errno.ENOMEM, $"the explored states take more than {StateMemoryLimit >> 20} MiB");
        VerifierState kept = _pool.RentState();
        kept.CopyFrom(cur, _pool);
        // The history up to here belongs to the checkpoint; the path goes on with an empty one.
        (kept.History, cur.History) = (cur.History, kept.History);
        kept.InsnIdx = insnIdx;
        _explored.Add(kept, insnIdx, cur.Current.CallSite);
        _explored.UpdatePeak(_waitingBytes);
        EnterLoop(kept);
        cur.Parent = kept;
        cur.FirstInsnIdx = insnIdx;
        cur.DfsDepth = kept.DfsDepth + 1;
        cur.History.Clear();
        _traced.Clear();
        kept.Branches = 1;
        _currentHistory = -1;
    }

    private static void MarkAllImprecise(VerifierState st)
    {
        for (int f = 0; f <= st.CurFrame; f++)
        {
            if (f < st.CurFrame && !st.Peek(f).HasScalar(precise: true)) continue;
            FuncFrame frame = st.Frames[f]!;
            for (int i = 0; i < 10; i++)
            {
                if (frame.Regs[i].Type == RegType.Scalar) frame.Regs[i].Precise = false;
            }

            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].IsSpilledScalar) frame.Stack[i].Spilled.Precise = false;
            }
        }
    }

    private void CleanLiveStates(List<Checkpoint> bucket, int insnIdx, VerifierState cur)
    {
        for (int i = bucket.Count - 1; i >= 0; i--)
        {
            Checkpoint point = bucket[i];
            VerifierState st = point.State;
            if (point.Cleaned || st.Branches > 0 || st.InsnIdx != insnIdx || !SameCallSites(st, cur) || IsLoopOpen(st)) continue;
            point.Cleaned = true;
            Clean(st);
        }
    }

    private static bool SameCallSites(VerifierState a, VerifierState b)
    {
        if (a.CurFrame != b.CurFrame) return false;
        for (int f = a.CurFrame; f >= 0; f--)
        {
            if (a.Peek(f).CallSite != b.Peek(f).CallSite) return false;
        }

        return true;
    }

    /// <summary>Forgets, in a finished checkpoint, what nobody behind it reads.</summary>
    private void Clean(VerifierState st)
    {
        _stackLiveness.Query(st);
        for (int f = 0; f <= st.CurFrame; f++)
        {
            FuncFrame seen = st.Peek(f);
            int live = Aux[f == st.CurFrame ? st.InsnIdx : st.Peek(f + 1).CallSite].LiveRegsBefore;
            for (int i = 0; i < 10; i++)
            {
                if ((live & (1 << i)) == 0 && seen.Regs[i].Type != RegType.NotInit) st.Frames[f]!.Regs[i].MarkNotInit();
            }

            for (int i = 0; i < seen.StackSlots; i++)
            {
                // What is empty stays so; a frame that others share is copied only if something goes.
                if ((seen.Stack[i].Types.Word == 0 && f < st.CurFrame) || _stackLiveness.IsAlive(st, f, i)) continue;
                FuncFrame frame = st.Frames[f]!;
                frame.Stack[i].Spilled.MarkNotInit();
                frame.Stack[i].Types = default;
            }
        }
    }

    /// <summary>
    /// The newest checkpoint of an instruction, reached by the same calls, that lies on the path before
    /// <paramref name="from"/>: the round before this one. Evicted checkpoints are not found.
    /// </summary>
    private VerifierState? FindPreviousEntry(VerifierState? from, int insnIdx)
    {
        if (from == null) return null;
        List<Checkpoint> bucket = _explored.At(insnIdx, State.Current.CallSite);
        for (int i = bucket.Count - 1; i >= 0; i--)
        {
            VerifierState st = bucket[i].State;
            if (st.InsnIdx == insnIdx && st.Branches > 0 && SameCallSites(st, from) && st.DfsDepth < from.DfsDepth) return st;
        }

        return null;
    }
}
