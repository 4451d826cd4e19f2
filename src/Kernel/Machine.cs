using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel;

/// <summary>
/// A simulated computer: CPUs, a kernel with its subsystems, processes, and the bpf(2) call through which
/// programs and maps get in. Everything that it does follows from its <see cref="MachineSpec"/>.
/// </summary>
public sealed class Machine : IDisposable
{
    /// <summary>Builds the machine; nothing runs yet.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number of CPUs is not 1 to 256.</exception>
    public Machine(MachineSpec spec)
    {
        ArgumentOutOfRangeException.ThrowIfZero(spec.Cpus);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(spec.Cpus, 256u);
        Spec = spec;
        KernelBtf = spec.KernelBtf ?? Platform.KernelBtf;
        Hooks = new HookTable(spec.Cpus);
        Bpf = new BpfSyscall(new BpfEnvironment
        {
            Cpus = spec.Cpus, Engine = Platform.Engine(spec.Engine), Helpers = Platform.Helpers,
            FindProgramType = Platform.FindProgramType, Verify = Platform.Verify, CreateMap = Platform.CreateMap,
            Hooks = Hooks, KernelBtf = KernelBtf, Now = () => NowNs, Privileged = spec.Privileged,
        });
    }

    /// <summary>What the machine was built from.</summary>
    public MachineSpec Spec { get; }

    /// <summary>The kernel's types.</summary>
    public BtfData? KernelBtf { get; }

    /// <summary>The bpf(2) call.</summary>
    public BpfSyscall Bpf { get; }

    /// <summary>Where programs hang.</summary>
    public HookTable Hooks { get; }

    /// <summary>Nanoseconds since the simulated boot.</summary>
    public ulong NowNs { get; private set; }

    /// <summary>Stops everything and frees programs, maps and memory.</summary>
    public void Dispose() => Bpf.Dispose();
}
