namespace BpfSim.Vm.Helpers;

/// <summary>How the verifier treats a kernel function that programs call by BTF (KF_*, Documentation/bpf/kfuncs).</summary>
[Flags]
public enum KfuncFlags
{
    None = 0,
    /// <summary>Returns a reference that must be released.</summary>
    Acquire = 1 << 0,
    /// <summary>Releases the reference that is its argument.</summary>
    Release = 1 << 1,
    /// <summary>May return NULL.</summary>
    RetNull = 1 << 2,
    /// <summary>Takes only pointers that the kernel guarantees.</summary>
    TrustedArgs = 1 << 3,
    /// <summary>May sleep.</summary>
    Sleepable = 1 << 4,
    /// <summary>Takes trusted pointers and such under RCU.</summary>
    Rcu = 1 << 5,
    /// <summary>Starts an open-coded iterator.</summary>
    IterNew = 1 << 6,
    /// <summary>Steps an open-coded iterator.</summary>
    IterNext = 1 << 7,
    /// <summary>Ends an open-coded iterator.</summary>
    IterDestroy = 1 << 8,
    /// <summary>Is only called, and its results only used, under RCU.</summary>
    RcuProtected = 1 << 9,
    /// <summary>Keeps r1 to r5.</summary>
    Fastcall = 1 << 10,
}
