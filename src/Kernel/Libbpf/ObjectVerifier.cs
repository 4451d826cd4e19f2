using System.Diagnostics;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// Gives every program of an object the verdict that loading it alone would bring, without a machine: maps are
/// checked and sketched, not allocated. One bad program hides no other.
/// </summary>
public sealed class ObjectVerifier
{
    private const uint PossibleCpus = 2;

    private readonly KernelProfile _profile;

    /// <summary>Verifies against a kernel.</summary>
    public ObjectVerifier(KernelProfile profile) => _profile = profile;

    /// <summary>BPF_LOG_* bits of the wanted log: 1, 2 and 4.</summary>
    public uint LogLevel { get; init; } = 1;

    /// <summary>What the loader may do; root by default.</summary>
    public Capabilities Capabilities { get; init; } = Capabilities.All;

    /// <summary>Load flags added to every program's own (BPF_F_*).</summary>
    public uint ExtraFlags { get; init; }

    /// <summary>
    /// Verifies the programs of an object one by one, as they are asked for. An exception inside the verifier
    /// becomes a verdict that says so.
    /// </summary>
    public IEnumerable<ProgramVerdict> Verify(ObjectSpec spec, string? onlyProgram = null)
    {
        using var maps = new MapSketches(spec, _profile, PossibleCpus);
        var linker = new ObjectLinker(_profile.Btf, _profile.SymbolAddress);
        foreach (ProgramSpec program in spec.Programs)
        {
            if (onlyProgram != null && program.Name != onlyProgram) continue;
            yield return Verify(program, linker, maps, btfLoads: spec.BtfRefusal == null);
        }
    }

    private ProgramVerdict Verify(ProgramSpec program, ObjectLinker linker, MapSketches maps, bool btfLoads)
    {
        long started = Stopwatch.GetTimestamp();
        try
        {
            ProgramVerdict verdict = Judge(program, linker, maps, btfLoads);
            return verdict with { Time = Stopwatch.GetElapsedTime(started) };
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return new ProgramVerdict(program, Errno.EFAULT, $"internal error: {e.GetType().Name}: {e.Message}")
            {
                InternalError = e,
                Time = Stopwatch.GetElapsedTime(started),
            };
        }
    }

    private ProgramVerdict Judge(ProgramSpec program, ObjectLinker linker, MapSketches maps, bool btfLoads)
    {
        if (maps.Error is { } mapError) return new ProgramVerdict(program, maps.Errno, mapError);
        ProgramSpec linked = linker.Link(program);
        if (linked.LoadError != null) return new ProgramVerdict(program, linked.LoadErrno, linked.LoadError);
        ProgramTypeInfo? type = ProgramTypeTable.Find(linked.Type);
        if (type == null) return new ProgramVerdict(program, Errno.EINVAL, $"prog '{program.Name}': program type {(uint)linked.Type} is not supported");
        if (linked.Insns.Length == 0 || linked.Insns.Length > ProgramTypeTable.MaxInsns(Capabilities))
            return new ProgramVerdict(program, Errno.E2BIG, $"prog '{program.Name}': {linked.Insns.Length} instructions");
        if (!Capabilities.Allows(type.Needs))
            return new ProgramVerdict(program, Errno.EPERM, $"programs of type {type.Name} need {CapabilityText.Names(type.Needs)}");
        Insn[] insns = linked.Insns;
        List<BpfMap> used = maps.Resolve(insns, linked.MapReferences);
        var input = new VerifierInput
        {
            Name = linked.Name.Length > 15 ? linked.Name[..15] : linked.Name,
            Insns = insns,
            ProgramType = type,
            Helpers = HelperCatalog.Table,
            Attributes = new ProgramAttributes
            {
                Type = linked.Type,
                ExpectedAttachType = linked.ExpectedAttachType,
                Flags = linked.Flags | ExtraFlags | LoadFlagTags.Of(linked),
                GplCompatible = BpfSyscall.IsGplCompatible(linked.License),
                Capabilities = Capabilities,
                AttachBtfId = linked.AttachBtfId,
                KernelBtf = _profile.Btf,
            },
            Maps = used,
            // Without type information in the kernel, libbpf leaves out what would refer to it.
            Btf = btfLoads ? linked.Btf : null,
            FuncInfos = btfLoads ? linked.FuncInfos : [],
            LineInfos = btfLoads ? linked.LineInfos : [],
            SymbolAddress = _profile.SymbolAddress,
            LogLevel = LogLevel,
            CpuCount = PossibleCpus,
            VerdictOnly = true,
        };
        VerifierResult result = EbpfVerifier.Verify(input);
        var verdict = new ProgramVerdict(linked, result.Errno, result.Message) { Result = result, Log = result.Log };
        if (!LogFixups.NeedsExplanation(verdict)) return verdict;
        // Which instruction it was stands in the log only.
        if ((LogLevel & 3) != 0) return LogFixups.Apply(verdict);
        ProgramVerdict explained = LogFixups.Apply(verdict with { Log = EbpfVerifier.Verify(input with { LogLevel = 1 }).Log });
        return explained with { Log = verdict.Log };
    }
}

/// <summary>What became of one program.</summary>
/// <param name="Program">The program; linked, if it came that far.</param>
/// <param name="Errno">None if it was accepted.</param>
/// <param name="Message">The decisive line of a rejection.</param>
public sealed record ProgramVerdict(ProgramSpec Program, Errno Errno, string? Message)
{
    /// <summary>What the verifier says; null if the program did not come that far.</summary>
    public VerifierResult? Result { get; init; }

    /// <summary>The verifier's log, with libbpf's words where it explains instructions that it poisoned itself.</summary>
    public string Log { get; init; } = "";

    /// <summary>Wall time of linking and verification.</summary>
    public TimeSpan Time { get; init; }

    /// <summary>The exception behind an internal error.</summary>
    public Exception? InternalError { get; init; }

    /// <summary>Whether the program was accepted.</summary>
    public bool Accepted => Errno == Errno.None;
}
