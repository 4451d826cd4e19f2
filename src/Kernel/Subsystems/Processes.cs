using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Memory;

namespace BpfSim.Kernel.Subsystems;

/// <summary>Processes and their memory: fork, execve, exit, wait, signals, futexes, page faults.</summary>
internal sealed class Processes
{
    private const ulong CloneFlags = 0x01200011;
    private readonly Syscalls _syscalls;
    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly World _world;
    private readonly Tracepoint _fork, _exec, _exit, _wait, _generate, _newTask, _faultUser, _pageAlloc, _kmalloc, _kfree;
    private readonly KernelFunction _kernelClone, _execve, _binaryHandler, _doExit, _wakeUpNew, _handleFault, _futexWait, _futexWake, _doMmap;
    private readonly Dictionary<string, Queue<SimTask>> _futexes = [];
    private readonly Dictionary<string, SimTask> _owners = [];

    public Processes(Syscalls syscalls, Scheduler scheduler)
    {
        _syscalls = syscalls;
        _simulation = syscalls.Simulation;
        _world = syscalls.World;
        _scheduler = scheduler;
        Simulation s = _simulation;
        _fork = s.Tracepoint("sched", "sched_process_fork");
        _exec = s.Tracepoint("sched", "sched_process_exec");
        _exit = s.Tracepoint("sched", "sched_process_exit");
        _wait = s.Tracepoint("sched", "sched_process_wait");
        _generate = s.Tracepoint("signal", "signal_generate");
        _newTask = s.Tracepoint("task", "task_newtask");
        _faultUser = s.Tracepoint("exceptions", "page_fault_user");
        _pageAlloc = s.Tracepoint("kmem", "mm_page_alloc");
        _kmalloc = s.Tracepoint("kmem", "kmalloc");
        _kfree = s.Tracepoint("kmem", "kfree");
        _kernelClone = s.Function("kernel_clone");
        _execve = s.Function("bprm_execve");
        _binaryHandler = s.Function("begin_new_exec");
        _doExit = s.Function("do_exit");
        _wakeUpNew = s.Function("wake_up_new_task");
        _handleFault = s.Function("handle_mm_fault");
        _futexWait = s.Function("futex_wait");
        _futexWake = s.Function("futex_wake");
        _doMmap = s.Function("do_mmap");
        syscalls.ExitRoutine = (task, signal) => Exit(task, signal, 0);
    }

    /// <summary>A shell's work: clone, in the child execve, some computing and exit; the parent waits.</summary>
    public IEnumerator<Step> ForkAndExec(SimTask task, ActivitySpec activity)
    {
        SimTask? child = null;
        yield return Step.Call(_syscalls.Call(task, "clone", [CloneFlags, 0, 0, 0, 0], Clone));
        yield return Step.Run(2000);
        ulong status = _simulation.Arena.AllocateUser(8);
        yield return Step.Call(_syscalls.Call(task, "wait4", [(ulong)child!.Pid, status, 0, 0], Wait));

        IEnumerator<Step> Clone()
        {
            _kernelClone.Enter(task, task.UserRegs);
            yield return Step.Run(task.Random.LogNormal(45_000, 0.3));
            string comm = task.Comm;
            string target = activity.Target ?? "/usr/bin/" + (activity.Files.Count > 0 ? activity.Files[0] : "true");
            child = _world.NewProcess(task.Spec with { Executable = target, Activities = [] }, task, comm);
            if (_newTask.Begin(task, out RecordWriter record))
            {
                record.Set(_newTask.Field("pid"), child.Pid).Set(_newTask.Field("comm"), comm).Set(_newTask.Field("clone_flags"), CloneFlags);
                _newTask.Emit(task, child.Address, CloneFlags);
            }
            if (_fork.Begin(task, out record))
            {
                record.Set(_fork.Field("parent_comm"), task.Comm).Set(_fork.Field("parent_pid"), task.Pid)
                    .Set(_fork.Field("child_comm"), comm).Set(_fork.Field("child_pid"), child.Pid);
                _fork.Emit(task, task.Address, child.Address);
            }
            _wakeUpNew.Enter(task, child.Address);
            _syscalls.Start(child, Child(child, target, activity, task), task.Cpu);
            _wakeUpNew.Leave(task, 0, child.Address);
            _kernelClone.Leave(task, child.Pid, task.UserRegs);
            _simulation.Ledger.Add("fork", task.Tgid, task.Comm, "", 1);
            task.Result = child.Pid;
        }

        IEnumerator<Step> Wait()
        {
            if (_wait.Begin(task, out RecordWriter record))
            {
                record.Set(_wait.Field("comm"), task.Comm).Set(_wait.Field("pid"), child!.Pid).Set(_wait.Field("prio"), (ulong)task.Prio);
                _wait.Emit(task, 0);
            }
            yield return Step.Run(300);
            if (child!.State != TaskState.Dead) yield return Step.Block(TaskState.Interruptible);
            yield return Step.Run(800);
            task.Result = child.Pid;
        }
    }

    private IEnumerator<Step> Child(SimTask task, string path, ActivitySpec activity, SimTask parent)
    {
        yield return Step.Run(5000);
        yield return Step.Call(Execve(task, path));
        ulong left = task.Random.Exponential(activity.ComputeNs);
        while (left > 0)
        {
            ulong piece = Math.Min(left, 500_000);
            yield return Step.Run(piece);
            left -= piece;
        }
        yield return Step.Call(Exit(task, 0, 0, parent));
    }

    /// <summary>execve(2): the task gets the file's name.</summary>
    public IEnumerator<Step> Execve(SimTask task, string path)
    {
        ulong name = _syscalls.UserText(task, path);
        ulong argv = _simulation.Arena.AllocateUser(16);
        _simulation.Store(task.Cpu, argv, 8, name);
        _simulation.Store(task.Cpu, argv + 8, 8, 0);
        return _syscalls.Call(task, "execve", [name, argv, 0], Body);

        IEnumerator<Step> Body()
        {
            ulong program = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("linux_binprm", 256));
            KernelField filename = _simulation.Types.Field("linux_binprm", "filename");
            ulong text = _simulation.Arena.AllocateTransient((uint)path.Length + 1);
            StoreText(task, text, path);
            if (filename.Exists) _simulation.Store(task.Cpu, program + filename.Offset, 8, text);
            _execve.Enter(task, program);
            yield return Step.Run(task.Random.LogNormal(180_000, 0.3));
            _binaryHandler.Enter(task, program);
            yield return Step.Run(task.Random.LogNormal(90_000, 0.3));
            _world.Rename(task, path[(path.LastIndexOf('/') + 1)..]);
            if (_exec.Begin(task, out RecordWriter record))
            {
                record.Set(_exec.Field("filename"), path).Set(_exec.Field("pid"), task.Pid).Set(_exec.Field("old_pid"), task.Pid);
                _exec.Emit(task, task.Address, task.Pid, program);
            }
            _binaryHandler.Leave(task, 0, program);
            _execve.Leave(task, 0, program);
            _simulation.Ledger.Add("exec", task.Tgid, task.Comm, path, 1);
            task.Result = 0;
        }
    }

    /// <summary>exit_group(2), by choice or by a signal; never returns.</summary>
    public IEnumerator<Step> Exit(SimTask task, int signal, int code, SimTask? waiter = null)
    {
        KernelFunction call = _simulation.Function("__x64_sys_exit_group");
        if (signal == 0)
        {
            // The call does not come back, so that it has no exit event and no latency.
            Tracepoint enter = _simulation.Tracepoint("raw_syscalls", "sys_enter"), named = _simulation.Tracepoint("syscalls", "sys_enter_exit_group");
            if (enter.Begin(task, out RecordWriter raw))
            {
                raw.Set(enter.Field("id"), 231);
                enter.Emit(task, task.UserRegs, 231);
            }
            if (named.Begin(task, out raw))
            {
                raw.Set(named.Field("__syscall_nr"), 231).Set(named.Field("error_code"), (ulong)code);
                named.Emit(task);
            }
            call.Enter(task, task.UserRegs);
        }
        ulong status = signal != 0 ? (ulong)signal : (ulong)code << 8;
        KernelField exitCode = _simulation.Types.Field("task_struct", "exit_code");
        if (exitCode.Exists) _simulation.Store(task.Cpu, task.Address + exitCode.Offset, 4, status);
        _doExit.Enter(task, status);
        yield return Step.Run(task.Random.LogNormal(60_000, 0.3));
        foreach (SimFile file in task.Files.Values)
            if (file.Socket == null) _world.FreeFile(file.Address);
        task.Files.Clear();
        if (_exit.Begin(task, out RecordWriter record))
        {
            record.Set(_exit.Field("comm"), task.Comm).Set(_exit.Field("pid"), task.Pid).Set(_exit.Field("prio"), (ulong)task.Prio)
                .Set(_exit.Field("group_dead"), task.Pid == task.Tgid ? 1u : 0);
            _exit.Emit(task, task.Address, task.Pid == task.Tgid ? 1u : 0);
        }
        _simulation.Ledger.Add("exit", task.Tgid, task.Comm, "", 1);
        SimTask? parent = waiter ?? task.Parent;
        task.State = TaskState.Dead;
        if (parent != null) _scheduler.Wake(parent, task.Cpu);
        yield return Step.Exit();
    }

    /// <summary>kill(2) of a random process with SIGUSR1.</summary>
    public IEnumerator<Step> Kill(SimTask task, ActivitySpec activity)
    {
        const int Sigusr1 = 10;
        _ = activity;
        SimTask[] others = [.. _world.Tasks.Values.Where(t => t != task && t.Pid == t.Tgid).OrderBy(t => t.Pid)];
        if (others.Length == 0) yield break;
        SimTask target = others[task.Random.Below((ulong)others.Length)];
        yield return Step.Call(_syscalls.Call(task, "kill", [target.Pid, Sigusr1], Body));

        IEnumerator<Step> Body()
        {
            yield return Step.Run(task.Random.LogNormal(700, 0.3));
            if (_generate.Begin(task, out RecordWriter record))
            {
                record.Set(_generate.Field("sig"), Sigusr1).Set(_generate.Field("comm"), target.Comm).Set(_generate.Field("pid"), target.Pid)
                    .Set(_generate.Field("group"), 1);
                _generate.Emit(task, Sigusr1, 0, target.Address, 1, 0);
            }
            _syscalls.Signal(target, Sigusr1, task.Cpu);
            _simulation.Ledger.Add("signal", task.Tgid, task.Comm, "10", 1);
            task.Result = 0;
        }
    }

    /// <summary>Takes a lock that all threads with the same target share; waits in futex(2) if another holds it.</summary>
    public IEnumerator<Step> Futex(SimTask task, ActivitySpec activity)
    {
        string name = activity.Target ?? "lock";
        ulong address = KernelArena.UserBase + 16;
        if (_owners.ContainsKey(name))
        {
            yield return Step.Call(_syscalls.Call(task, "futex", [address, 128, 2, 0], Wait));
        }
        if (_owners.ContainsKey(name)) yield break;
        _owners[name] = task;
        yield return Step.Run(task.Random.Exponential(activity.ComputeNs));
        _owners.Remove(name);
        if (_futexes.TryGetValue(name, out Queue<SimTask>? queue) && queue.Count > 0)
            yield return Step.Call(_syscalls.Call(task, "futex", [address, 129, 1], Wake));

        IEnumerator<Step> Wait()
        {
            ulong start = _simulation.NowNs;
            if (!_futexes.TryGetValue(name, out Queue<SimTask>? waiting)) _futexes.Add(name, waiting = new Queue<SimTask>());
            waiting.Enqueue(task);
            _futexWait.Enter(task, address, 1, 2);
            yield return Step.Block(TaskState.Interruptible);
            _futexWait.Leave(task, 0, address, 1, 2);
            _simulation.Ledger.Add("futex_wait", task.Tgid, task.Comm, name, _simulation.NowNs - start);
            task.Result = 0;
        }

        IEnumerator<Step> Wake()
        {
            yield return Step.Run(400);
            _futexWake.Enter(task, address, 1, 1);
            if (_futexes[name].TryDequeue(out SimTask? woken)) _scheduler.Wake(woken, task.Cpu);
            _futexWake.Leave(task, 1, address, 1, 1);
            task.Result = 1;
        }
    }

    /// <summary>mmap(2), a page fault for every page, munmap(2).</summary>
    public IEnumerator<Step> MapAndTouch(SimTask task, ActivitySpec activity)
    {
        ulong length = activity.Bytes + 4095ul & ~4095ul, start = 0x00007f6000000000 + task.Random.Below(1 << 20) * 4096;
        yield return Step.Call(_syscalls.Call(task, "mmap", [0, length, 3, 0x22, ulong.MaxValue, 0], Map));
        for (ulong offset = 0; offset < length; offset += 4096)
        {
            Fault(start + offset);
            yield return Step.Run(task.Random.LogNormal(600, 0.3));
        }
        yield return Step.Call(_syscalls.Call(task, "munmap", [start, length], null));

        IEnumerator<Step> Map()
        {
            _doMmap.Enter(task, 0, 0, length, 3, 0x22, 0);
            yield return Step.Run(task.Random.LogNormal(900, 0.3));
            _doMmap.Leave(task, (long)start, 0, 0, length, 3, 0x22, 0);
            task.Result = (long)start;
        }

        void Fault(ulong address)
        {
            const ulong Ip = 0x0000555555555123;
            if (_faultUser.Begin(task, out RecordWriter record))
            {
                record.Set(_faultUser.Field("address"), address).Set(_faultUser.Field("ip"), Ip).Set(_faultUser.Field("error_code"), 6);
                _faultUser.Emit(task, address, task.UserRegs, 6);
            }
            _handleFault.Enter(task, 0, address, 0x255, task.UserRegs);
            if (_pageAlloc.Begin(task, out record))
            {
                record.Set(_pageAlloc.Field("pfn"), task.Random.Below(1 << 22)).Set(_pageAlloc.Field("order"), 0)
                    .Set(_pageAlloc.Field("gfp_flags"), 0x140dca).Set(_pageAlloc.Field("migratetype"), 1);
                _pageAlloc.Emit(task, 0, 0, 0x140dca, 1);
            }
            _handleFault.Leave(task, 0, 0, address, 0x255, task.UserRegs);
            _simulation.Ledger.Add("page_fault", task.Tgid, task.Comm, "", 1);
        }
    }

    /// <summary>kmalloc and kfree of a piece of memory around something.</summary>
    public void Allocation(SimTask task, uint bytes, ulong address)
    {
        if (_kmalloc.Begin(task, out RecordWriter record))
        {
            record.Set(_kmalloc.Field("call_site"), KernelSymbols.AddressOf("seq_open") + 0x2a).Set(_kmalloc.Field("ptr"), address)
                .Set(_kmalloc.Field("bytes_req"), bytes).Set(_kmalloc.Field("bytes_alloc"), bytes + 63 & ~63u)
                .Set(_kmalloc.Field("gfp_flags"), 0xcc0).Set(_kmalloc.Field("node"), uint.MaxValue);
            _kmalloc.Emit(task, KernelSymbols.AddressOf("seq_open") + 0x2a, address, bytes, bytes + 63 & ~63u, 0xcc0, ulong.MaxValue);
        }
        _simulation.Ledger.Add("kmalloc", task.Tgid, task.Comm, "", bytes);
        if (!_kfree.Begin(task, out record)) return;
        record.Set(_kfree.Field("call_site"), KernelSymbols.AddressOf("seq_release") + 0x1c).Set(_kfree.Field("ptr"), address);
        _kfree.Emit(task, KernelSymbols.AddressOf("seq_release") + 0x1c, address);
    }

    private unsafe void StoreText(SimTask task, ulong address, string text)
    {
        Span<byte> bytes = stackalloc byte[256];
        int length = System.Text.Encoding.UTF8.GetBytes(text.AsSpan(0, Math.Min(text.Length, 80)), bytes);
        bytes[length] = 0;
        _simulation.Store(task.Cpu, address, bytes[..(length + 1)]);
    }
}
