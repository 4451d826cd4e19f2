namespace BpfSim.Kernel.Subsystems;

/// <summary>The subsystems; the order decides between events of one moment.</summary>
internal enum SubsystemId { Interrupts, Scheduler, Syscalls, Block, Network, Memory }
