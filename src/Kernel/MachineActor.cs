using Akka.Actor;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Subsystems;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel;

/// <summary>Begins windows, paces them, and supervises subsystems and CPUs: whoever crashes is restarted.</summary>
internal sealed class MachineActor : UntypedActor, IWithTimers
{
    private readonly MachineRunner _runner;
    private Turn? _turn;
    private RunUntil? _run;
    private ulong _wallStart, _virtualStart;
    private IActorRef[] _cpuActors = [];
    private IActorRef[] _floods = [];
    private StartFlood? _flood;
    private int _floodsRunning;

    public MachineActor(MachineRunner runner) => _runner = runner;

    /// <summary>Paces realtime mode.</summary>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <inheritdoc/>
    protected override void PreStart()
    {
        IActorRef[] subsystems = [.. _runner.Subsystems.OrderBy(s => s.Id).Select(s =>
            Context.ActorOf(Props.Create<SubsystemActor>(s), s.Id.ToString().ToLowerInvariant()))];
        IActorRef[] cpus = [.. _runner.Cpus.Select(c => Context.ActorOf(Props.Create<CpuActor>(c), $"cpu{c.Id}"))];
        _cpuActors = cpus;
        _turn = new Turn(_runner.Simulation, Self, subsystems, cpus);
    }

    /// <inheritdoc/>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(-1, Timeout.Infinite, reason =>
    {
        _runner.NoteCrash(reason);
        return Directive.Restart;
    }, loggingEnabled: false);

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case RunUntil run:
                OnRunUntil(run);
                break;
            case Turn turn:
                OnTurn(turn);
                break;
            case NextWindow:
                BeginWindow();
                break;
            case TurnSaved saved:
                OnTurnSaved(saved);
                break;
            case StartFlood flood:
                OnStartFlood(flood);
                break;
            case FloodDone:
                OnFloodDone();
                break;
            case CrashChild crash:
                Context.Child(crash.Name).Tell(new Crash(crash.Reason));
                break;
            default:
                Unhandled(message);
                break;
        }
    }

    private void OnRunUntil(RunUntil message)
    {
        _run = message;
        _wallStart = WallClock.NowNs;
        _virtualStart = _runner.Simulation.NowNs;
        _runner.Kernel.Hooks.SetRunning(true);
        BeginWindow();
    }

    private void BeginWindow()
    {
        Simulation simulation = _runner.Simulation;
        if (simulation.NowNs >= _run!.UntilNs || _run.Cancellation.IsCancellationRequested)
        {
            RunUntil run = _run;
            _run = null;
            _runner.Kernel.Hooks.SetRunning(false);
            run.Done.TrySetResult();
            return;
        }
        _runner.Kernel.Hooks.ApplyPending();
        _runner.AnswerEffects();
        ulong end = Math.Min(_run.UntilNs, Math.Min(_runner.NextBorderNs(simulation.NowNs), simulation.NowNs + _runner.WindowNs));
        _turn!.Begin(end);
        _turn.Pass(Self);
    }

    private void OnTurn(Turn turn)
    {
        Simulation simulation = turn.Simulation;
        simulation.ReopenCredit();
        try
        {
            _runner.OnBorder();
        }
        catch (Exception e)
        {
            RunUntil run = _run!;
            _run = null;
            _runner.Kernel.Hooks.SetRunning(false);
            run.Done.TrySetException(e);
            return;
        }
        ulong ahead = 0;
        if (_runner.Realtime)
        {
            ulong wall = WallClock.NowNs - _wallStart, done = simulation.NowNs - _virtualStart;
            ahead = done > wall ? done - wall : 0;
        }
        if (ahead > 1_000_000)
            Timers.StartSingleTimer("window", NextWindow.Instance, TimeSpan.FromMilliseconds(ahead / 1e6));
        else if (_runner.Realtime)
            Self.Tell(NextWindow.Instance);
        else
            BeginWindow();
    }

    private void OnStartFlood(StartFlood message)
    {
        _flood = message;
        if (_floods.Length == 0)
        {
            _floods = [.. _runner.FloodSources.Select((source, i) => Context.ActorOf(
                Props.Create<FloodActor>(source, _runner.FloodPools[i], _cpuActors[i]), $"flood{i}"))];
        }
        _runner.Kernel.Hooks.SetRunning(true);
        _floodsRunning = _floods.Length;
        var run = new RunFlood(WallClock.NowNs + message.WallNs, message.Cancellation);
        foreach (IActorRef flood in _floods) flood.Tell(run);
    }

    private void OnFloodDone()
    {
        if (--_floodsRunning != 0) return;
        _runner.EndFlood();
        _runner.Kernel.Hooks.SetRunning(false);
        _flood!.Done.TrySetResult();
    }

    private void OnTurnSaved(TurnSaved message)
    {
        _runner.NoteLostTurn(message.Actor, message.Reason);
        message.Turn.Pass(Self);
    }
}

/// <summary>Run the simulation until a moment.</summary>
internal sealed record RunUntil(ulong UntilNs, TaskCompletionSource Done, CancellationToken Cancellation);

/// <summary>Time for the next window.</summary>
internal sealed record NextWindow
{
    public static readonly NextWindow Instance = new();
}

/// <summary>Makes a subsystem or CPU crash, for tests.</summary>
internal sealed record CrashChild(string Name, string Reason);
