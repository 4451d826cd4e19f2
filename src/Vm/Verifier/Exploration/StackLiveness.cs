using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>
/// Which stack slots may still be read after an instruction, learnt from the reads and writes that the walk
/// has seen so far, independent of the path, but by chain of calls. Slots that nobody reads are dropped
/// from finished checkpoints, which then cover more states.
/// </summary>
internal sealed class StackLiveness(Insn[] insns, Func<int, int> containingSubprog, List<Subprogram> subprogs, Func<int, bool> callsCallback)
{
    private readonly Dictionary<ChainKey, Instance> _instances = [];
    private readonly ulong[] _writes = new ulong[VerifierState.MaxFrames];
    private Instance? _current;

    /// <summary>Function and calls that lead to it.</summary>
    private readonly struct ChainKey(int[] chain, int depth) : IEquatable<ChainKey>
    {
        // Call sites, then the start of the function.
        private readonly int[] _chain = chain;
        private readonly int _depth = depth;

        public bool Equals(ChainKey other) => _depth == other._depth && _chain.AsSpan(0, _depth + 1).SequenceEqual(other._chain.AsSpan(0, other._depth + 1));

        public override bool Equals(object? obj) => obj is ChainKey other && Equals(other);

        public override int GetHashCode()
        {
            var hash = new HashCode();
            for (int i = 0; i <= _depth; i++) hash.Add(_chain[i]);
            return hash.ToHashCode();
        }
    }

    /// <summary>Masks of slots for one instruction and one frame.</summary>
    private struct Masks
    {
        public ulong MayRead, MustWrite, MustWriteBelow, LiveBefore;
    }

    /// <summary>One function as called through one chain.</summary>
    private sealed class Instance(int[] chain, int depth, Subprogram subprog)
    {
        public readonly int[] Chain = chain;
        public readonly int Depth = depth;
        public readonly Subprogram Subprog = subprog;
        public readonly Masks[]?[] Frames = new Masks[]?[depth + 1];
        public readonly bool[] WritesSeen = new bool[subprog.End - subprog.Start];
        public bool Updated, WriteDropped;

        public ref Masks At(int frame, int insn)
        {
            Masks[] masks = Frames[frame] ??= new Masks[Subprog.End - Subprog.Start];
            return ref masks[insn - Subprog.Start];
        }
    }

    /// <summary>Another function or path is walked from now on.</summary>
    public void ResetChain() => _current = null;

    private Instance Lookup(VerifierState st, int frameNo)
    {
        int[] chain = new int[frameNo + 1];
        for (int i = 0; i < frameNo; i++) chain[i] = st.Frames[i + 1]!.CallSite;
        chain[frameNo] = subprogs[st.Frames[frameNo]!.SubprogNo].Start;
        return Get(chain, frameNo);
    }

    private Instance Get(int[] chain, int depth)
    {
        var key = new ChainKey(chain, depth);
        if (_instances.TryGetValue(key, out Instance? found)) return found;
        var made = new Instance(chain, depth, subprogs[containingSubprog(chain[depth])]);
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
        instance.Updated = true;
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
            Solve(instance);
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

    private void Solve(Instance instance)
    {
        Span<int> next = stackalloc int[2];
        for (int f = 0; f <= instance.Depth; f++)
        {
            if (instance.Frames[f] is not { } masks) continue;
            if (instance.WriteDropped)
            {
                for (int i = 0; i < masks.Length; i++) masks[i].LiveBefore = masks[i].MustWriteBelow = 0;
            }

            bool changed = true;
            while (changed)
            {
                changed = false;
                foreach (int insn in instance.Subprog.Postorder)
                {
                    int count = Cfg.Successors.Of(insns, insn, next);
                    ulong after = 0, below = count == 0 ? 0 : ulong.MaxValue;
                    for (int s = 0; s < count; s++)
                    {
                        ref Masks successor = ref masks[next[s] - instance.Subprog.Start];
                        after |= successor.LiveBefore;
                        below &= successor.MustWriteBelow;
                    }

                    ref Masks here = ref masks[insn - instance.Subprog.Start];
                    ulong before = (after & ~here.MustWrite) | here.MayRead;
                    below |= here.MustWrite;
                    if (before == here.LiveBefore && below == here.MustWriteBelow) continue;
                    here.LiveBefore = before;
                    here.MustWriteBelow = below;
                    changed = true;
                }
            }
        }

        instance.Updated = instance.WriteDropped = false;
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
            int site = st.Frames[i + 1]!.CallSite;
            if (IsLiveBefore(_query[i]!, callsCallback(site) ? site : site + 1, frame, slot)) return true;
        }

        return false;
    }

    private static bool IsLiveBefore(Instance instance, int insn, int frame, int slot) =>
        frame <= instance.Depth && instance.Frames[frame] is { } masks && insn >= instance.Subprog.Start && insn < instance.Subprog.End
        && (masks[insn - instance.Subprog.Start].LiveBefore & (1ul << slot)) != 0;
}
