namespace BpfSim.Kernel.Subsystems;

/// <summary>User space: what a thread does at which times, in terms of system calls.</summary>
internal sealed partial class Activities
{
    private readonly Syscalls _syscalls;
    private readonly Simulation _simulation;
    private readonly World _world;
    private readonly Vfs _vfs;
    private readonly Processes _processes;
    private readonly Network _network;

    public Activities(Syscalls syscalls, Vfs vfs, Processes processes, Network network)
    {
        _syscalls = syscalls;
        _simulation = syscalls.Simulation;
        _world = syscalls.World;
        _vfs = vfs;
        _processes = processes;
        _network = network;
        syscalls.MainRoutine = Main;
    }

    /// <summary>A thread's life: each activity at the times of its own Poisson process, sleeping in between.</summary>
    private IEnumerator<Step> Main(SimTask task)
    {
        IReadOnlyList<ActivitySpec> activities = task.Spec.Activities;
        ulong origin = _simulation.Spec.BootTimeNs;
        ulong stop = task.Spec.StopSeconds is { } seconds ? origin + (ulong)(seconds * 1e9) : ulong.MaxValue;
        var due = new ulong[activities.Count];
        for (int i = 0; i < due.Length; i++) due[i] = NextTime(task, _simulation.NowNs, activities[i]);
        while (true)
        {
            int next = -1;
            for (int i = 0; i < due.Length; i++)
                if (next < 0 || due[i] < due[next]) next = i;
            ulong when = Math.Min(next < 0 ? ulong.MaxValue : due[next], stop);
            if (when == ulong.MaxValue)
            {
                // Nothing to do, ever: wait for a signal.
                yield return Step.Block(TaskState.Interruptible);
                continue;
            }
            if (when > _simulation.NowNs + 2000)
            {
                yield return Step.Call(Nanosleep(task, when - _simulation.NowNs));
            }
            if (_simulation.NowNs >= stop) yield break;
            if (next < 0 || _simulation.NowNs < due[next] && due[next] > _simulation.NowNs + 2000) continue;
            yield return Step.Run(200 + task.Random.Below(400));
            yield return Step.Call(Do(task, activities[next]));
            due[next] = NextTime(task, due[next], activities[next]);
            // An activity that takes longer than its interval starts again at once, but does not run up a debt.
            if (due[next] < _simulation.NowNs) due[next] = _simulation.NowNs;
        }
    }

    private static ulong NextTime(SimTask task, ulong from, ActivitySpec activity) =>
        activity.Rate <= 0 ? ulong.MaxValue : from + task.Random.Exponential(1e9 / activity.Rate);

    private IEnumerator<Step> Nanosleep(SimTask task, ulong ns)
    {
        ulong request = _simulation.Arena.AllocateUser(16);
        return _syscalls.Call(task, "clock_nanosleep", [1, 0, request, 0], Body);

        IEnumerator<Step> Body()
        {
            yield return Step.Run(150);
            yield return Step.Sleep(ns);
            task.Result = 0;
        }
    }

    private IEnumerator<Step> Do(SimTask task, ActivitySpec activity) => activity.Kind switch
    {
        ActivityKind.Open => OpenClose(task, activity),
        ActivityKind.Read => ReadFile(task, activity),
        ActivityKind.Write => WriteFile(task, activity, create: false),
        ActivityKind.Create => WriteFile(task, activity, create: true),
        ActivityKind.Stat => _vfs.Stat(task, PathFor(task, activity), !task.Random.Chance(activity.MissChance)),
        ActivityKind.Fsync => WriteFile(task, activity with { Sync = true }, create: false),
        ActivityKind.Exec => _processes.ForkAndExec(task, activity),
        ActivityKind.Connect => _network.Client(task, activity),
        ActivityKind.Serve => _network.Server(task, activity),
        ActivityKind.Udp => _network.Datagram(task, activity),
        ActivityKind.Compute => Compute(task, activity),
        ActivityKind.Memory => _processes.MapAndTouch(task, activity),
        ActivityKind.Signal => _processes.Kill(task, activity),
        ActivityKind.Futex => _processes.Futex(task, activity),
        ActivityKind.Getpid => _syscalls.Call(task, "getpid", [], null, task.Tgid),
        _ => UserCall(task, activity),
    };

    private static string PathFor(SimTask task, ActivitySpec activity) => activity.Files.Count == 0
        ? World.CommonFile(task.Random) : activity.Files[(int)task.Random.Below((ulong)activity.Files.Count)];

    private IEnumerator<Step> OpenClose(SimTask task, ActivitySpec activity)
    {
        bool exists = !task.Random.Chance(activity.MissChance);
        string path = PathFor(task, activity);
        yield return Step.Call(_vfs.Openat(task, exists ? path : path + ".missing", exists));
        if (task.Result < 0) yield break;
        int fd = (int)task.Result;
        yield return Step.Run(200);
        yield return Step.Call(_vfs.Close(task, fd));
    }

    private IEnumerator<Step> ReadFile(SimTask task, ActivitySpec activity)
    {
        yield return Step.Call(_vfs.Openat(task, PathFor(task, activity), true));
        int fd = (int)task.Result;
        yield return Step.Run(150);
        yield return Step.Call(_vfs.Read(task, fd, activity.Bytes, activity.MissChance));
        yield return Step.Run(activity.ComputeNs / 10);
        yield return Step.Call(_vfs.Close(task, fd));
    }

    private IEnumerator<Step> WriteFile(SimTask task, ActivitySpec activity, bool create)
    {
        string path = create ? $"/tmp/{task.Comm}-{task.Pid}-{task.Random.Below(1 << 20):x}" : PathFor(task, activity);
        yield return Step.Call(_vfs.Openat(task, path, true, create ? 0x241u : 1u));
        int fd = (int)task.Result;
        yield return Step.Run(150);
        yield return Step.Call(_vfs.Write(task, fd, activity.Bytes));
        if (activity.Sync) yield return Step.Call(_vfs.Fsync(task, fd));
        yield return Step.Call(_vfs.Close(task, fd));
        if (create) yield return Step.Call(_vfs.Unlink(task, path));
    }

    private static IEnumerator<Step> Compute(SimTask task, ActivitySpec activity)
    {
        // In pieces, so that the slice can end in between.
        ulong left = task.Random.Exponential(activity.ComputeNs);
        while (left > 0)
        {
            ulong piece = Math.Min(left, 500_000);
            yield return Step.Run(piece);
            left -= piece;
        }
    }

    private IEnumerator<Step> UserCall(SimTask task, ActivitySpec activity)
    {
        string target = activity.Target ?? (task.Spec.Executable ?? "/usr/bin/" + task.Spec.Comm) + ":0x1000";
        Attach.HookSite entry = _simulation.Site(Attach.SiteKind.UserEntry, target), exit = _simulation.Site(Attach.SiteKind.UserReturn, target);
        ulong argument = task.Random.Below(1 << 16), start = _simulation.NowNs;
        _simulation.Emit(entry, task.Cpu, task.Identity, 0, [argument, activity.Bytes]);
        yield return Step.Run(task.Random.Exponential(activity.ComputeNs));
        _simulation.Emit(exit, task.Cpu, task.Identity, 0, [argument, activity.Bytes], argument + 1);
        _simulation.Ledger.Add("user_call", task.Tgid, task.Comm, target, _simulation.NowNs - start);
    }
}
