using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;

namespace BpfSim.Kernel;

/// <summary>What all CPUs of a machine share while programs run.</summary>
internal sealed class KernelState : IDisposable
{
    public KernelState(MachineSpec spec, HookTable hooks)
    {
        Seed = spec.Seed;
        Cpus = spec.Cpus;
        Hooks = hooks;
        Arena = new KernelArena(spec.ArenaBytes);
        Trace = new TraceBuffer();
        PrintkSite = hooks.Site(SiteKind.Tracepoint, "bpf_trace:bpf_trace_printk");
    }

    /// <summary>The machine's seed.</summary>
    public ulong Seed { get; }

    /// <summary>Number of CPUs.</summary>
    public uint Cpus { get; }

    /// <summary>The hook sites.</summary>
    public HookTable Hooks { get; }

    /// <summary>Simulated memory.</summary>
    public KernelArena Arena { get; }

    /// <summary>What bpf_trace_printk writes to.</summary>
    public TraceBuffer Trace { get; }

    /// <summary>The tracepoint that bpf_trace_printk itself passes.</summary>
    public HookSite PrintkSite { get; }

    /// <summary>Identities of tasks.</summary>
    public TaskIdentities Identities { get; } = new();

    /// <summary>Call chains.</summary>
    public StackTable Stacks { get; } = new();

    /// <summary>Side effects of programs on the simulation (signals), in order; taken at the end of a window.</summary>
    public EffectQueue Effects { get; } = new();

    /// <summary>Whether runs are counted and timed (BPF_ENABLE_STATS, kernel.bpf_stats_enabled).</summary>
    public bool StatsEnabled => Volatile.Read(ref _statsUsers) > 0;

    private int _statsUsers;

    /// <summary>Turns statistics on; they stay on until every user has turned them off.</summary>
    public void EnableStats() => Interlocked.Increment(ref _statsUsers);

    /// <summary>Takes one user's wish for statistics back.</summary>
    public void DisableStats() => Interlocked.Decrement(ref _statsUsers);

    /// <inheritdoc/>
    public void Dispose()
    {
        Arena.Dispose();
        Identities.Dispose();
    }
}
