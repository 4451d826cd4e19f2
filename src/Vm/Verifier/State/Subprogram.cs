namespace BpfSim.Vm.Verifier.State;

/// <summary>One function of the program (struct bpf_subprog_info).</summary>
internal sealed class Subprogram
{
    /// <summary>First instruction.</summary>
    public int Start;

    /// <summary>Behind the last instruction.</summary>
    public int End;

    /// <summary>Name from BTF; empty without.</summary>
    public string Name = "";

    /// <summary>BTF id of its FUNC; 0 without.</summary>
    public uint BtfId;

    /// <summary>Deepest stack in bytes, positive, as the deepest access made it.</summary>
    public int StackDepth;

    /// <summary>What the kernel's rewrites add to the stack or, negative, take from it.</summary>
    public int StackExtra;

    /// <summary>Stack of the function in the kernel, after its rewrites.</summary>
    public int CountedStack => StackDepth + StackExtra;

    /// <summary>Bytes of stack for the count and the time of a function's may_gotos.</summary>
    public const int CounterStack = 16;

    /// <summary>Some may_goto keeps count on the stack.</summary>
    public bool CountsLoops;

    public bool HasTailCall;
    public bool TailCallReachable;
    public bool HasLdAbs;
    public bool IsCallback;
    public bool IsAsyncCallback;
    public bool IsExceptionCallback;
    public bool ChangesPacketData;
    public bool MightSleep;
    public bool MightThrow;

    /// <summary>A global function: verified on its own by its BTF.</summary>
    public bool IsGlobal;

    /// <summary>A global function that was called from verified code.</summary>
    public bool Called;

    /// <summary>A global function that was found safe.</summary>
    public bool Verified;

    /// <summary>BTF was looked at and the arguments are in <see cref="Args"/>.</summary>
    public bool ArgsCached;

    /// <summary>What is wrong with the BTF of a function that is only checked when called.</summary>
    public bool Unreliable;

    /// <summary>Arguments of a global function, prepared by the call checks.</summary>
    public object? Args;

    /// <summary>Stack below this offset is only for spills around bpf_fastcall calls; below all stack if there are none.</summary>
    public int FastcallStackOff = short.MinValue;

    /// <summary>Some spills are around a call that keeps no registers, so the stack they use stays.</summary>
    public bool KeepFastcallStack;

    /// <summary>Instructions in depth-first postorder, filled by the control-flow check.</summary>
    public int[] Postorder = [];
}
