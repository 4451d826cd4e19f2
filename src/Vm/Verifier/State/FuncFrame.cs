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

    /// <summary>Several states hold this frame, so nobody may write to it.</summary>
    public bool Shared;

    /// <summary>A shared frame whose bytes are counted already.</summary>
    public bool Counted;

    /// <summary>Bytes in memory.</summary>
    public unsafe int Bytes => 128 + (Regs.Length * sizeof(RegisterState)) + (Stack.Length * sizeof(StackSlot));

    /// <summary>Whether some number, in a register or spilled, has this precision mark.</summary>
    public bool HasScalar(bool precise)
    {
        for (int i = 0; i < 10; i++)
        {
            if (Regs[i].Type == RegType.Scalar && Regs[i].Precise == precise) return true;
        }

        for (int i = 0; i < StackSlots; i++)
        {
            if (Stack[i].IsSpilledScalar && Stack[i].Spilled.Precise == precise) return true;
        }

        return false;
    }

    /// <summary>Whether some register or spilled register has this id, relations by a constant aside.</summary>
    public bool HasId(uint id)
    {
        for (int i = 0; i < 10; i++)
        {
            if ((Regs[i].Id & ~RegisterState.AddConst) == id && Regs[i].Type != RegType.NotInit) return true;
        }

        for (int i = 0; i < StackSlots; i++)
        {
            if (Stack[i].IsSpilled && (Stack[i].Spilled.Id & ~RegisterState.AddConst) == id) return true;
        }

        return false;
    }

    /// <summary>A copy that nobody shares.</summary>
    public FuncFrame Clone()
    {
        var copy = new FuncFrame();
        copy.CopyFrom(this);
        return copy;
    }

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
