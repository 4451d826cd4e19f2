using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Helpers;

/// <summary>
/// One row of the helper table: everything that anybody knows of a helper. The VM declares the row, the
/// simulated kernel fills the table, and the verifier, the disassembler and the engines derive from it.
/// Source of the facts: bpf-helpers(7) and the behaviour of Linux 6.18.
/// </summary>
public sealed unsafe class HelperPrototype
{
    /// <summary>The number in the call instruction (enum bpf_func_id).</summary>
    public required int Id { get; init; }

    /// <summary>The kernel's name, such as <c>bpf_map_lookup_elem</c>; logs print it as <c>bpf_map_lookup_elem#1</c>.</summary>
    public required string Name { get; init; }

    /// <summary>What r0 holds afterwards.</summary>
    public required ReturnType Return { get; init; }

    /// <summary>The arguments in r1 to r5; at most five.</summary>
    public ArgType[] Args { get; init; } = [];

    /// <summary>Kernel type names of BTF-typed arguments (null where the argument is not one), e.g. <c>task_struct</c>.</summary>
    public string?[] ArgBtf { get; init; } = [];

    /// <summary>Sizes in bytes of fixed-size memory arguments (0 elsewhere).</summary>
    public int[] ArgSizes { get; init; } = [];

    /// <summary>Kernel type name of a BTF-typed return value.</summary>
    public string? ReturnBtf { get; init; }

    /// <summary>Whether only programs with a GPL-compatible licence may call it.</summary>
    public bool GplOnly { get; init; }

    /// <summary>Whether it may sleep, and is therefore for sleepable programs only.</summary>
    public bool MightSleep { get; init; }

    /// <summary>Whether it may move packet data, which invalidates all packet pointers.</summary>
    public bool ChangesPacketData { get; init; }

    /// <summary>Whether its memory arguments may point into packet data.</summary>
    public bool PacketAccess { get; init; }

    /// <summary>Whether it keeps r1 to r5, so that spills around the call can be dropped (bpf_fastcall, Linux 6.12+).</summary>
    public bool AllowFastcall { get; init; }

    /// <summary>
    /// Whether it reads more registers than <see cref="Args"/> declares: bpf_trace_printk takes up to three values
    /// for its format, which the kernel's prototype does not mention.
    /// </summary>
    public bool IsVariadic => Name == "bpf_trace_printk";

    /// <summary>
    /// The implementation: called with r1 to r5 and the run context, returns r0; null if the simulation has
    /// none, and a call then returns -EOPNOTSUPP. Must be an UnmanagedCallersOnly method that never throws.
    /// </summary>
    public delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> Implementation
    {
        get => _implementation;
        init => _implementation = value;
    }

    private delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> _implementation;

    /// <summary>The same row with an implementation.</summary>
    public HelperPrototype WithImplementation(
        delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> implementation)
    {
        var copy = (HelperPrototype)MemberwiseClone();
        copy._implementation = implementation;
        return copy;
    }
}

/// <summary>
/// What a helper wants in an argument register: a base kind in the low byte, flags above. The names are the
/// kernel's (enum bpf_arg_type) without the ARG_ prefix.
/// </summary>
[Flags]
public enum ArgType : uint
{
    DontCare = 0,
    ConstMapPtr, PtrToMapKey, PtrToMapValue, PtrToMem, PtrToArena, ConstSize, ConstSizeOrZero, PtrToCtx, Anything,
    PtrToSpinLock, PtrToSockCommon, PtrToSocket, PtrToBtfId, PtrToRingbufMem, ConstAllocSizeOrZero,
    PtrToBtfIdSockCommon, PtrToPercpuBtfId, PtrToFunc, PtrToStack, PtrToConstStr, PtrToTimer, KptrXchgDest,
    PtrToDynptr,

    BaseMask = 0xff,

    /// <summary>NULL is allowed.</summary>
    MaybeNull = 1 << 8,
    /// <summary>The helper only reads the memory.</summary>
    Rdonly = 1 << 9,
    /// <summary>The memory may be uninitialised; the helper fills it.</summary>
    Uninit = 1 << 10,
    /// <summary>The helper writes the memory.</summary>
    Write = 1 << 11,
    /// <summary>The size of the memory is fixed by the prototype (<see cref="HelperPrototype.ArgSizes"/>).</summary>
    FixedSize = 1 << 12,
    /// <summary>The memory must be naturally aligned for its size.</summary>
    Aligned = 1 << 13,
    /// <summary>The helper releases the reference held by the argument.</summary>
    ObjRelease = 1 << 14,
    /// <summary>A dynptr over local memory / a ring buffer record / an skb / an xdp frame.</summary>
    DynptrLocal = 1 << 15, DynptrRingbuf = 1 << 16, DynptrSkb = 1 << 17, DynptrXdp = 1 << 18,
    /// <summary>The pointer must be to an object under RCU protection.</summary>
    Rcu = 1 << 19,
    /// <summary>The pointer must point to per-CPU data.</summary>
    Percpu = 1 << 20,
}

/// <summary>What a helper leaves in r0: a base kind in the low byte, flags above (enum bpf_return_type).</summary>
[Flags]
public enum ReturnType : uint
{
    Integer = 0,
    Void, PtrToMapValue, PtrToSocket, PtrToTcpSock, PtrToSockCommon, PtrToMem, PtrToMemOrBtfId, PtrToBtfId,

    BaseMask = 0xff,

    /// <summary>NULL is possible, and must be tested for.</summary>
    MaybeNull = 1 << 8,
    /// <summary>The memory is a slice of a dynptr's data, or an allocation.</summary>
    Alloc = 1 << 9,
    /// <summary>The result is trusted and lives as long as the program.</summary>
    Trusted = 1 << 10,
    /// <summary>The memory may only be read.</summary>
    Rdonly = 1 << 11,
    /// <summary>A ring buffer record.</summary>
    Ringbuf = 1 << 12,
}
