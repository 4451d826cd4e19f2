namespace BpfSim.Kernel.Attach;

/// <summary>How a program hangs on a hook; decides which context it gets.</summary>
public enum HookKind
{
    /// <summary>Entry of a kernel function; the context is <c>struct pt_regs</c>.</summary>
    Kprobe,

    /// <summary>Return of a kernel function; <c>struct pt_regs</c> with the result in ax.</summary>
    Kretprobe,

    /// <summary>A tracepoint's record.</summary>
    Tracepoint,

    /// <summary>A tracepoint's raw arguments, also for tp_btf.</summary>
    RawTracepoint,

    /// <summary>A function's arguments as 8-byte values.</summary>
    Fentry,

    /// <summary>A function's arguments and its result.</summary>
    Fexit,

    /// <summary>A timer or counter sample; <c>struct bpf_perf_event_data</c>.</summary>
    PerfEvent,

    /// <summary>Entry of a function in a user-space binary.</summary>
    Uprobe,

    /// <summary>Return of a function in a user-space binary.</summary>
    Uretprobe,
}

/// <summary>What sort of place a hook site is: which payload its events carry.</summary>
public enum SiteKind
{
    /// <summary>Entry of a kernel function: its arguments.</summary>
    FunctionEntry,

    /// <summary>Return of a kernel function: its arguments and the result.</summary>
    FunctionReturn,

    /// <summary>A tracepoint: raw arguments and record.</summary>
    Tracepoint,

    /// <summary>A sample of a CPU: the interrupted registers.</summary>
    Sample,

    /// <summary>Entry of a user-space function.</summary>
    UserEntry,

    /// <summary>Return of a user-space function.</summary>
    UserReturn,
}
