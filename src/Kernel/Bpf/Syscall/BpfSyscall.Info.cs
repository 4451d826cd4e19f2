using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    /// <summary>BPF_OBJ_GET_INFO_BY_FD: the program, map, BTF or link behind a descriptor, which carries what the kernel's info structures do; null if there is none.</summary>
    public KernelObject? ObjGetInfoByFd(int fd)
    {
        KernelObject? value = Fds.Find(fd);
        if (value is not (BpfProgram or MapObject or BtfObject or BpfLink)) value = null;
        // This command alone says EBADFD for a descriptor that is not open.
        int result = Fds.Find(fd) == null ? -(int)Errno.EBADFD : value == null ? -(int)Errno.EINVAL : 0;
        Traced(BpfCommand.BPF_OBJ_GET_INFO_BY_FD, new InfoAttr(fd, value switch { BpfProgram => 232u, MapObject => 104u, BtfObject => 32u, _ => 64u }), result);
        return value;
    }

    /// <summary>Id of the kernel's own BTF, 0 if the machine has none.</summary>
    private uint KernelBtfId { get; }

    /// <summary>BPF_ENABLE_STATS: programs count and time their runs until the descriptor is closed.</summary>
    public int EnableStats(uint type = 0)
    {
        int result = !_environment.Capabilities.Allows(Capabilities.SysAdmin) ? -(int)Errno.EPERM : type != 0 ? -(int)Errno.EINVAL : 0;
        if (result == 0)
        {
            _environment.Kernel.EnableStats();
            result = Fds.Install(new StatsObject(_environment.Kernel));
        }
        return Traced(BpfCommand.BPF_ENABLE_STATS, type, result);
    }

    private sealed class StatsObject(KernelState kernel) : KernelObject
    {
        protected override void Release() => kernel.DisableStats();
    }
}

/// <summary>What BPF_OBJ_GET_INFO_BY_FD is given.</summary>
public sealed record InfoAttr(int BpfFd, uint InfoLen);
