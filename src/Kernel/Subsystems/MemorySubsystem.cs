using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>The memory side: what the kernel allocates for itself now and then, in the context of whatever task runs.</summary>
internal sealed class MemorySubsystem : Subsystem
{
    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly Processes _processes;
    private readonly RandomStream _random;

    public MemorySubsystem(Simulation simulation, Scheduler scheduler, Processes processes)
    {
        _simulation = simulation;
        _scheduler = scheduler;
        _processes = processes;
        _random = new RandomStream(simulation.Kernel.Seed, "memory");
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Memory;

    /// <summary>Enters the first allocation.</summary>
    public void Begin()
    {
        if (_simulation.Spec.Workload.Processes.Count != 0) Next();
    }

    /// <inheritdoc/>
    public override void Handle(in SimEvent what)
    {
        SimTask task = _scheduler.Current((uint)_random.Below(_simulation.Cpus));
        uint bytes = 1u << (int)(5 + _random.Below(8));
        _processes.Allocation(task, bytes, _simulation.Arena.AllocateTransient(bytes));
        Next();
    }

    private void Next() => _simulation.At(_simulation.NowNs + _random.Exponential(5_000_000), SubsystemId.Memory, SubsystemId.Memory, 0);
}
