using BpfSim.Vm.Verifier.Exploration;

namespace BpfSim.Vm.Verifier.State;

/// <summary>What kind of resource a <see cref="ReferenceState"/> stands for (enum ref_state_type).</summary>
internal enum ReferenceKind : byte { Pointer = 1, Irq = 2, Lock = 4, ResLock = 8, ResLockIrq = 16 }

/// <summary>One acquired resource: a reference, saved interrupt flags, or a held lock.</summary>
internal struct ReferenceState
{
    /// <summary>What it is.</summary>
    public ReferenceKind Kind;

    /// <summary>Its id: ref_obj_id of pointers, id of the lock's pointer.</summary>
    public uint Id;

    /// <summary>Where it was acquired.</summary>
    public int InsnIdx;

    /// <summary>Locks: which object holds the lock: map index + 1, or (1 &lt;&lt; 31 | ref id) for allocated objects.</summary>
    public uint LockOwner;
}

/// <summary>All that is known at one instruction of one path (struct bpf_verifier_state).</summary>
internal sealed class VerifierState
{
    /// <summary>Most frames there can be (MAX_CALL_FRAMES).</summary>
    public const int MaxFrames = 8;

    private readonly FuncFrame?[] _frames = new FuncFrame?[MaxFrames];
    private int _curFrame;

    /// <summary>
    /// Frames, to be written to; only 0 to <see cref="CurFrame"/> count. Copies of a state share the frames below
    /// the running one: here a frame that is shared becomes a copy of its own first.
    /// </summary>
    public FrameList Frames => new(_frames);

    /// <summary>Puts a frame that nobody shares in its place, or takes one away.</summary>
    public void SetFrame(int frameNo, FuncFrame? frame) => _frames[frameNo] = frame;

    /// <summary>A frame, only to be read.</summary>
    public FuncFrame Peek(int frameNo) => _frames[frameNo]!;

    /// <summary>Index of the running frame, which is never shared.</summary>
    public int CurFrame
    {
        get => _curFrame;
        set
        {
            _curFrame = value;
            _ = Frames[value];
        }
    }

    /// <summary>Acquired resources, in order of acquisition; only the first <see cref="RefCount"/> count.</summary>
    public ReferenceState[] Refs = [];

    /// <summary>How many resources are held.</summary>
    public int RefCount;

    /// <summary>How many bpf_spin_locks are held.</summary>
    public int ActiveLocks;

    /// <summary>Id of the lock taken last.</summary>
    public uint ActiveLockId;

    /// <summary>Owner of the lock taken last, as <see cref="ReferenceState.LockOwner"/>.</summary>
    public uint ActiveLockOwner;

    /// <summary>Nesting of bpf_preempt_disable.</summary>
    public uint ActivePreemptLocks;

    /// <summary>Id of the saved interrupt flags on top, 0 if interrupts are on.</summary>
    public uint ActiveIrqId;

    /// <summary>Nesting of bpf_rcu_read_lock.</summary>
    public uint ActiveRcuLocks;

    /// <summary>A path that only a misspeculating CPU takes (unprivileged programs).</summary>
    public bool Speculative;

    /// <summary>Whether the code may sleep.</summary>
    public bool InSleepable;

    /// <summary>Open paths below this state; 0 means fully explored and safe.</summary>
    public int Branches;

    /// <summary>Where the state is.</summary>
    public int InsnIdx;

    /// <summary>First instruction after the parent state.</summary>
    public int FirstInsnIdx;

    /// <summary>Last instruction before this state.</summary>
    public int LastInsnIdx;

    /// <summary>The checkpoint before this one on the same path.</summary>
    public VerifierState? Parent;

    /// <summary>Depth in the tree of branches.</summary>
    public int DfsDepth;

    /// <summary>Times that callbacks were entered on the way here.</summary>
    public uint CallbackUnrollDepth;

    /// <summary>Times that a may_goto was taken.</summary>
    public uint MayGotoDepth;

    /// <summary>The checkpoint that this state was found equal to, in a loop.</summary>
    public VerifierState? EqualState;

    /// <summary>The jumps and stack accesses since the parent.</summary>
    public JumpHistory History = new();

    /// <summary>The running frame.</summary>
    public FuncFrame Current => _frames[_curFrame]!;

    /// <summary>Bytes of the state, with those of its frames that no other state has counted before.</summary>
    public long CountBytes()
    {
        long bytes = Overhead + (History.Entries.Length * 24) + (Refs.Length * 16);
        for (int i = 0; i <= _curFrame; i++)
        {
            FuncFrame frame = _frames[i]!;
            if (frame.Counted) continue;
            bytes += frame.Bytes;
            frame.Counted = frame.Shared;
        }

        return bytes;
    }

    // The objects themselves, their arrays' heads, the checkpoint and its place in a list.
    private const int Overhead = 400;

    /// <summary>Adds a resource.</summary>
    public void AddRef(ReferenceState reference)
    {
        if (RefCount == Refs.Length) Array.Resize(ref Refs, Math.Max(4, Refs.Length * 2));
        Refs[RefCount++] = reference;
    }

    /// <summary>Removes the resource at an index and keeps the order of the others.</summary>
    public void RemoveRefAt(int index)
    {
        int last = --RefCount;
        Array.Copy(Refs, index + 1, Refs, index, last - index);
        Refs[last] = default;
    }

    /// <summary>Copies everything but tree links and history.</summary>
    public void CopyFrom(VerifierState other, StatePool pool)
    {
        int running = other._curFrame;
        for (int i = running + 1; i <= _curFrame; i++)
        {
            pool.Return(_frames[i]);
            _frames[i] = null;
        }

        for (int i = 0; i < running; i++)
        {
            if (_frames[i] != other._frames[i]) pool.Return(_frames[i]);
            other._frames[i]!.Shared = true;
            _frames[i] = other._frames[i];
        }

        if (_frames[running] is not { Shared: false }) _frames[running] = pool.RentFrame();
        _frames[running]!.CopyFrom(other._frames[running]!);
        _curFrame = running;
        if (Refs.Length < other.RefCount) Refs = new ReferenceState[other.RefCount];
        other.Refs.AsSpan(0, other.RefCount).CopyTo(Refs);
        RefCount = other.RefCount;
        ActiveLocks = other.ActiveLocks;
        ActiveLockId = other.ActiveLockId;
        ActiveLockOwner = other.ActiveLockOwner;
        ActivePreemptLocks = other.ActivePreemptLocks;
        ActiveIrqId = other.ActiveIrqId;
        ActiveRcuLocks = other.ActiveRcuLocks;
        Speculative = other.Speculative;
        InSleepable = other.InSleepable;
        Branches = other.Branches;
        InsnIdx = other.InsnIdx;
        FirstInsnIdx = other.FirstInsnIdx;
        LastInsnIdx = other.LastInsnIdx;
        Parent = other.Parent;
        DfsDepth = other.DfsDepth;
        CallbackUnrollDepth = other.CallbackUnrollDepth;
        MayGotoDepth = other.MayGotoDepth;
        EqualState = other.EqualState;
    }
}

/// <summary>The frames of a state, for writing: whoever takes a shared one gets a copy of its own.</summary>
internal readonly struct FrameList(FuncFrame?[] frames)
{
    /// <summary>The frame at a depth, owned by its state alone.</summary>
    public FuncFrame? this[int frameNo]
    {
        get
        {
            FuncFrame? frame = frames[frameNo];
            return frame is { Shared: true } ? frames[frameNo] = frame.Clone() : frame;
        }
    }
}
