using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Subsystems;

namespace BpfSim.Kernel;

/// <summary>What the machine's actors share: the world, the CPUs, the borders at which user space acts.</summary>
internal sealed class MachineRunner : IDisposable
{
    private readonly List<Border> _borders = [];
    private readonly List<string> _crashes = [];
    private readonly Lock _lock = new();

    public MachineRunner(MachineSpec spec, KernelState kernel, Simulation simulation, IReadOnlyList<Subsystem> subsystems)
    {
        Kernel = kernel;
        Simulation = simulation;
        Subsystems = subsystems;
        Realtime = spec.Mode == RunMode.Realtime;
        Cpus = [.. Enumerable.Range(0, (int)spec.Cpus).Select(i => new Cpu((uint)i, kernel))];
    }

    public KernelState Kernel { get; }

    public Simulation Simulation { get; }

    public IReadOnlyList<Subsystem> Subsystems { get; }

    public IReadOnlyList<Cpu> Cpus { get; }

    /// <summary>Flood mode: the source of each CPU's events, and the batches that carry them.</summary>
    public IReadOnlyList<FloodSource> FloodSources { get; private set; } = [];

    public IReadOnlyList<BatchPool> FloodPools { get; private set; } = [];

    /// <summary>Events that flood mode has delivered to CPUs.</summary>
    public ulong FloodDelivered => FloodSources.Aggregate(0ul, (sum, s) => sum + s.Delivered);

    /// <summary>Makes the sources of flood mode.</summary>
    public void BeginFlood(World world)
    {
        if (FloodSources.Count != 0) return;
        FloodSources = [.. Cpus.Select(c => new FloodSource(c.Id, Simulation, world))];
        FloodPools = [.. Cpus.Select(c => new BatchPool(c.Id, FloodActor.Credit))];
    }

    /// <summary>A flood has ended: its counts go to the ledger, the clock to where the last CPU stands.</summary>
    public void EndFlood()
    {
        foreach (FloodSource source in FloodSources)
        {
            source.WriteLedger(Simulation.Ledger);
            Simulation.NowNs = Math.Max(Simulation.NowNs, source.NowNs);
        }
        OnBorder();
    }

    /// <summary>Whether windows are paced to the wall clock.</summary>
    public bool Realtime { get; }

    /// <summary>Longest window in nanoseconds: what programs do to the simulation takes effect after it.</summary>
    public ulong WindowNs { get; init; } = 1_000_000;

    /// <summary>Crashes of actors so far, one line each.</summary>
    public IReadOnlyList<string> Crashes
    {
        get { lock (_lock) return [.. _crashes]; }
    }

    /// <summary>Subsystem events that were lost with a crash.</summary>
    public int LostTurns { get; private set; }

    /// <summary>Calls something every so often in simulated time, between two windows.</summary>
    public IDisposable Every(ulong periodNs, Action<ulong> action)
    {
        var border = new Border(periodNs, Simulation.NowNs + periodNs, action);
        lock (_lock) _borders.Add(border);
        return new Removal(() =>
        {
            lock (_lock) _borders.Remove(border);
        });
    }

    /// <summary>The next moment at which a window must end.</summary>
    public ulong NextBorderNs(ulong now)
    {
        ulong next = ulong.MaxValue;
        lock (_lock)
        {
            foreach (Border border in _borders) next = Math.Min(next, Math.Max(now + 1, border.NextNs));
        }
        return next;
    }

    /// <summary>A window has ended and all CPUs are idle: user space's turn.</summary>
    public void OnBorder()
    {
        ulong now = Simulation.NowNs;
        Kernel.Arena.EndGracePeriod();
        foreach (Cpu cpu in Cpus)
            if (cpu.Timers.NextNs <= now) cpu.RunTimers(now);
        Border[] due;
        lock (_lock) due = [.. _borders.Where(b => b.NextNs <= now)];
        foreach (Border border in due)
        {
            while (border.NextNs <= now) border.NextNs += border.PeriodNs;
            border.Action(now);
        }
    }

    /// <summary>What programs did to the simulation in the last window happens now.</summary>
    public void AnswerEffects()
    {
        while (Kernel.Effects.TryTake(out Effect effect))
            foreach (Subsystem subsystem in Subsystems) subsystem.Answer(effect);
    }

    public void NoteCrash(Exception reason)
    {
        lock (_lock) _crashes.Add(reason.ToString());
    }

    public void NoteLostTurn(string actor, Exception reason)
    {
        _ = reason;
        if (!actor.StartsWith("cpu", StringComparison.Ordinal)) LostTurns++;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Simulation.Dispose();
        foreach (BatchPool pool in FloodPools) pool.Dispose();
        foreach (Cpu cpu in Cpus) cpu.Dispose();
        Kernel.Dispose();
    }

    private sealed class Border(ulong periodNs, ulong nextNs, Action<ulong> action)
    {
        public ulong PeriodNs { get; } = periodNs;

        public ulong NextNs { get; set; } = nextNs;

        public Action<ulong> Action { get; } = action;
    }

    private sealed class Removal(Action remove) : IDisposable
    {
        public void Dispose() => remove();
    }
}
