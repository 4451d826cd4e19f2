using Akka.Actor;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>Keeps one CPU busy in flood mode: sends a batch for each one that comes back, until time is up.</summary>
internal sealed class FloodActor : UntypedActor
{
    /// <summary>Batches on the way to a CPU at most.</summary>
    public const int Credit = 8;

    private readonly FloodSource _source;
    private readonly BatchPool _pool;
    private readonly IActorRef _cpu;
    private RunFlood? _run;
    private int _onTheWay;

    public FloodActor(FloodSource source, BatchPool pool, IActorRef cpu)
    {
        _source = source;
        _pool = pool;
        _cpu = cpu;
    }

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case RunFlood run:
                OnRunFlood(run);
                break;
            case CreditBack:
                OnCreditBack();
                break;
            default:
                Unhandled(message);
                break;
        }
    }

    private void OnRunFlood(RunFlood message)
    {
        _run = message;
        _source.Begin();
        while (_pool.Take() is { } batch) Send(batch);
    }

    private void OnCreditBack()
    {
        _onTheWay--;
        if (WallClock.NowNs < _run!.WallEndNs && !_run.Cancellation.IsCancellationRequested && _pool.Take() is { } batch)
        {
            Send(batch);
            return;
        }
        if (_onTheWay == 0) Context.Parent.Tell(new FloodDone());
    }

    private void Send(EventBatch batch)
    {
        if (_source.HasWork) _source.Fill(batch);
        _onTheWay++;
        _cpu.Tell(new FloodBatch(batch, CreditBack.Instance), Self);
    }
}

/// <summary>Emit events until this moment of the wall clock.</summary>
internal sealed record RunFlood(ulong WallEndNs, CancellationToken Cancellation);

/// <summary>A batch has been worked off.</summary>
internal sealed record CreditBack
{
    public static readonly CreditBack Instance = new();
}

/// <summary>A source has stopped and all its batches are back.</summary>
internal sealed record FloodDone;

/// <summary>Run in flood mode for some wall time.</summary>
internal sealed record StartFlood(ulong WallNs, TaskCompletionSource Done, CancellationToken Cancellation);
