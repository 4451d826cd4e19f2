using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>
/// Run queues, wakeups and context switches. One queue a CPU, first come first served, with time slices;
/// a woken task goes to the CPU where it ran last if that is idle, else to an idle one, else to the
/// shortest queue.
/// </summary>
internal sealed class Scheduler : Subsystem
{
    /// <summary>Time slice while others wait, in nanoseconds (the base slice of EEVDF).</summary>
    public const ulong SliceNs = 3_000_000;

    private const int SwitchEvent = 0;
    private readonly Simulation _simulation;
    private readonly RandomStream _random;
    private readonly Queue<SimTask>[] _queues;
    private readonly SimTask[] _current;
    private readonly bool[] _switching;
    private readonly Tracepoint _switchPoint, _waking, _wakeup, _wakeupNew;
    private readonly TracepointField _prevComm, _prevPid, _prevPrio, _prevState, _nextComm, _nextPid, _nextPrio;
    private readonly KernelFunction _tryToWakeUp, _finishTaskSwitch;
    private readonly KernelField _stateField, _cpuField;

    public Scheduler(Simulation simulation, World world)
    {
        _simulation = simulation;
        _random = new RandomStream(simulation.Kernel.Seed, "scheduler");
        _queues = [.. Enumerable.Range(0, (int)simulation.Cpus).Select(_ => new Queue<SimTask>())];
        _current = [.. Enumerable.Range(0, (int)simulation.Cpus).Select(i => world.NewIdleTask((uint)i))];
        Idle = [.. _current];
        _switching = new bool[simulation.Cpus];
        _switchPoint = simulation.Tracepoint("sched", "sched_switch");
        _waking = simulation.Tracepoint("sched", "sched_waking");
        _wakeup = simulation.Tracepoint("sched", "sched_wakeup");
        _wakeupNew = simulation.Tracepoint("sched", "sched_wakeup_new");
        _prevComm = _switchPoint.Field("prev_comm");
        _prevPid = _switchPoint.Field("prev_pid");
        _prevPrio = _switchPoint.Field("prev_prio");
        _prevState = _switchPoint.Field("prev_state");
        _nextComm = _switchPoint.Field("next_comm");
        _nextPid = _switchPoint.Field("next_pid");
        _nextPrio = _switchPoint.Field("next_prio");
        _tryToWakeUp = simulation.Function("try_to_wake_up");
        _finishTaskSwitch = simulation.Function("finish_task_switch");
        _stateField = simulation.Types.Field("task_struct", "__state");
        _cpuField = simulation.Types.Field("task_struct", "thread_info.cpu");
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Scheduler;

    /// <summary>The idle tasks.</summary>
    public IReadOnlyList<SimTask> Idle { get; }

    /// <summary>The task that runs on a CPU.</summary>
    public SimTask Current(uint cpu) => _current[cpu];

    /// <summary>Whether other tasks wait for this CPU.</summary>
    public bool HasWaiting(uint cpu) => _queues[cpu].Count != 0;

    /// <inheritdoc/>
    public override void Handle(in SimEvent what)
    {
        if (what.Kind == SwitchEvent) SwitchTo((uint)what.Value);
    }

    /// <summary>Wakes a sleeping task, in the context of whatever runs on the waker's CPU.</summary>
    public void Wake(SimTask task, uint wakerCpu)
    {
        if (task.State is TaskState.Dead || task.Queued) return;
        if (task.OnCpu)
        {
            task.WakePending = true;
            return;
        }
        SimTask waker = _current[wakerCpu];
        bool isNew = task.State == TaskState.New;
        _tryToWakeUp.Enter(waker, task.Address, 3, 0);
        if (!isNew) EmitWake(_waking, waker, task, task.Cpu);
        uint cpu = ChooseCpu(task);
        task.Cpu = cpu;
        task.State = TaskState.Running;
        task.QueuedNs = _simulation.NowNs;
        task.Queued = true;
        StoreState(wakerCpu, task);
        EmitWake(isNew ? _wakeupNew : _wakeup, waker, task, cpu);
        _tryToWakeUp.Leave(waker, 1, task.Address, 3, 0);
        _queues[cpu].Enqueue(task);
        // An idle CPU leaves its sleep; a busy one switches when the task on it sleeps or has used up its slice.
        if (_current[cpu].Pid == 0 && !_switching[cpu]) RequestSwitch(cpu, 600 + _random.Below(1400));
    }

    /// <summary>The current task of a CPU goes to sleep, dies or has used up its slice.</summary>
    public void Deschedule(SimTask task, TaskState state)
    {
        if (state != TaskState.Running && state != TaskState.Dead && task.WakePending)
        {
            // The wakeup was faster than the sleep.
            task.WakePending = false;
            Resume(task, 100);
            return;
        }
        task.State = state;
        StoreState(task.Cpu, task);
        if (state == TaskState.Running)
        {
            task.QueuedNs = _simulation.NowNs;
            task.Queued = true;
            _queues[task.Cpu].Enqueue(task);
        }
        SwitchTo(task.Cpu);
    }

    private void RequestSwitch(uint cpu, ulong delayNs)
    {
        _switching[cpu] = true;
        _simulation.At(_simulation.NowNs + delayNs, SubsystemId.Scheduler, SubsystemId.Scheduler, SwitchEvent, null, cpu);
    }

    private void SwitchTo(uint cpu)
    {
        _switching[cpu] = false;
        SimTask previous = _current[cpu];
        SimTask next = _queues[cpu].TryDequeue(out SimTask? waiting) ? waiting : Idle[(int)cpu];
        if (next == previous) return;
        ulong now = _simulation.NowNs;
        if (_switchPoint.Begin(previous, out RecordWriter record))
        {
            // A task that still could run shows R; the kernel adds a bit for preempted ones.
            ulong state = previous.Pid == 0 ? 0 : previous.State switch
            {
                TaskState.Running => 0x100,
                TaskState.Dead => 0x40,
                _ => (ulong)previous.State,
            };
            record.Set(_prevComm, previous.Comm).Set(_prevPid, previous.Pid).Set(_prevPrio, (ulong)previous.Prio).Set(_prevState, state)
                .Set(_nextComm, next.Comm).Set(_nextPid, next.Pid).Set(_nextPrio, (ulong)next.Prio);
            bool preempted = previous.Pid != 0 && previous.State == TaskState.Running;
            _switchPoint.Emit(previous, preempted ? 1u : 0u, previous.Address, next.Address, previous.Pid == 0 ? 0 : (ulong)previous.State);
        }
        previous.OnCpu = false;
        previous.SwitchedOutNs = now;
        if (previous.Pid != 0)
            _simulation.Ledger.Add("oncpu", previous.Tgid, previous.Comm, "", now - previous.SliceStartNs);
        next.Queued = false;
        next.OnCpu = true;
        next.SliceStartNs = now;
        next.Cpu = cpu;
        _current[cpu] = next;
        if (next.Pid == 0) return;
        _simulation.Ledger.Add("runqlat", next.Tgid, next.Comm, "", now - next.QueuedNs);
        if (next.SwitchedOutNs != 0) _simulation.Ledger.Add("offcpu", next.Tgid, next.Comm, "", now - next.SwitchedOutNs);
        _simulation.Store(cpu, next.Address == 0 || !_cpuField.Exists ? 0 : next.Address + _cpuField.Offset, 4, cpu);
        int stack = next.Stack;
        next.Stack = 0;
        _finishTaskSwitch.Pass(next, 0, previous.Address);
        next.Stack = stack;
        Resume(next, 300 + _random.Below(500));
    }

    private void Resume(SimTask task, ulong delayNs) =>
        _simulation.At(_simulation.NowNs + delayNs, SubsystemId.Scheduler, SubsystemId.Syscalls, Syscalls.ResumeEvent, task);

    private uint ChooseCpu(SimTask task)
    {
        if (IsFree(task.Cpu)) return task.Cpu;
        uint start = (uint)_random.Below(_simulation.Cpus), best = task.Cpu;
        int shortest = _queues[task.Cpu].Count + 1;
        for (uint i = 0; i < _simulation.Cpus; i++)
        {
            uint cpu = (start + i) % _simulation.Cpus;
            if (IsFree(cpu)) return cpu;
            if (_queues[cpu].Count + 1 >= shortest) continue;
            shortest = _queues[cpu].Count + 1;
            best = cpu;
        }
        return best;
    }

    private bool IsFree(uint cpu) => _current[cpu].Pid == 0 && _queues[cpu].Count == 0 && !_switching[cpu];

    private void StoreState(uint cpu, SimTask task)
    {
        if (_stateField.Exists && task.Address != 0) _simulation.Store(cpu, task.Address + _stateField.Offset, 4, (uint)task.State);
    }

    private static void EmitWake(Tracepoint point, SimTask waker, SimTask task, uint cpu)
    {
        if (!point.Begin(waker, out RecordWriter record)) return;
        record.Set(point.Field("comm"), task.Comm).Set(point.Field("pid"), task.Pid).Set(point.Field("prio"), (ulong)task.Prio)
            .Set(point.Field("target_cpu"), cpu);
        point.Emit(waker, task.Address);
    }
}
