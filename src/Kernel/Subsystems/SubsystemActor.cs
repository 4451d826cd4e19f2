using Akka.Actor;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>A part of the simulated kernel: what happens at its events.</summary>
internal abstract class Subsystem
{
    /// <summary>Which one.</summary>
    public abstract SubsystemId Id { get; }

    /// <summary>One of its events is due; the simulation's clock stands at it.</summary>
    public abstract void Handle(in SimEvent what);

    /// <summary>A program did something to the simulation; whose business it is, acts.</summary>
    public virtual void Answer(in Cpus.Effect effect)
    {
    }
}

/// <summary>Runs a subsystem whenever it has the turn.</summary>
internal sealed class SubsystemActor : UntypedActor
{
    private readonly Subsystem _subsystem;

    public SubsystemActor(Subsystem subsystem) => _subsystem = subsystem;

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case Turn turn:
                OnTurn(turn);
                break;
            case Crash crash:
                throw new InjectedFaultException(crash.Reason);
            default:
                Unhandled(message);
                break;
        }
    }

    private void OnTurn(Turn turn)
    {
        Simulation simulation = turn.Simulation;
        while (turn.IsNext(_subsystem.Id))
        {
            SimEvent next = simulation.Calendar.Pop();
            // A handler may have moved the clock on by what its work took; it never goes back.
            simulation.NowNs = Math.Max(simulation.NowNs, next.TimeNs);
            _subsystem.Handle(next);
        }
        turn.Pass(Self);
    }

    /// <inheritdoc/>
    protected override void PreRestart(Exception reason, object message)
    {
        // The turn must not die with the actor: the machine takes it and goes on with the next event.
        if (message is Turn turn) Context.Parent.Tell(new TurnSaved(turn, Self.Path.Name, reason));
        base.PreRestart(reason, message);
    }
}

/// <summary>Makes an actor fail, for tests of supervision.</summary>
internal sealed record Crash(string Reason);

/// <summary>The turn of an actor that crashed.</summary>
internal sealed record TurnSaved(Turn Turn, string Actor, Exception Reason);

/// <summary>A fault that a test asked for.</summary>
internal sealed class InjectedFaultException(string message) : Exception(message);
