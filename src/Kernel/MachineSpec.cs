using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel;

/// <summary>How the machine's time runs.</summary>
public enum RunMode
{
    /// <summary>Simulated time only; same seed, same output.</summary>
    Virtual,

    /// <summary>As virtual, paced to the wall clock.</summary>
    Realtime,

    /// <summary>CPUs run in parallel as fast as they can, for load tests; racing programs race.</summary>
    Flood,
}

/// <summary>Which engine runs programs.</summary>
public enum EngineKind
{
    /// <summary>The JIT on x86-64, else the interpreter.</summary>
    Jit,

    /// <summary>The interpreter.</summary>
    Interpreter,

    /// <summary>The checked interpreter: stops a program at any access that it may not make.</summary>
    Checked,
}

/// <summary>The blueprint of a machine. Two machines of the same blueprint do the same, byte for byte (except in flood mode).</summary>
public sealed record MachineSpec
{
    /// <summary>Number of CPUs, 1 to 256.</summary>
    public uint Cpus { get; init; } = 4;

    /// <summary>Where all randomness comes from.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>How time runs.</summary>
    public RunMode Mode { get; init; } = RunMode.Virtual;

    /// <summary>Which engine runs programs.</summary>
    public EngineKind Engine { get; init; } = EngineKind.Jit;

    /// <summary>Nanoseconds since boot at which the simulation begins.</summary>
    public ulong BootTimeNs { get; init; } = 2_348_000_000_000;

    /// <summary>The kernel's BTF; null takes the embedded profile.</summary>
    public BtfData? KernelBtf { get; init; }

    /// <summary>What the simulated loader may do; root by default.</summary>
    public Capabilities Capabilities { get; init; } = Capabilities.All;

    /// <summary>What the machine's processes do; empty for a machine that only loads programs.</summary>
    public Subsystems.WorkloadSpec Workload { get; init; } = new();

    /// <summary>Size in bytes of the simulated kernel memory that programs can read.</summary>
    public uint ArenaBytes { get; init; } = 64 * 1024 * 1024;
}
