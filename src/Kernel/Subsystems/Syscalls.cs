using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>
/// Runs tasks: user code and the system calls that it makes, each written as a routine of steps. The entry
/// and exit of every system call pass the tracepoints and functions that the kernel's pass.
/// </summary>
internal sealed class Syscalls : Subsystem
{
    /// <summary>A task goes on: subject is the task.</summary>
    public const int ResumeEvent = 0;

    /// <summary>A process starts: subject is its spec, value its number among its like.</summary>
    public const int StartEvent = 1;

    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly Tracepoint _enter, _exit;
    private readonly Dictionary<string, SyscallSites> _sites = [];
    private readonly int _entryStack;

    public Syscalls(Simulation simulation, World world, Scheduler scheduler)
    {
        _simulation = simulation;
        _scheduler = scheduler;
        World = world;
        _enter = simulation.Tracepoint("raw_syscalls", "sys_enter");
        _exit = simulation.Tracepoint("raw_syscalls", "sys_exit");
        _entryStack = simulation.Kernel.Stacks.Push(
            simulation.Kernel.Stacks.Push(0, KernelSymbols.AddressOf("entry_SYSCALL_64_after_hwframe") + 0x76),
            KernelSymbols.AddressOf("do_syscall_64") + 0x5c);
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Syscalls;

    /// <summary>Tasks and files.</summary>
    public World World { get; }

    /// <summary>The simulation.</summary>
    public Simulation Simulation => _simulation;

    /// <summary>Makes the first routine of a new thread: what its activities are.</summary>
    public Func<SimTask, IEnumerator<Step>>? MainRoutine { get; set; }

    /// <summary>Makes the routine of a task's end, for signals that kill.</summary>
    public Func<SimTask, int, IEnumerator<Step>>? ExitRoutine { get; set; }

    /// <summary>Enters the starts of all processes of the workload.</summary>
    public void Begin()
    {
        foreach (ProcessSpec process in _simulation.Spec.Workload.Processes)
        {
            for (int i = 0; i < process.Count; i++)
            {
                ulong start = _simulation.NowNs + (ulong)(process.StartSeconds * 1e9) + (ulong)i * 1000;
                _simulation.At(start, SubsystemId.Syscalls, SubsystemId.Syscalls, StartEvent, process, (ulong)i);
            }
        }
    }

    /// <inheritdoc/>
    public override void Handle(in SimEvent what)
    {
        if (what.Kind == ResumeEvent) Resume((SimTask)what.Subject!);
        else StartProcess((ProcessSpec)what.Subject!, (uint)what.Value);
    }

    /// <inheritdoc/>
    public override void Answer(in Cpus.Effect effect)
    {
        if (effect.Kind == Cpus.EffectKind.Signal && World.Tasks.TryGetValue(effect.Pid, out SimTask? task))
            Signal(task, (int)effect.Value, task.Cpu);
    }

    /// <summary>A signal comes for a task: it is noticed when the task returns to user space, and wakes it.</summary>
    public void Signal(SimTask task, int signal, uint cpu)
    {
        task.Signals.Enqueue(signal);
        if (task.State == TaskState.Interruptible) _scheduler.Wake(task, cpu);
    }

    private void StartProcess(ProcessSpec spec, uint number)
    {
        SimTask leader = World.NewProcess(spec, null, pid: spec.Pid == 0 ? 0 : spec.Pid + number);
        Start(leader);
        for (int i = 1; i < spec.Threads; i++) Start(World.NewThread(leader));
    }

    /// <summary>A new task becomes runnable for the first time.</summary>
    public void Start(SimTask task, IEnumerator<Step>? routine = null, uint? wakerCpu = null)
    {
        task.Frames.Push(routine ?? MainRoutine!(task));
        _scheduler.Wake(task, wakerCpu ?? task.Cpu);
    }

    private void Resume(SimTask task)
    {
        if (!task.OnCpu) return;
        if (_scheduler.HasWaiting(task.Cpu) && _simulation.NowNs - task.SliceStartNs >= Scheduler.SliceNs)
        {
            _scheduler.Deschedule(task, TaskState.Running);
            return;
        }
        while (true)
        {
            IEnumerator<Step> frame = task.Frames.Peek();
            if (!frame.MoveNext())
            {
                task.Frames.Pop();
                if (task.Frames.Count != 0) continue;
                // Nothing left to do: the thread has returned from its main function.
                task.Frames.Push(ExitRoutine!(task, 0));
                continue;
            }
            Step step = frame.Current;
            switch (step.Kind)
            {
                case StepKind.Call:
                    task.Frames.Push(step.Callee!);
                    continue;
                case StepKind.Run:
                    _simulation.At(_simulation.NowNs + Math.Max(1, step.Ns), SubsystemId.Syscalls, SubsystemId.Syscalls, ResumeEvent, task);
                    return;
                case StepKind.Sleep:
                    _simulation.At(_simulation.NowNs + step.Ns, SubsystemId.Syscalls, SubsystemId.Interrupts, Interrupts.TimerEvent, task);
                    _scheduler.Deschedule(task, TaskState.Interruptible);
                    return;
                case StepKind.Block:
                    _scheduler.Deschedule(task, step.State);
                    return;
                default:
                    _scheduler.Deschedule(task, TaskState.Dead);
                    World.Remove(task);
                    return;
            }
        }
    }

    /// <summary>A system call: entry tracepoints, the body, exit tracepoints, and a line in the ledger.</summary>
    public IEnumerator<Step> Call(SimTask task, string name, ulong[] args, Func<IEnumerator<Step>>? body, long result = 0)
    {
        SyscallSites sites = SitesOf(name);
        ulong start = _simulation.NowNs;
        task.Stack = _entryStack;
        StoreUserRegs(task, sites.Number, args);
        if (_enter.Begin(task, out RecordWriter record))
        {
            record.Set(sites.RawEnterId, (ulong)sites.Number).Set(sites.RawEnterArgs, System.Runtime.InteropServices.MemoryMarshal.AsBytes(Pad(args).AsSpan()));
            _enter.Emit(task, task.UserRegs, (ulong)sites.Number);
        }
        if (sites.Enter.Begin(task, out record))
        {
            record.Set(sites.EnterNr, (ulong)sites.Number);
            for (int i = 0; i < args.Length && i < sites.EnterArgs.Length; i++) record.Set(sites.EnterArgs[i], args[i]);
            sites.Enter.Emit(task);
        }
        sites.Function.Enter(task, task.UserRegs);
        task.Result = result;
        if (body != null) yield return Step.Call(body());
        else yield return Step.Run(80 + task.Random.Below(120));
        result = task.Result;
        sites.Function.Leave(task, result, task.UserRegs);
        task.Stack = _entryStack;
        if (sites.Exit.Begin(task, out record))
        {
            record.Set(sites.ExitNr, (ulong)sites.Number).Set(sites.ExitRet, (ulong)result);
            sites.Exit.Emit(task);
        }
        if (_exit.Begin(task, out record))
        {
            record.Set(sites.RawExitId, (ulong)sites.Number).Set(sites.RawExitRet, (ulong)result);
            _exit.Emit(task, task.UserRegs, (ulong)result);
        }
        task.Stack = 0;
        _simulation.Ledger.Add(name, task.Tgid, task.Comm, "", _simulation.NowNs - start, result < 0);
        if (task.Signals.Count != 0) yield return Step.Call(DeliverSignals(task));
    }

    private IEnumerator<Step> DeliverSignals(SimTask task)
    {
        Tracepoint deliver = _simulation.Tracepoint("signal", "signal_deliver");
        while (task.Signals.TryDequeue(out int signal))
        {
            if (deliver.Begin(task, out RecordWriter record))
            {
                record.Set(deliver.Field("sig"), (ulong)signal);
                deliver.Emit(task, (ulong)signal, 0, 0);
            }
            _simulation.Ledger.Add("signal_delivered", task.Tgid, task.Comm, signal.ToString(), 1);
            // Only the signals that nobody catches end the task: SIGKILL and SIGTERM.
            if (signal is 9 or 15) yield return Step.Call(ExitRoutine!(task, signal));
        }
    }

    private SyscallSites SitesOf(string name)
    {
        if (_sites.TryGetValue(name, out SyscallSites? sites)) return sites;
        Tracepoint enter = _simulation.Tracepoint("syscalls", "sys_enter_" + name), exit = _simulation.Tracepoint("syscalls", "sys_exit_" + name);
        sites = new SyscallSites(SyscallTable.NumberOf(name), enter, exit, _simulation.Function("__x64_sys_" + name),
            enter.Field("__syscall_nr"), enter.ArgumentFields(), exit.Field("__syscall_nr"), exit.Field("ret"),
            _enter.Field("id"), _enter.Field("args"), _exit.Field("id"), _exit.Field("ret"));
        _sites.Add(name, sites);
        return sites;
    }

    /// <summary>The user's registers as the entry code saves them, which pt_regs arguments of __x64_sys_… point to.</summary>
    private unsafe void StoreUserRegs(SimTask task, int number, ulong[] args)
    {
        ulong[] padded = Pad(args);
        var regs = new Cpus.PtRegs
        {
            Di = padded[0],
            Si = padded[1],
            Dx = padded[2],
            R10 = padded[3],
            R8 = padded[4],
            R9 = padded[5],
            Ax = unchecked((ulong)-38L),
            OrigAx = (ulong)number,
            Ip = 0x00007f5aff100000 + (ulong)number * 16,
            Cs = 0x33,
            Ss = 0x2b,
            Flags = 0x246,
            Sp = 0x00007ffc00000000 + task.Pid * 0x100000ul + 0xf000,
        };
        _simulation.Store(task.Cpu, task.UserRegs, new ReadOnlySpan<byte>(&regs, sizeof(Cpus.PtRegs)));
    }

    private static ulong[] Pad(ulong[] args)
    {
        if (args.Length == 6) return args;
        var padded = new ulong[6];
        args.AsSpan(0, Math.Min(6, args.Length)).CopyTo(padded);
        return padded;
    }

    /// <summary>Puts a text where user memory is, as the argument of a system call.</summary>
    public unsafe ulong UserText(SimTask task, string text)
    {
        ulong address = _simulation.Arena.AllocateUser((uint)text.Length + 1);
        Span<byte> bytes = stackalloc byte[256];
        int length = System.Text.Encoding.UTF8.GetBytes(text.AsSpan(0, Math.Min(text.Length, 80)), bytes);
        bytes[length] = 0;
        _simulation.Store(task.Cpu, address, bytes[..(length + 1)]);
        return address;
    }

    private sealed record SyscallSites(int Number, Tracepoint Enter, Tracepoint Exit, KernelFunction Function,
        TracepointField EnterNr, TracepointField[] EnterArgs, TracepointField ExitNr, TracepointField ExitRet,
        TracepointField RawEnterId, TracepointField RawEnterArgs, TracepointField RawExitId, TracepointField RawExitRet);
}
