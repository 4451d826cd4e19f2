using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Programs;

/// <summary>
/// One row of the program type table: SEC() names, context, return range and helpers. The VM declares the
/// row, the simulated kernel fills the table; the loader and the verifier derive from it.
/// </summary>
public sealed record ProgramTypeInfo
{
    /// <summary>The kernel's number.</summary>
    public required ProgramType Type { get; init; }

    /// <summary>The name bpftool prints, such as <c>kprobe</c> or <c>sched_cls</c>.</summary>
    public required string Name { get; init; }

    /// <summary>What loading a program of the type takes.</summary>
    public Capabilities Needs { get; init; }

    /// <summary>The SEC() names that libbpf maps to this type.</summary>
    public IReadOnlyList<SectionDefinition> Sections { get; init; } = [];

    /// <summary>Which accesses through the context pointer are allowed and what they yield.</summary>
    public required Func<ContextQuery, ContextAccess> CheckContext { get; init; }

    /// <summary>Whether a program of this type (attributes: attach type, sleepable, …) may call the helper with this id.</summary>
    public required Func<ProgramAttributes, int, bool> AllowsHelper { get; init; }

    /// <summary>
    /// Whether a helper that the type may call is also allowed at the attach target; false is what the kernel words
    /// as "helper call is not allowed in probe".
    /// </summary>
    public Func<ProgramAttributes, int, bool> AllowsHelperAtTarget { get; init; } = (_, _) => true;

    /// <summary>Flags of the kernel function with a name, null where programs of the type may not call it.</summary>
    public Func<ProgramAttributes, string, KfuncFlags?> FindKfunc { get; init; } = (_, _) => null;

    /// <summary>
    /// The row of a helper as programs with these attributes see it: some types give a helper other argument
    /// types (a context instead of a socket, say) or no licence rule. Returns the general row where nothing differs.
    /// </summary>
    public Func<ProgramAttributes, HelperPrototype, HelperPrototype> HelperVariant { get; init; } = (_, general) => general;

    /// <summary>The range of r0 at the main program's exit; null if any value will do.</summary>
    public Func<ProgramAttributes, (long Min, long Max)?> ReturnRange { get; init; } = _ => null;
}

/// <summary>One SEC() name of libbpf and what it means.</summary>
/// <param name="Prefix">The name; with a trailing <c>+</c> it may stand alone or before <c>/target</c>, with a trailing <c>/</c> a target must follow.</param>
/// <param name="Type">Program type.</param>
/// <param name="AttachType">Expected attach type, 0 if none.</param>
/// <param name="Flags">What else the section asks for.</param>
public readonly record struct SectionDefinition(string Prefix, ProgramType Type, uint AttachType, SectionFlags Flags = SectionFlags.None);

/// <summary>Properties of a SEC() name.</summary>
[Flags]
public enum SectionFlags
{
    None = 0,
    /// <summary>expected_attach_type is passed although old kernels do not know it.</summary>
    AttachTypeOptional = 1,
    /// <summary>The program must name a function or type of the kernel's BTF.</summary>
    AttachBtf = 2,
    /// <summary>BPF_F_SLEEPABLE is set.</summary>
    Sleepable = 4,
    /// <summary>BPF_F_XDP_HAS_FRAGS is set.</summary>
    XdpFrags = 8,
    /// <summary>Resolved against user-space binaries when attached (uprobe, usdt).</summary>
    UserTarget = 16,
}

/// <summary>What the verifier knows of a program before it looks at instructions.</summary>
public sealed record ProgramAttributes
{
    /// <summary>The program's type.</summary>
    public required ProgramType Type { get; init; }

    /// <summary>BPF_* attach type.</summary>
    public uint ExpectedAttachType { get; init; }

    /// <summary>BPF_F_* load flags.</summary>
    public uint Flags { get; init; }

    /// <summary>Whether the licence is GPL-compatible.</summary>
    public bool GplCompatible { get; init; }

    /// <summary>What the loader may do; root by default.</summary>
    public Capabilities Capabilities { get; init; } = Capabilities.All;

    /// <summary>Id of the attach target in the kernel's BTF (FUNC, or the TYPEDEF of a raw tracepoint), 0 if none.</summary>
    public uint AttachBtfId { get; init; }

    /// <summary>The kernel's BTF, null if the profile has none.</summary>
    public BtfData? KernelBtf { get; init; }

    /// <summary>BPF_F_SLEEPABLE.</summary>
    public bool Sleepable => (Flags & (1u << 4)) != 0;
}

/// <summary>An access through the context pointer that the verifier asks about.</summary>
public readonly record struct ContextQuery(ProgramAttributes Program, int Off, int Size, bool Write, bool SignExtend);

/// <summary>
/// The answer. <see cref="Kind"/> Invalid refuses the access; every other kind says what a load yields.
/// </summary>
/// <param name="Kind">What a load yields.</param>
/// <param name="BtfTypeId">For BTF pointers, the type in the kernel's BTF.</param>
/// <param name="FieldSize">Full size of the field in bytes, for narrow loads; 0 if the access is as wide as the field.</param>
/// <param name="Message">A line for the log that explains the answer, printed before anything else; null if there is nothing to add.</param>
/// <param name="MemSize">For BtfPtr-like memory arguments: size of the memory.</param>
public readonly record struct ContextAccess(
    ContextAccessKind Kind, uint BtfTypeId = 0, int FieldSize = 0, string? Message = null, int MemSize = 0)
{
    /// <summary>Refused.</summary>
    public static readonly ContextAccess Invalid = new(ContextAccessKind.Invalid);

    /// <summary>A plain number.</summary>
    public static readonly ContextAccess Scalar = new(ContextAccessKind.Scalar);
}

/// <summary>What a load through the context pointer yields.</summary>
public enum ContextAccessKind
{
    Invalid, Scalar, PacketData, PacketMeta, PacketEnd, FlowKeys, SockCommonOrNull, Socket, SocketOrNull, XdpSockOrNull,
    BtfPtr, BtfPtrOrNull, BtfPtrTrusted, BtfPtrTrustedOrNull, BtfPtrRcu, TpBuffer, ReadOnlyMemOrNull, ReadWriteMemOrNull, CtxPtr,
}
