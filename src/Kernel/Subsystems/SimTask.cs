using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>What a task waits for: the values of <c>task_struct.__state</c>.</summary>
internal enum TaskState : uint { Running = 0, Interruptible = 1, Uninterruptible = 2, Stopped = 4, Dead = 0x80, New = 0x800 }

/// <summary>A thread of the simulated machine, or the idle task of a CPU.</summary>
internal sealed class SimTask
{
    public required uint Pid { get; init; }

    public required uint Tgid { get; init; }

    public required string Comm { get; set; }

    public uint Uid { get; init; }

    public uint Gid { get; init; }

    public int Nice { get; init; }

    public SimTask? Parent { get; init; }

    public required ProcessSpec Spec { get; init; }

    public required RandomStream Random { get; init; }

    /// <summary>Index of the identity that programs see; a new one after execve.</summary>
    public int Identity { get; set; }

    /// <summary>Address of the task_struct.</summary>
    public ulong Address { get; init; }

    /// <summary>Address of the user's registers on the kernel stack.</summary>
    public ulong UserRegs { get; init; }

    /// <summary>The CPU that it runs on or ran on last.</summary>
    public uint Cpu { get; set; }

    /// <summary>The call chain that it is in now.</summary>
    public int Stack { get; set; }

    public TaskState State { get; set; } = TaskState.New;

    /// <summary>Whether it waits in a run queue.</summary>
    public bool Queued { get; set; }

    /// <summary>Whether it is the current task of its CPU.</summary>
    public bool OnCpu { get; set; }

    /// <summary>A wakeup came before the task had gone to sleep.</summary>
    public bool WakePending { get; set; }

    /// <summary>When it was queued.</summary>
    public ulong QueuedNs { get; set; }

    /// <summary>When it began to run.</summary>
    public ulong SliceStartNs { get; set; }

    /// <summary>When it left the CPU.</summary>
    public ulong SwitchedOutNs { get; set; }

    /// <summary>Signals that wait for it.</summary>
    public Queue<int> Signals { get; } = new();

    /// <summary>What it is doing: the innermost routine on top.</summary>
    public Stack<IEnumerator<Step>> Frames { get; } = new();

    /// <summary>Open files by descriptor.</summary>
    public Dictionary<int, SimFile> Files { get; init; } = [];

    /// <summary>Result of the last nested routine, as a system call returns it.</summary>
    public long Result { get; set; }

    /// <summary>Kernel priority: 120 plus nice, as sched_switch shows it.</summary>
    public int Prio => Pid == 0 ? 120 : 120 + Nice;

    /// <summary>The lowest free descriptor from 3 on.</summary>
    public int NextFd()
    {
        int fd = 3;
        while (Files.ContainsKey(fd)) fd++;
        return fd;
    }
}

/// <summary>An open file, or a socket.</summary>
internal sealed class SimFile
{
    public required string Path { get; init; }

    /// <summary>Address of the struct file.</summary>
    public ulong Address { get; set; }

    public ulong Position { get; set; }

    public SimInode? Inode { get; init; }

    public SimSocket? Socket { get; init; }
}

/// <summary>A file of the simulated disk.</summary>
internal sealed class SimInode
{
    public required string Path { get; init; }

    public required ulong Number { get; init; }

    public ulong Size { get; set; } = 65536;

    /// <summary>Addresses of the struct inode and struct dentry, made at first use.</summary>
    public ulong Address { get; set; }

    public ulong DentryAddress { get; set; }

    public int DirtyPages { get; set; }
}

/// <summary>What a routine asks of the scheduler before it goes on.</summary>
internal enum StepKind { Run, Sleep, Block, Call, Exit }

/// <summary>One step of a routine: kernel or user code of a task, written as an iterator.</summary>
internal readonly record struct Step(StepKind Kind, ulong Ns = 0, TaskState State = TaskState.Interruptible, IEnumerator<Step>? Callee = null)
{
    /// <summary>Runs for some nanoseconds.</summary>
    public static Step Run(ulong ns) => new(StepKind.Run, ns);

    /// <summary>Sleeps until a timer fires.</summary>
    public static Step Sleep(ulong ns) => new(StepKind.Sleep, ns);

    /// <summary>Sleeps until somebody wakes the task.</summary>
    public static Step Block(TaskState state) => new(StepKind.Block, 0, state);

    /// <summary>Runs another routine to its end; its result is in <see cref="SimTask.Result"/>.</summary>
    public static Step Call(IEnumerator<Step> callee) => new(StepKind.Call, Callee: callee);

    /// <summary>The task is gone.</summary>
    public static Step Exit() => new(StepKind.Exit);
}
