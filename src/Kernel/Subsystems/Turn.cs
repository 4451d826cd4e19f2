using Akka.Actor;

namespace BpfSim.Kernel.Subsystems;

/// <summary>
/// The right to act, and the simulated world with it. One actor has it at a time: the subsystem whose event
/// is next, then, at the end of a window, the CPU whose event is next, then the machine.
/// </summary>
internal sealed class Turn
{
    private readonly IActorRef[] _subsystems;
    private readonly IActorRef[] _cpus;
    private readonly IActorRef _machine;

    public Turn(Simulation simulation, IActorRef machine, IActorRef[] subsystems, IActorRef[] cpus)
    {
        Simulation = simulation;
        _machine = machine;
        _subsystems = subsystems;
        _cpus = cpus;
    }

    /// <summary>The world.</summary>
    public Simulation Simulation { get; }

    /// <summary>Whether the window's events are all produced and CPUs are working them off.</summary>
    public bool Draining { get; private set; }

    /// <summary>Whether a subsystem may go on with the next event of its own.</summary>
    public bool IsNext(SubsystemId id)
    {
        Simulation simulation = Simulation;
        return !simulation.OutOfCredit && simulation.Calendar.Count > 0
            && simulation.Calendar.Peek() is var next && next.Target == id && next.TimeNs < simulation.WindowEndNs;
    }

    /// <summary>The first sequence number that waits for any other CPU.</summary>
    public ulong LimitFor(uint cpu)
    {
        ulong limit = ulong.MaxValue;
        for (uint i = 0; i < Simulation.Cpus; i++)
            if (i != cpu) limit = Math.Min(limit, Simulation.FrontOf(i));
        return limit;
    }

    /// <summary>Begins a window.</summary>
    public void Begin(ulong windowEndNs)
    {
        Simulation.WindowEndNs = windowEndNs;
        Draining = false;
    }

    /// <summary>Hands the turn to whoever is next.</summary>
    public void Pass(IActorRef self)
    {
        Simulation simulation = Simulation;
        if (!Draining)
        {
            if (!simulation.OutOfCredit && simulation.Calendar.Count > 0 && simulation.Calendar.Peek() is var next && next.TimeNs < simulation.WindowEndNs)
            {
                _subsystems[(int)next.Target].Tell(this, self);
                return;
            }
            if (!simulation.OutOfCredit) simulation.NowNs = Math.Max(simulation.NowNs, simulation.WindowEndNs);
            simulation.CloseBatches();
            Draining = true;
        }
        ulong first = ulong.MaxValue;
        int who = -1;
        for (uint cpu = 0; cpu < simulation.Cpus; cpu++)
        {
            ulong front = simulation.FrontOf(cpu);
            if (front >= first) continue;
            first = front;
            who = (int)cpu;
        }
        (who < 0 ? _machine : _cpus[who]).Tell(this, self);
    }
}
