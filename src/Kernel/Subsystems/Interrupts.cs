using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>Timers and device interrupts: they come in on a CPU, in whatever task runs there, and wake others.</summary>
internal sealed class Interrupts : Subsystem
{
    /// <summary>A sleeping task's timer: subject is the task.</summary>
    public const int TimerEvent = 0;

    /// <summary>A disk has finished a request: subject is the request.</summary>
    public const int BlockEvent = 1;

    /// <summary>A packet has come in: subject is an action.</summary>
    public const int NetworkEvent = 2;

    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly Tracepoint _irqEntry, _irqExit, _softirqRaise, _softirqEntry, _softirqExit, _timerEntry, _timerExit, _expireEntry, _expireExit;

    public Interrupts(Simulation simulation, Scheduler scheduler)
    {
        _simulation = simulation;
        _scheduler = scheduler;
        _irqEntry = simulation.Tracepoint("irq", "irq_handler_entry");
        _irqExit = simulation.Tracepoint("irq", "irq_handler_exit");
        _softirqRaise = simulation.Tracepoint("irq", "softirq_raise");
        _softirqEntry = simulation.Tracepoint("irq", "softirq_entry");
        _softirqExit = simulation.Tracepoint("irq", "softirq_exit");
        _timerEntry = simulation.Tracepoint("irq_vectors", "local_timer_entry");
        _timerExit = simulation.Tracepoint("irq_vectors", "local_timer_exit");
        _expireEntry = simulation.Tracepoint("timer", "hrtimer_expire_entry");
        _expireExit = simulation.Tracepoint("timer", "hrtimer_expire_exit");
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Interrupts;

    /// <summary>What the block layer does when a request is done; set by it.</summary>
    public Action<BlockRequest, uint>? CompleteRequest { get; set; }

    /// <inheritdoc/>
    public override void Handle(in SimEvent what)
    {
        switch (what.Kind)
        {
            case TimerEvent:
                OnTimer((SimTask)what.Subject!);
                break;
            case BlockEvent:
                var request = (BlockRequest)what.Subject!;
                InInterrupt(request.Cpu, 24 + request.Cpu, "nvme0q" + (request.Cpu + 1), 4, () => CompleteRequest!(request, request.Cpu));
                break;
            case NetworkEvent:
                InInterrupt((uint)what.Value, 40, "eth0", 3, (Action)what.Subject!);
                break;
        }
    }

    /// <summary>The CPU's local timer: a sleep is over.</summary>
    private void OnTimer(SimTask task)
    {
        if (task.State != TaskState.Interruptible) return;
        SimTask current = _scheduler.Current(task.Cpu);
        int stack = current.Stack;
        if (_timerEntry.Begin(current, out RecordWriter record))
        {
            record.Set(_timerEntry.Field("vector"), 236);
            _timerEntry.Emit(current, 236);
        }
        if (_expireEntry.Begin(current, out record))
        {
            record.Set(_expireEntry.Field("hrtimer"), task.UserRegs - 0x80).Set(_expireEntry.Field("now"), _simulation.NowNs)
                .Set(_expireEntry.Field("function"), KernelSymbols.AddressOf("hrtimer_wakeup"));
            _expireEntry.Emit(current, task.UserRegs - 0x80, task.UserRegs - 0x60);
        }
        _scheduler.Wake(task, task.Cpu);
        if (_expireExit.Begin(current, out record))
        {
            record.Set(_expireExit.Field("hrtimer"), task.UserRegs - 0x80);
            _expireExit.Emit(current, task.UserRegs - 0x80);
        }
        if (_timerExit.Begin(current, out record))
        {
            record.Set(_timerExit.Field("vector"), 236);
            _timerExit.Emit(current, 236);
        }
        current.Stack = stack;
    }

    /// <summary>A device interrupt and the softirq that it raises, in the context of the interrupted task.</summary>
    private void InInterrupt(uint cpu, uint irq, string name, uint softirq, Action work)
    {
        SimTask current = _scheduler.Current(cpu);
        int stack = current.Stack;
        if (_irqEntry.Begin(current, out RecordWriter record))
        {
            record.Set(_irqEntry.Field("irq"), irq).Set(_irqEntry.Field("name"), name);
            _irqEntry.Emit(current, irq, 0);
        }
        Soft(_softirqRaise, current, softirq);
        if (_irqExit.Begin(current, out record))
        {
            record.Set(_irqExit.Field("irq"), irq).Set(_irqExit.Field("ret"), 1);
            _irqExit.Emit(current, irq, 0, 1);
        }
        _simulation.NowNs += 400;
        Soft(_softirqEntry, current, softirq);
        work();
        _simulation.NowNs += 600;
        Soft(_softirqExit, current, softirq);
        current.Stack = stack;
        _simulation.Ledger.Add("hardirq", 0, name, "", 400);
        _simulation.Ledger.Add("softirq", 0, softirq == 4 ? "block" : "net_rx", "", 600);
    }

    private static void Soft(Tracepoint point, SimTask current, uint vector)
    {
        if (!point.Begin(current, out RecordWriter record)) return;
        record.Set(point.Field("vec"), vector);
        point.Emit(current, vector);
    }
}
