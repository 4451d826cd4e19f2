using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Bpf.HelperImplementations;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel;

/// <summary>Which engine, verifier, tables and map kinds a machine is put together from.</summary>
internal static class Platform
{
    /// <summary>The helper table with its implementations.</summary>
    public static HelperTable Helpers { get; } = HelperBinding.Bind(HelperCatalog.Rows);

    /// <summary>The embedded kernel profile's types.</summary>
    public static BtfData? KernelBtf => KernelProfile.Embedded.Btf;

    /// <summary>The engine of this kind; the JIT only where it can run.</summary>
    public static IProgramEngine Engine(EngineKind kind) => kind switch
    {
        EngineKind.Interpreter => new InterpreterEngine(),
        EngineKind.Jit => JitEngine.IsSupported ? new JitEngine() : new InterpreterEngine(),
        _ => new CheckedEngine { ContextSize = ContextSizes.Of, Packet = PacketFinder },
    };

    private static unsafe PacketFinder PacketFinder { get; } = context =>
        Cpu.Of(context).Packet is { } packet ? new MemoryRegion("packet", (ulong)packet.Meta, (ulong)(packet.End - packet.Meta)) : null;

    /// <summary>The kfuncs of a kernel.</summary>
    public static HelperTable KfuncsOf(BtfData? btf) => KfuncCode.Bind(btf);

    /// <summary>The row of a program type, null if the kernel has none.</summary>
    public static ProgramTypeInfo? FindProgramType(ProgramType type) => ProgramTypeTable.Find(type);

    /// <summary>The verifier.</summary>
    public static VerifierResult Verify(VerifierInput input) => EbpfVerifier.Verify(input);

    /// <summary>The map kinds.</summary>
    public static BpfMap? CreateMap(MapSpec spec, uint cpus, out Errno error)
    {
        (BpfMap? map, error) = MapFactory.Create(spec, cpus);
        return map;
    }

    /// <summary>Whether a function can be probed: any that the kernel's BTF knows, and all if there is no BTF.</summary>
    public static bool IsKnownFunction(BtfData? btf, string name) => btf == null || btf.FindId(name, BtfKind.Func) != 0;

    /// <summary>Whether the kernel has a tracepoint.</summary>
    public static bool IsKnownTracepoint(string fullName) => TracepointCatalog.Contains(fullName);

    /// <summary>The category of a tracepoint by its bare name.</summary>
    public static string? FindCategory(string name) => TracepointCatalog.CategoryOf(name);

    /// <summary>The record of a tracepoint.</summary>
    public static TracepointLayout? FindLayout(string category, string name) => TracepointCatalog.Find(category, name);
}
