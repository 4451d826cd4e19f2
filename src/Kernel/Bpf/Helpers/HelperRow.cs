using BpfSim.Vm.Helpers;

namespace BpfSim.Kernel.Bpf;

/// <summary>Short words in which the helper rows are written: the common combinations of argument and return types.</summary>
internal static class HelperRow
{
    public const ArgType Map = ArgType.ConstMapPtr;
    public const ArgType Key = ArgType.PtrToMapKey;
    public const ArgType Value = ArgType.PtrToMapValue;
    public const ArgType Ctx = ArgType.PtrToCtx;
    public const ArgType Any = ArgType.Anything;
    public const ArgType Size = ArgType.ConstSize;
    public const ArgType Size0 = ArgType.ConstSizeOrZero;

    /// <summary>Memory that the helper reads.</summary>
    public const ArgType In = ArgType.PtrToMem | ArgType.Rdonly;

    /// <summary>Memory that the helper reads, or NULL.</summary>
    public const ArgType InOrNull = In | ArgType.MaybeNull;

    /// <summary>Memory that the helper fills.</summary>
    public const ArgType Out = ArgType.PtrToMem | ArgType.Uninit | ArgType.Write;

    /// <summary>Memory that the helper reads and writes.</summary>
    public const ArgType InOut = ArgType.PtrToMem | ArgType.Write;

    /// <summary>An aligned number that the helper fills; its size stands in the row.</summary>
    public const ArgType OutFixed = Out | ArgType.FixedSize | ArgType.Aligned;

    public const ArgType Btf = ArgType.PtrToBtfId;
    public const ArgType BtfOrNull = ArgType.PtrToBtfId | ArgType.MaybeNull;
    public const ArgType Sock = ArgType.PtrToBtfIdSockCommon;
    public const ArgType SockCommon = ArgType.PtrToSockCommon;
    public const ArgType ValueOrNull = ArgType.PtrToMapValue | ArgType.MaybeNull;
    public const ArgType Func = ArgType.PtrToFunc;
    public const ArgType StackOrNull = ArgType.PtrToStack | ArgType.MaybeNull;
    public const ArgType ConstStr = ArgType.PtrToConstStr;
    public const ArgType Dynptr = ArgType.PtrToDynptr;

    public const ReturnType Int = ReturnType.Integer;
    public const ReturnType Nothing = ReturnType.Void;
    public const ReturnType RetValueOrNull = ReturnType.PtrToMapValue | ReturnType.MaybeNull;
    public const ReturnType RetBtfOrNull = ReturnType.PtrToBtfId | ReturnType.MaybeNull;
    public const ReturnType RetSocketOrNull = ReturnType.PtrToSocket | ReturnType.MaybeNull;

    /// <summary>A row; the name is given without its bpf_ prefix.</summary>
    /// <param name="id">Number in the call instruction.</param>
    /// <param name="name">Kernel name without <c>bpf_</c>.</param>
    /// <param name="returns">What r0 holds.</param>
    /// <param name="args">Types of r1 to r5.</param>
    /// <param name="gpl">For GPL-compatible programs only.</param>
    /// <param name="sleeps">Might sleep.</param>
    /// <param name="packet">Memory arguments may point into the packet.</param>
    /// <param name="changes">May move packet data.</param>
    /// <param name="fastcall">Keeps r1 to r5.</param>
    /// <param name="btf">Kernel types of BTF arguments, by position.</param>
    /// <param name="sizes">Sizes of fixed-size memory, by position.</param>
    /// <param name="returnBtf">Kernel type of a BTF-typed result.</param>
    public static HelperPrototype Row(
        int id, string name, ReturnType returns, ArgType[] args, bool gpl = false, bool sleeps = false,
        bool packet = false, bool changes = false, bool fastcall = false, string?[]? btf = null, int[]? sizes = null,
        string? returnBtf = null) => new()
        {
            Id = id,
            Name = "bpf_" + name,
            Return = returns,
            Args = args,
            GplOnly = gpl,
            MightSleep = sleeps,
            PacketAccess = packet,
            ChangesPacketData = changes,
            AllowFastcall = fastcall,
            ArgBtf = btf ?? [],
            ArgSizes = sizes ?? [],
            ReturnBtf = returnBtf,
        };
}
