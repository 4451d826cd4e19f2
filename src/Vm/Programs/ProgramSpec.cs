using BpfSim.Maps;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Programs;

/// <summary>
/// The blueprint of a program, from an object file's bytes or an assembler text alone: nothing here depends
/// on a machine. Local functions that the program calls are already appended (libbpf's order), map
/// references are still symbolic (<see cref="MapReferences"/>).
/// </summary>
public sealed record ProgramSpec
{
    /// <summary>Name of the C function, up to 15 characters are kept by the kernel as prog_name.</summary>
    public required string Name { get; init; }

    /// <summary>The SEC() string, such as <c>kprobe/do_sys_openat2</c>; empty if there is none.</summary>
    public string Section { get; init; } = "";

    /// <summary>Program type of the section (kernel number BPF_PROG_TYPE_*).</summary>
    public ProgramType Type { get; init; }

    /// <summary>BPF_* attach type of the section, 0 if the type has none.</summary>
    public uint ExpectedAttachType { get; init; }

    /// <summary>What the section attaches to: function, tracepoint, "category:name"; null if it names none.</summary>
    public string? AttachTarget { get; init; }

    /// <summary>BPF_F_* load flags (BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS, …).</summary>
    public uint Flags { get; init; }

    /// <summary>False for a SEC("?…") program, which is loaded only when asked for.</summary>
    public bool AutoLoad { get; init; } = true;

    /// <summary>The licence string of the object; GPL-only helpers need a GPL-compatible one.</summary>
    public string License { get; init; } = "";

    /// <summary>The kernel version of the object's <c>version</c> section, else 0.</summary>
    public uint KernelVersion { get; init; }

    /// <summary>The instructions, main function first.</summary>
    public required Insn[] Insns { get; init; }

    /// <summary>
    /// Slot of a 64-bit load → name of the map it refers to. The load's source field is already
    /// BPF_PSEUDO_MAP_FD or BPF_PSEUDO_MAP_VALUE (second slot's imm: offset into the value).
    /// </summary>
    public IReadOnlyDictionary<int, string> MapReferences { get; init; } = new Dictionary<int, string>();

    /// <summary>Type information of the object, null without .BTF.</summary>
    public Btf.BtfData? Btf { get; init; }

    /// <summary>Where each function starts and its BTF FUNC id: bpf_func_info.</summary>
    public IReadOnlyList<FuncInfo> FuncInfos { get; init; } = [];

    /// <summary>Source lines by instruction: bpf_line_info, ascending by slot.</summary>
    public IReadOnlyList<LineInfo> LineInfos { get; init; } = [];

    /// <summary>
    /// CO-RE relocations that are applied at load against a kernel's BTF, slots counted in <see cref="Insns"/>.
    /// </summary>
    public IReadOnlyList<Btf.CoreRelocation> CoreRelocations { get; init; } = [];

    /// <summary>References to kernel variables, symbols and kfuncs (.ksyms), resolved at load.</summary>
    public IReadOnlyList<ExternReference> Externs { get; init; } = [];

    /// <summary>
    /// Why this program cannot be loaded although the object could be read (an unresolved extern, say):
    /// one line in libbpf's words; null if nothing stands against it.
    /// </summary>
    public string? LoadError { get; init; }

    /// <summary>The errno that goes with <see cref="LoadError"/>.</summary>
    public Errno LoadErrno { get; init; } = Errno.EINVAL;

    /// <summary>Id of the attach target in the kernel's BTF, found at load; 0 if the type has none.</summary>
    public uint AttachBtfId { get; init; }
}

/// <summary>Start slot of a function and the BTF id of its FUNC (struct bpf_func_info).</summary>
public readonly record struct FuncInfo(int InsnOff, uint TypeId);

/// <summary>Source position of the instructions from a slot on (struct bpf_line_info, strings resolved).</summary>
public readonly record struct LineInfo(int InsnOff, string File, string Line, int LineNumber, int Column);

/// <summary>Program types by their kernel number (enum bpf_prog_type, Linux 6.18).</summary>
public enum ProgramType : uint
{
    Unspec, SocketFilter, Kprobe, SchedCls, SchedAct, Tracepoint, Xdp, PerfEvent, CgroupSkb, CgroupSock,
    LwtIn, LwtOut, LwtXmit, SockOps, SkSkb, CgroupDevice, SkMsg, RawTracepoint, CgroupSockAddr, LwtSeg6local,
    LircMode2, SkReuseport, FlowDissector, CgroupSysctl, RawTracepointWritable, CgroupSockopt, Tracing,
    StructOps, Ext, Lsm, SkLookup, Syscall, Netfilter,
}
