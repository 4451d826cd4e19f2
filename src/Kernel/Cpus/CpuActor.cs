using Akka.Actor;
using BpfSim.Kernel.Subsystems;

namespace BpfSim.Kernel.Cpus;

/// <summary>Runs the programs of one simulated CPU whenever events wait for it.</summary>
internal sealed class CpuActor : UntypedActor
{
    private readonly Cpu _cpu;

    public CpuActor(Cpu cpu) => _cpu = cpu;

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case Turn turn:
                OnTurn(turn);
                break;
            case FloodBatch batch:
                OnFloodBatch(batch);
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
        ulong limit = turn.LimitFor(_cpu.Id);
        Queue<EventBatch> ready = simulation.Ready[_cpu.Id];
        while (ready.TryPeek(out EventBatch? batch) && _cpu.Drain(batch, limit)) simulation.Finish(_cpu.Id);
        turn.Pass(Self);
    }

    private void OnFloodBatch(FloodBatch message)
    {
        _cpu.Drain(message.Batch, ulong.MaxValue);
        message.Batch.Pool.Return(message.Batch);
        Sender.Tell(message.Credit, Self);
    }

    /// <inheritdoc/>
    protected override void PreRestart(Exception reason, object message)
    {
        _cpu.AccountCrash();
        switch (message)
        {
            case Turn turn:
                FinishEmpty(turn.Simulation);
                Context.Parent.Tell(new TurnSaved(turn, Self.Path.Name, reason));
                break;
            case FloodBatch flood:
                // The rest of the batch is still good; the event that failed is past.
                Self.Tell(flood, Sender);
                break;
        }
        base.PreRestart(reason, message);
    }

    private void FinishEmpty(Simulation simulation)
    {
        Queue<EventBatch> ready = simulation.Ready[_cpu.Id];
        while (ready.TryPeek(out EventBatch? batch) && batch.Position >= batch.Used) simulation.Finish(_cpu.Id);
    }
}

/// <summary>A batch of flood mode, and the message with which its producer gets the credit back.</summary>
internal sealed record FloodBatch(EventBatch Batch, object Credit);
