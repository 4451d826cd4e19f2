namespace BpfSim.Vm.Verifier.State;

/// <summary>
/// What a register holds: a base kind in the low byte, properties above. The names are the kernel's
/// (enum bpf_reg_type and bpf_type_flag) in C# casing.
/// </summary>
[Flags]
internal enum RegType : uint
{
    NotInit = 0,
    Scalar,
    PtrToCtx,
    ConstPtrToMap,
    PtrToMapValue,
    PtrToMapKey,
    PtrToStack,
    PtrToPacketMeta,
    PtrToPacket,
    PtrToPacketEnd,
    PtrToFlowKeys,
    PtrToSocket,
    PtrToSockCommon,
    PtrToTcpSock,
    PtrToTpBuffer,
    PtrToXdpSock,
    PtrToBtfId,
    PtrToMem,
    PtrToArena,
    PtrToBuf,
    PtrToFunc,
    PtrToInsn,
    ConstPtrToDynptr,

    BaseMask = 0xff,

    /// <summary>May be NULL and must be compared with it first.</summary>
    PtrMaybeNull = 1 << 8,
    /// <summary>The memory may only be read.</summary>
    MemRdonly = 1 << 9,
    /// <summary>A ring buffer record.</summary>
    MemRingbuf = 1 << 10,
    /// <summary>User-space memory (a BTF type tag).</summary>
    MemUser = 1 << 11,
    /// <summary>Per-CPU memory of the kernel.</summary>
    MemPercpu = 1 << 12,
    /// <summary>A reference that the call releases.</summary>
    ObjRelease = 1 << 13,
    /// <summary>May be stale or garbage: only probing loads.</summary>
    PtrUntrusted = 1 << 14,
    MemUninit = 1 << 15,
    DynptrTypeLocal = 1 << 16,
    DynptrTypeRingbuf = 1 << 17,
    MemFixedSize = 1 << 18,
    /// <summary>An object allocated by the program itself (bpf_obj_new).</summary>
    MemAlloc = 1 << 19,
    /// <summary>The kernel guarantees the pointer while the program runs.</summary>
    PtrTrusted = 1 << 20,
    /// <summary>Valid inside an RCU read section.</summary>
    MemRcu = 1 << 21,
    /// <summary>An object in a list or tree that the program does not own.</summary>
    NonOwnRef = 1 << 22,
    DynptrTypeSkb = 1 << 23,
    DynptrTypeXdp = 1 << 24,
    MemAligned = 1 << 25,
    MemWrite = 1 << 26,
    DynptrTypeSkbMeta = 1 << 27,
    DynptrTypeFile = 1 << 28,

    DynptrTypeMask = DynptrTypeLocal | DynptrTypeRingbuf | DynptrTypeSkb | DynptrTypeXdp | DynptrTypeSkbMeta | DynptrTypeFile,
    FlagMask = ~0u & ~0xffu,
}

/// <summary>Questions about <see cref="RegType"/> that many checks ask.</summary>
internal static class RegTypes
{
    /// <summary>The kind without properties.</summary>
    public static RegType Base(this RegType type) => type & RegType.BaseMask;

    /// <summary>The properties without the kind.</summary>
    public static RegType Flags(this RegType type) => type & ~RegType.BaseMask;

    /// <summary>Whether all the given properties are set.</summary>
    public static bool Has(this RegType type, RegType flags) => (type & flags) == flags;

    /// <summary>Whether any of the given properties is set.</summary>
    public static bool HasAny(this RegType type, RegType flags) => (type & flags) != 0;

    /// <summary>Whether the value may be NULL.</summary>
    public static bool MayBeNull(this RegType type) => (type & RegType.PtrMaybeNull) != 0;

    /// <summary>Whether this is any pointer (neither a number nor nothing).</summary>
    public static bool IsPointer(this RegType type) => type.Base() > RegType.Scalar;

    /// <summary>Packet data or packet metadata.</summary>
    public static bool IsPacket(this RegType type) => type is RegType.PtrToPacket or RegType.PtrToPacketMeta;

    /// <summary>Packet data, metadata or end.</summary>
    public static bool IsPacketAny(this RegType type) => type.IsPacket() || type == RegType.PtrToPacketEnd;

    /// <summary>Sockets of any kind: fields are read through the socket's own access rules.</summary>
    public static bool IsSock(this RegType type) =>
        type.Base() is RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.PtrToXdpSock;
}

/// <summary>Whether memory is read or written (enum bpf_access_type).</summary>
internal enum AccessType : byte { Read = 1, Write = 2 }

/// <summary>Which BTF a type id belongs to.</summary>
internal enum BtfSource : byte
{
    None,
    /// <summary>The kernel's (vmlinux).</summary>
    Kernel,
    /// <summary>The program's own.</summary>
    Program,
}

/// <summary>Kinds of dynptrs (enum bpf_dynptr_type).</summary>
internal enum DynptrKind : byte { Invalid, Local, Ringbuf, Skb, Xdp, SkbMeta, File }

/// <summary>State of an open-coded iterator (enum bpf_iter_state).</summary>
internal enum IterState : byte { Invalid, Active, Drained }
