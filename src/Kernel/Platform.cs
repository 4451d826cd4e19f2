using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel;

/// <summary>Which engine, verifier, tables and map kinds a machine is put together from.</summary>
internal static class Platform
{
    /// <summary>The helper table with its implementations.</summary>
    public static HelperTable Helpers => Bpf.HelperCatalog.Table;

    /// <summary>The embedded kernel profile's types.</summary>
    public static BtfData? KernelBtf => null;

    /// <summary>The engine of this kind.</summary>
    public static IProgramEngine Engine(EngineKind kind) => throw new NotSupportedException($"engine {kind} is not built in");

    /// <summary>The row of a program type, null if the kernel has none.</summary>
    public static ProgramTypeInfo? FindProgramType(ProgramType type) => null;

    /// <summary>The verifier.</summary>
    public static VerifierResult Verify(VerifierInput input) => throw new NotSupportedException("no verifier is built in");

    /// <summary>The map kinds.</summary>
    public static BpfMap? CreateMap(MapSpec spec, uint cpus, out Errno error)
    {
        error = Errno.EOPNOTSUPP;
        return null;
    }
}
