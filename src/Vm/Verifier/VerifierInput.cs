using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.Rewrites;

namespace BpfSim.Vm.Verifier;

/// <summary>Everything that one verification looks at. Instructions refer to maps by index into <see cref="Maps"/> (see <see cref="ExecutableProgram"/>).</summary>
public sealed record VerifierInput
{
    /// <summary>The program's name.</summary>
    public string Name { get; init; } = "";

    /// <summary>The instructions as loaded, main function first.</summary>
    public required Insn[] Insns { get; init; }

    /// <summary>Type, attach type, flags, licence and privilege.</summary>
    public required ProgramAttributes Attributes { get; init; }

    /// <summary>The row of the program's type.</summary>
    public required ProgramTypeInfo ProgramType { get; init; }

    /// <summary>All helpers of the platform.</summary>
    public required HelperTable Helpers { get; init; }

    /// <summary>The maps that the instructions refer to.</summary>
    public IReadOnlyList<BpfMap> Maps { get; init; } = [];

    /// <summary>The program's own BTF.</summary>
    public BtfData? Btf { get; init; }

    /// <summary>Functions and their BTF ids.</summary>
    public IReadOnlyList<FuncInfo> FuncInfos { get; init; } = [];

    /// <summary>Source lines.</summary>
    public IReadOnlyList<LineInfo> LineInfos { get; init; } = [];

    /// <summary>CPUs of the machine, which bound bpf_get_smp_processor_id; null if unknown.</summary>
    public uint? CpuCount { get; init; }

    /// <summary>Address of a kernel symbol by name, 0 if the kernel does not know it; null if every symbol is known.</summary>
    public Func<string, ulong>? SymbolAddress { get; init; }

    /// <summary>BPF_LOG_* bits: 1, 2 and 4.</summary>
    public uint LogLevel { get; init; } = 1;

    /// <summary>Only the verdict is asked for: an accepted program is not rewritten.</summary>
    public bool VerdictOnly { get; init; }

    /// <summary>
    /// Whether the loader gave descriptors beside the instructions (fd_array), so that loads may name maps by index.
    /// </summary>
    public bool HasFdArray { get; init; }

    /// <summary>Who watches the walk; null for nobody.</summary>
    internal IExplorationObserver? Observer { get; init; }

    /// <summary>Pruning compares every number, as if its exact value mattered: then each run stays within the explored states with all its registers.</summary>
    internal bool CompareAllNumbers { get; init; }
}

/// <summary>The verdict, and what the analysis found on the way.</summary>
public sealed record VerifierResult
{
    /// <summary>0 if the program was accepted, else the kernel's errno.</summary>
    public required Errno Errno { get; init; }

    /// <summary>The decisive line of the log of a rejection, in the kernel's words.</summary>
    public string? Message { get; init; }

    /// <summary>
    /// A hint in plain words under a rejection, on one line: what was wanted, which instruction lost it, and the usual
    /// cure; null if there is none. Without a log (level 0) it knows no path.
    /// </summary>
    public string? Hint { get; init; }

    /// <summary>The log at the asked-for level.</summary>
    public string Log { get; init; } = "";

    /// <summary>The program after the rewrites, for an accepted one.</summary>
    public Insn[] Xlated { get; init; } = [];

    /// <summary>For each xlated slot, the slot of the loaded program that it came from.</summary>
    public int[] OriginalSlots { get; init; } = [];

    /// <summary>
    /// The program as the kernel shows it after its rewrites (bpf_prog_info.xlated_prog_insns). Engines run <see cref="Xlated"/>:
    /// contexts and maps of the simulation are not laid out as the kernel's.
    /// </summary>
    public Insn[] Shown => KernelForm?.Value.Insns ?? [];

    /// <summary>For each shown slot, the slot of the loaded program that it stands for.</summary>
    public int[] ShownOriginalSlots => KernelForm?.Value.OriginalSlots ?? [];

    /// <summary>By shown slot, the kernel functions that calls go to where these are not the helpers themselves.</summary>
    public IReadOnlyDictionary<int, string> ShownCallNames => KernelForm?.Value.CallNames ?? new Dictionary<int, string>();

    /// <summary>What is shown, made when it is first looked at: verdicts and runs do without.</summary>
    internal Lazy<KernelForm>? KernelForm { get; init; }

    /// <summary>First xlated slot of every function.</summary>
    public int[] FunctionStarts { get; init; } = [0];

    /// <summary>Bytes of stack that each function of <see cref="FunctionStarts"/> may touch, itself or through others.</summary>
    public int[] StackDepths { get; init; } = [];

    /// <summary>Whether some path reads stack that was never written.</summary>
    public bool ReadsUninitStack { get; init; }

    /// <summary>Facts by xlated slot.</summary>
    public InsnFacts[] Facts { get; init; } = [];

    /// <summary>Instructions processed over all paths.</summary>
    public int InsnsProcessed { get; init; }

    /// <summary>States kept in all.</summary>
    public int TotalStates { get; init; }

    /// <summary>States kept at the same time at most.</summary>
    public int PeakStates { get; init; }

    /// <summary>Bytes of the states that were kept, or waited, at the same time at most.</summary>
    public long PeakStateBytes { get; init; }

    /// <summary>Most states kept at one instruction.</summary>
    public int MaxStatesPerInsn { get; init; }

    /// <summary>Deepest stack of the main program in bytes, as the log's level 4 prints it.</summary>
    public int StackDepth { get; init; }

    /// <summary>Whether the program was accepted.</summary>
    public bool Accepted => Errno == Errno.None;
}
