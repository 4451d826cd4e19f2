namespace BpfSim.Vm.Programs;

/// <summary>The capabilities of a loader that bpf(2) asks for. Root has all, the unprivileged none.</summary>
[Flags]
public enum Capabilities
{
    /// <summary>The unprivileged: socket filters of at most 4096 instructions, without loops and calls between functions.</summary>
    None = 0,

    /// <summary>CAP_BPF: all program types that need nothing else, loops, functions, a million instructions.</summary>
    Bpf = 1,

    /// <summary>CAP_PERFMON: tracing programs; pointers may leak, uninitialised stack may be read, no defence against speculation.</summary>
    Perfmon = 2,

    /// <summary>CAP_NET_ADMIN: programs that decide about packets.</summary>
    NetAdmin = 4,

    /// <summary>CAP_SYS_ADMIN: stands for each of the others.</summary>
    SysAdmin = 8,

    /// <summary>Root.</summary>
    All = Bpf | Perfmon | NetAdmin | SysAdmin,
}

/// <summary>Questions about <see cref="Capabilities"/>.</summary>
public static class CapabilityChecks
{
    /// <summary>Whether a loader has all that is asked for, or CAP_SYS_ADMIN in its place.</summary>
    public static bool Allows(this Capabilities loader, Capabilities wanted) =>
        (loader & Capabilities.SysAdmin) != 0 || (loader & wanted) == wanted;
}
