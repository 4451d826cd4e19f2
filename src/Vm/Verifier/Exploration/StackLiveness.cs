using System.Numerics;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>
/// Which stack slots may still be read after an instruction, learnt from the reads and writes that the walk
/// has seen so far, independent of the path, but by chain of calls. Slots that nobody reads are dropped
/// from finished checkpoints, which then cover more states.
/// </summary>
internal sealed partial class StackLiveness(Insn[] insns, Func<int, int> containingSubprog, List<Subprogram> subprogs, Func<int, bool> callsCallback)
{
    private readonly Dictionary<ChainKey, Instance> _instances = new(new ChainComparer());
    private readonly ulong[] _writes = new ulong[VerifierState.MaxFrames];
    private readonly Dictionary<Subprogram, Flow> _flows = [];
    private Instance? _current;

    /// <summary>Bytes of what is kept, which grows with every chain of calls.</summary>
    public long Bytes { get; private set; }

    /// <summary>Places in the postorder of a function, and the places from which each of its instructions is reached.</summary>
    private sealed class Flow
    {
        public readonly int[] Place, FirstPredecessor, Predecessors;

        public Flow(Insn[] insns, Subprogram subprog)
        {
            int length = subprog.End - subprog.Start;
            Place = new int[length];
            FirstPredecessor = new int[length + 1];
            for (int i = 0; i < subprog.Postorder.Length; i++) Place[subprog.Postorder[i] - subprog.Start] = i;
            Span<int> next = stackalloc int[2];
            foreach (int insn in subprog.Postorder)
            {
                int count = Cfg.Successors.Of(insns, insn, next);
                for (int s = 0; s < count; s++) FirstPredecessor[next[s] - subprog.Start + 1]++;
            }

            for (int i = 0; i < length; i++) FirstPredecessor[i + 1] += FirstPredecessor[i];
            Predecessors = new int[FirstPredecessor[length]];
            int[] filled = FirstPredecessor[..length];
            for (int place = 0; place < subprog.Postorder.Length; place++)
            {
                int count = Cfg.Successors.Of(insns, subprog.Postorder[place], next);
                for (int s = 0; s < count; s++) Predecessors[filled[next[s] - subprog.Start]++] = place;
            }
        }
    }

    /// <summary>Function and calls that lead to it.</summary>
    private readonly struct ChainKey(int[] chain, int depth)
    {
        // Call sites, then the start of the function.
        public ReadOnlySpan<int> Chain => chain.AsSpan(0, depth + 1);
    }

    // A comparer of its own is compiled ahead of time; the default one would not be.
    private sealed class ChainComparer : IEqualityComparer<ChainKey>
    {
        public bool Equals(ChainKey x, ChainKey y) => x.Chain.SequenceEqual(y.Chain);

        public int GetHashCode(ChainKey key)
        {
            var hash = new HashCode();
            foreach (int part in key.Chain) hash.Add(part);
            return hash.ToHashCode();
        }
    }

    /// <summary>Masks of slots for one instruction and one frame.</summary>
    private struct Masks
    {
        public ulong MayRead, MustWrite, MustWriteBelow, LiveBefore;
    }

    /// <summary>One function as called through one chain.</summary>
    private sealed class Instance(int[] chain, int depth, Subprogram subprog, Flow flow, StackLiveness owner)
    {
        public readonly Flow Flow = flow;

        // Instructions to solve for again, by their place in the postorder, and the range in which they lie.
        private readonly ulong[] _dirty = new ulong[(subprog.Postorder.Length + 63) / 64];
        private int _firstDirty = int.MaxValue;

        public readonly int[] Chain = chain;
        public readonly int Depth = depth;
        public readonly Subprogram Subprog = subprog;
        public readonly Masks[]?[] Frames = new Masks[]?[depth + 1];
        public readonly bool[] WritesSeen = new bool[subprog.End - subprog.Start];
        public bool Updated, WriteDropped;

        /// <summary>What changed at an instruction must be solved for.</summary>
        public void Touch(int insn) => TouchPlace(Flow.Place[insn - Subprog.Start]);

        private void TouchPlace(int place)
        {
            _dirty[place >> 6] |= 1ul << place;
            _firstDirty = Math.Min(_firstDirty, place);
        }

        /// <summary>Everything must be solved for.</summary>
        public void TouchAll()
        {
            for (int place = 0; place < Subprog.Postorder.Length; place++) TouchPlace(place);
        }

        /// <summary>Those before an instruction depend on what changed there.</summary>
        public void TouchPredecessors(int insn)
        {
            int at = insn - Subprog.Start;
            for (int i = Flow.FirstPredecessor[at]; i < Flow.FirstPredecessor[at + 1]; i++) TouchPlace(Flow.Predecessors[i]);
        }

        /// <summary>The next place to solve for from one on; -1 if none is left there.</summary>
        public int NextDirty(int from)
        {
            for (int word = from >> 6; word < _dirty.Length; word++)
            {
                ulong bits = _dirty[word] & (word == from >> 6 ? ulong.MaxValue << from : ulong.MaxValue);
                if (bits == 0) continue;
                int place = (word << 6) + BitOperations.TrailingZeroCount(bits);
                _dirty[word] &= ~(1ul << place);
                return place;
            }

            return -1;
        }

        /// <summary>Where the next sweep begins; -1 if nothing is left to do.</summary>
        public int BeginSweep()
        {
            int first = _firstDirty;
            _firstDirty = int.MaxValue;
            return first == int.MaxValue ? -1 : first;
        }

        public ref Masks At(int frame, int insn)
        {
            if (Frames[frame] is not { } masks)
            {
                masks = Frames[frame] = new Masks[Subprog.End - Subprog.Start];
                owner.Bytes += masks.Length * 32L;
            }

            return ref masks[insn - Subprog.Start];
        }
    }

    /// <summary>Another function or path is walked from now on.</summary>
    public void ResetChain() => _current = null;

    private Instance Lookup(VerifierState st, int frameNo)
    {
        int[] chain = new int[frameNo + 1];
        for (int i = 0; i < frameNo; i++) chain[i] = st.Peek(i + 1).CallSite;
        chain[frameNo] = subprogs[st.Peek(frameNo).SubprogNo].Start;
        return Get(chain, frameNo);
    }

    private Instance Get(int[] chain, int depth)
    {
        var key = new ChainKey(chain, depth);
        if (_instances.TryGetValue(key, out Instance? found)) return found;
        Subprogram subprog = subprogs[containingSubprog(chain[depth])];
        if (!_flows.TryGetValue(subprog, out Flow? flow)) _flows.Add(subprog, flow = new Flow(insns, subprog));
        var made = new Instance(chain, depth, subprog, flow, this);
        Bytes += 256 + (subprog.End - subprog.Start);
        _instances.Add(key, made);
        return made;
    }

    private Instance Ensure(VerifierState st) => _current ??= Lookup(st, st.CurFrame);

    /// <summary>An instruction begins.</summary>
    public void BeginInsn() => Array.Clear(_writes);

    /// <summary>A slot was overwritten wholly by the running instruction.</summary>
    public void MarkWrite(int frame, int slot) => _writes[frame] |= 1ul << slot;

    /// <summary>A slot was read by an instruction.</summary>
    public void MarkRead(VerifierState st, int frame, int insn, int slot)
    {
        Instance instance = Ensure(st);
        if (frame <= instance.Depth) MarkRead(instance, frame, insn, 1ul << slot);
    }

    private static void MarkRead(Instance instance, int frame, int insn, ulong mask)
    {
        if (mask == 0) return;
        ref Masks masks = ref instance.At(frame, insn);
        if ((masks.MayRead | mask) == masks.MayRead) return;
        masks.MayRead |= mask;
        instance.Touch(insn);
        // What was known to be live anyway changes nothing.
        if ((masks.LiveBefore | mask) != masks.LiveBefore) instance.Updated = true;
    }

    /// <summary>An instruction ends: what all its visits wrote is what it must write.</summary>
    public void EndInsn(VerifierState st, int insn) => Commit(Ensure(st), insn);

    private void Commit(Instance instance, int insn)
    {
        ref bool seen = ref instance.WritesSeen[insn - instance.Subprog.Start];
        for (int f = 0; f <= instance.Depth; f++)
        {
            if (_writes[f] == 0 && instance.Frames[f] == null) continue;
            ref Masks masks = ref instance.At(f, insn);
            ulong write = seen ? masks.MustWrite & _writes[f] : _writes[f];
            if (masks.MustWrite == write) continue;
            // Fewer certain writes make more slots live: the old solution must be thrown away.
            if ((masks.MustWrite & ~write) != 0) instance.WriteDropped = true;
            masks.MustWrite = write;
            instance.Touch(insn);
            instance.Updated = true;
        }

        seen = true;
    }

    /// <summary>Solves for what changed, and hands a callee's effects on the outer frames to its callers.</summary>
    public void Update(VerifierState st)
    {
        for (Instance? instance = Ensure(st); instance != null; instance = Outer(instance))
        {
            if (!instance.Updated) continue;
            if (Trace == null) Solve(instance);
            else SolveTraced(instance);
            if (instance.Depth > 0) PropagateOut(instance);
        }
    }

    private Instance? Outer(Instance instance)
    {
        if (instance.Depth == 0) return null;
        int[] chain = instance.Chain[..instance.Depth];
        chain[instance.Depth - 1] = subprogs[containingSubprog(instance.Chain[instance.Depth - 1])].Start;
        return Get(chain, instance.Depth - 1);
    }

    private void PropagateOut(Instance instance)
    {
        Instance outer = Outer(instance)!;
        int site = instance.Chain[instance.Depth - 1];
        BeginInsn();
        for (int f = 0; f < instance.Depth; f++)
        {
            if (instance.Frames[f] == null) continue;
            ref Masks entry = ref instance.At(f, instance.Subprog.Start);
            _writes[f] |= entry.MustWriteBelow;
            MarkRead(outer, f, site, entry.LiveBefore);
        }

        Commit(outer, site);
        BeginInsn();
    }

    // In sweeps over the postorder, but only over what depends on a change.
    private void Solve(Instance instance)
    {
        if (instance.WriteDropped)
        {
            foreach (Masks[]? masks in instance.Frames)
            {
                for (int i = 0; masks != null && i < masks.Length; i++) masks[i].LiveBefore = masks[i].MustWriteBelow = 0;
            }

            instance.TouchAll();
        }

        int[] order = instance.Subprog.Postorder;
        for (int place = instance.BeginSweep(); place >= 0; place = instance.BeginSweep())
        {
            for (place = instance.NextDirty(place); place >= 0; place = instance.NextDirty(place + 1))
            {
                if (SolveAt(instance, order[place])) instance.TouchPredecessors(order[place]);
            }
        }

        instance.Updated = instance.WriteDropped = false;
    }

    /// <summary>Solves for one instruction; whether anything changed before it.</summary>
    private bool SolveAt(Instance instance, int insn)
    {
        bool changed = false;
        for (int f = 0; f <= instance.Depth; f++)
        {
            if (instance.Frames[f] != null) changed |= SolveAt(instance, f, insn);
        }

        return changed;
    }

    private bool SolveAt(Instance instance, int frame, int insn)
    {
        Span<int> next = stackalloc int[2];
        int count = Cfg.Successors.Of(insns, insn, next), start = instance.Subprog.Start;
        if (count == 0) return false;
        Masks[] masks = instance.Frames[frame]!;
        ulong after = 0, below = ulong.MaxValue;
        for (int s = 0; s < count; s++)
        {
            ref Masks successor = ref masks[next[s] - start];
            after |= successor.LiveBefore;
            below &= successor.MustWriteBelow;
        }

        ref Masks here = ref masks[insn - start];
        ulong before = (after & ~here.MustWrite) | here.MayRead;
        below |= here.MustWrite;
        if (before == here.LiveBefore && below == here.MustWriteBelow) return false;
        if (Trace != null) TraceChange(instance, frame, insn, here, before, below);
        here.LiveBefore = before;
        here.MustWriteBelow = below;
        return true;
    }

    private readonly Instance?[] _query = new Instance?[VerifierState.MaxFrames];

    /// <summary>Prepares <see cref="IsAlive"/> for a state.</summary>
    public void Query(VerifierState st)
    {
        for (int f = 0; f <= st.CurFrame; f++) _query[f] = Lookup(st, f);
    }

    /// <summary>Whether somebody may read a slot of a frame after the state that was given to <see cref="Query"/>.</summary>
    public bool IsAlive(VerifierState st, int frame, int slot)
    {
        if (IsLiveBefore(_query[st.CurFrame]!, st.InsnIdx, frame, slot)) return true;
        for (int i = frame; i < st.CurFrame; i++)
        {
            int site = st.Peek(i + 1).CallSite;
            if (IsLiveBefore(_query[i]!, callsCallback(site) ? site : site + 1, frame, slot)) return true;
        }

        return false;
    }

    private static bool IsLiveBefore(Instance instance, int insn, int frame, int slot) =>
        frame <= instance.Depth && instance.Frames[frame] is { } masks && insn >= instance.Subprog.Start && insn < instance.Subprog.End
        && (masks[insn - instance.Subprog.Start].LiveBefore & (1ul << slot)) != 0;
}
