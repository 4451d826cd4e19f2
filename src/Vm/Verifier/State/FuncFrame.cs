namespace BpfSim.Vm.Verifier.State;

/// <summary>Registers and stack of one function that is being walked (struct bpf_func_state).</summary>
internal sealed class FuncFrame
{
    /// <summary>r0 to r10.</summary>
    public readonly RegisterState[] Regs = new RegisterState[11];

    /// <summary>Slots from the frame pointer down; only the first <see cref="StackSlots"/> count.</summary>
    public StackSlot[] Stack = [];

    /// <summary>How many slots were touched.</summary>
    public int StackSlots;

    /// <summary>Instruction of the call that made the frame, -1 for main.</summary>
    public int CallSite;

    /// <summary>Depth, 0 for main.</summary>
    public int FrameNo;

    /// <summary>Which subprogram it runs.</summary>
    public int SubprogNo;

    /// <summary>Which asynchronous callback entry this is.</summary>
    public uint AsyncEntryCount;

    /// <summary>How often the callback that this frame is, or that was called from here, was simulated.</summary>
    public uint CallbackDepth;

    /// <summary>A callback called by a helper or kfunc; returns to the call.</summary>
    public bool InCallback;

    /// <summary>A callback that the kernel runs later (timer, workqueue).</summary>
    public bool InAsyncCallback;

    /// <summary>The exception callback.</summary>
    public bool InExceptionCallback;

    /// <summary>What a callback may return.</summary>
    public (long Min, long Max) CallbackReturnRange;

    /// <summary>Bytes of stack that were touched.</summary>
    public int AllocatedStack => StackSlots * 8;

    /// <summary>Makes sure that slots up to <paramref name="slots"/> exist; new ones are invalid.</summary>
    public void GrowStack(int slots)
    {
        if (slots <= StackSlots) return;
        if (Stack.Length < slots) Array.Resize(ref Stack, Math.Max(slots, Math.Min(64, Math.Max(4, Stack.Length * 2))));
        Array.Clear(Stack, StackSlots, slots - StackSlots);
        StackSlots = slots;
    }

    /// <summary>Becomes a copy of another frame.</summary>
    public void CopyFrom(FuncFrame other)
    {
        other.Regs.AsSpan().CopyTo(Regs);
        if (Stack.Length < other.StackSlots) Stack = new StackSlot[other.StackSlots];
        other.Stack.AsSpan(0, other.StackSlots).CopyTo(Stack);
        StackSlots = other.StackSlots;
        CopyHeadFrom(other);
    }

    private void CopyHeadFrom(FuncFrame other)
    {
        CallSite = other.CallSite;
        FrameNo = other.FrameNo;
        SubprogNo = other.SubprogNo;
        AsyncEntryCount = other.AsyncEntryCount;
        CallbackDepth = other.CallbackDepth;
        InCallback = other.InCallback;
        InAsyncCallback = other.InAsyncCallback;
        InExceptionCallback = other.InExceptionCallback;
        CallbackReturnRange = other.CallbackReturnRange;
    }

    /// <summary>An empty frame: registers hold nothing, r10 points to the frame.</summary>
    public void Init(int callSite, int frameNo, int subprogNo)
    {
        StackSlots = 0;
        CallSite = callSite;
        FrameNo = frameNo;
        SubprogNo = subprogNo;
        AsyncEntryCount = 0;
        CallbackDepth = 0;
        InCallback = InAsyncCallback = InExceptionCallback = false;
        CallbackReturnRange = default;
        for (int i = 0; i < Regs.Length; i++) Regs[i].MarkNotInit();
        Regs[10].MarkPointer(RegType.PtrToStack);
        Regs[10].FrameNo = frameNo;
    }
}
