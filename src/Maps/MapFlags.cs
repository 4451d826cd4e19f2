namespace BpfSim.Maps;

/// <summary>Creation flags of BPF_MAP_CREATE (BPF_F_*, Linux 6.18).</summary>
[Flags]
public enum MapFlags : uint
{
    None = 0,
    /// <summary>Elements are allocated when they are inserted.</summary>
    NoPrealloc = 1u << 0,
    /// <summary>LRU kinds: every CPU has a list and a share of the capacity of its own.</summary>
    NoCommonLru = 1u << 1,
    /// <summary>A NUMA node is given.</summary>
    NumaNode = 1u << 2,
    /// <summary>The descriptor may only read.</summary>
    Rdonly = 1u << 3,
    /// <summary>The descriptor may only write.</summary>
    Wronly = 1u << 4,
    /// <summary>stack_trace: stores build ids instead of addresses.</summary>
    StackBuildId = 1u << 5,
    /// <summary>Hash functions start from 0, so that two maps with the same content have the same order.</summary>
    ZeroSeed = 1u << 6,
    /// <summary>Programs may only read.</summary>
    RdonlyProg = 1u << 7,
    /// <summary>Programs may only write.</summary>
    WronlyProg = 1u << 8,
    /// <summary>Storage kinds: the value is copied when the socket is cloned.</summary>
    Clone = 1u << 9,
    /// <summary>User space may map the values.</summary>
    Mmapable = 1u << 10,
    /// <summary>perf_event_array: entries outlive the descriptor that set them.</summary>
    PreserveElems = 1u << 11,
    /// <summary>An array that may be an inner map whatever its size.</summary>
    InnerMap = 1u << 12,
    /// <summary>A struct_ops map is attached through a link.</summary>
    Link = 1u << 13,
    /// <summary>The value type is in the BTF of a module.</summary>
    VtypeBtfObjFd = 1u << 15,
    /// <summary>A token is given.</summary>
    TokenFd = 1u << 16,
    /// <summary>Arena: a fault outside allocated pages is a signal, not an allocation.</summary>
    SegvOnFault = 1u << 17,
    /// <summary>Arena: pointers are not translated to user addresses.</summary>
    NoUserConv = 1u << 18,
}

/// <summary>Flags of an update or lookup.</summary>
public static class UpdateFlags
{
    /// <summary>BPF_ANY: create or replace.</summary>
    public const ulong Any = 0;

    /// <summary>BPF_NOEXIST: only create; for queues BPF_EXIST means overwriting the oldest.</summary>
    public const ulong NoExist = 1;

    /// <summary>BPF_EXIST: only replace.</summary>
    public const ulong Exist = 2;

    /// <summary>BPF_F_LOCK: copy under the bpf_spin_lock in the value.</summary>
    public const ulong Lock = 4;
}
