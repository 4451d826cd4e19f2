using BpfSim.Kernel.Attach;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    /// <summary>The process that the descriptors belong to, as BPF_TASK_FD_QUERY knows it: the process that runs the simulation.</summary>
    public static uint LoaderPid => (uint)Environment.ProcessId;

    /// <summary>
    /// BPF_TASK_FD_QUERY: what the perf event or raw tracepoint behind a process's descriptor observes, and which
    /// program is on it. -ENOENT for other processes and for events without a program, -ENOTSUPP for other descriptors.
    /// </summary>
    public int TaskFdQuery(TaskFdQueryAttr attr) => Traced(BpfCommand.BPF_TASK_FD_QUERY, attr, QueryTaskFd(attr));

    private int QueryTaskFd(TaskFdQueryAttr attr)
    {
        if (!_environment.Capabilities.Allows(Capabilities.SysAdmin)) return -(int)Errno.EPERM;
        if (attr.Flags != 0) return -(int)Errno.EINVAL;
        if (attr.Pid != LoaderPid) return -(int)Errno.ENOENT;
        switch (Fds.Find(attr.Fd))
        {
            case null:
                return -(int)Errno.EBADF;
            case BpfLink { Type: BpfLinkType.RawTracepoint } link:
                return Answer(link.Program, TaskFdType.RawTracepoint, link.Target, 0, 0);
            case PerfEventObject perfEvent:
                BpfProgram? program = _links.All.FirstOrDefault(l => l.PerfEvent == perfEvent && l.IsAttached)?.Program;
                if (program == null) return -(int)Errno.ENOENT;
                if (program.Type == ProgramType.PerfEvent) return -(int)Errno.EOPNOTSUPP;
                PerfEventAttr what = perfEvent.Attr;
                return what.Type switch
                {
                    PerfEventType.Tracepoint => Answer(program, TaskFdType.Tracepoint, what.Target[(what.Target.IndexOf(':') + 1)..], 0, 0),
                    PerfEventType.Kprobe => Answer(program, what.IsReturn ? TaskFdType.Kretprobe : TaskFdType.Kprobe, what.Target, what.Offset,
                        KernelSymbols.AddressOf(what.Target) + what.Offset),
                    _ => Answer(program, what.IsReturn ? TaskFdType.Uretprobe : TaskFdType.Uprobe, what.Target, what.Offset, 0),
                };
            default:
                return -(int)Errno.ENOTSUPP;
        }

        int Answer(BpfProgram program, TaskFdType type, string text, ulong offset, ulong address)
        {
            attr.ProgId = program.Id;
            attr.FdType = type;
            attr.Buf = text;
            attr.ProbeOffset = offset;
            attr.ProbeAddr = address;
            return 0;
        }
    }
}

/// <summary>What a descriptor observes (enum bpf_task_fd_type).</summary>
public enum TaskFdType : uint { RawTracepoint, Tracepoint, Kprobe, Kretprobe, Uprobe, Uretprobe }

/// <summary>What BPF_TASK_FD_QUERY is given; fields marked Out are written by the call.</summary>
public sealed record TaskFdQueryAttr
{
    /// <summary>pid: <see cref="BpfSyscall.LoaderPid"/>.</summary>
    public uint Pid { get; init; }

    /// <summary>fd in that process.</summary>
    public int Fd { get; init; }

    /// <summary>flags, must be 0.</summary>
    public uint Flags { get; init; }

    /// <summary>Out: what is observed: a function, a tracepoint's name, a path.</summary>
    public string Buf { get; set; } = "";

    /// <summary>Out: the program's id.</summary>
    public uint ProgId { get; set; }

    /// <summary>Out: the kind of event.</summary>
    public TaskFdType FdType { get; set; }

    /// <summary>Out: offset into the function or file.</summary>
    public ulong ProbeOffset { get; set; }

    /// <summary>Out: address of a kernel probe.</summary>
    public ulong ProbeAddr { get; set; }
}
