using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Bpf;

/// <summary>Makes a map from its blueprint, or says with which errno the kernel refuses it.</summary>
/// <param name="spec">The blueprint.</param>
/// <param name="cpus">Possible CPUs.</param>
/// <param name="error">Why null was returned.</param>
internal delegate BpfMap? MapConstructor(MapSpec spec, uint cpus, out Errno error);

/// <summary>What the bpf() facade needs of the machine around it: tables, engine, verifier, clock.</summary>
internal sealed class BpfEnvironment
{
    /// <summary>Possible CPUs of the machine.</summary>
    public required uint Cpus { get; init; }

    /// <summary>Runs accepted programs.</summary>
    public required IProgramEngine Engine { get; init; }

    /// <summary>The helper table.</summary>
    public required HelperTable Helpers { get; init; }

    /// <summary>The kfuncs, by the id of their FUNC in the kernel's BTF.</summary>
    public HelperTable Kfuncs { get; init; } = HelperTable.Empty;

    /// <summary>The program type table, null for a type that this kernel lacks.</summary>
    public required Func<ProgramType, ProgramTypeInfo?> FindProgramType { get; init; }

    /// <summary>The verifier.</summary>
    public required Func<VerifierInput, VerifierResult> Verify { get; init; }

    /// <summary>Creates maps.</summary>
    public required MapConstructor CreateMap { get; init; }

    /// <summary>The hooks that links hang programs on.</summary>
    public required Attach.HookTable Hooks { get; init; }

    /// <summary>The kernel's BTF, null if the profile has none.</summary>
    public BtfData? KernelBtf { get; init; }

    /// <summary>Address of a kernel symbol by name, 0 if the kernel knows none such; null if it is taken to know all.</summary>
    public Func<string, ulong>? SymbolAddress { get; init; }

    /// <summary>Nanoseconds since the simulated boot.</summary>
    public required Func<ulong> Now { get; init; }

    /// <summary>What iterators walk.</summary>
    public required IteratorTargets IteratorTargets { get; init; }

    /// <summary>What CPUs share, for test runs.</summary>
    public required KernelState Kernel { get; init; }

    /// <summary>What the loader may do; root by default.</summary>
    public Capabilities Capabilities { get; init; } = Capabilities.All;
}
