using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    /// <summary>The simulated bpffs.</summary>
    public BpfFileSystem FileSystem { get; } = new();

    /// <summary>BPF_OBJ_PIN: a map, program or link gets a path under /sys/fs/bpf and lives on without descriptors.</summary>
    public int ObjPin(int fd, string path, uint fileFlags = 0)
    {
        int result = fileFlags != 0 ? -(int)Errno.EINVAL
            : Fds.Find(fd) is not { } value || value is BtfObject ? -(int)Errno.EINVAL
            : FileSystem.Pin(path, value);
        return Traced(BpfCommand.BPF_OBJ_PIN, new ObjAttr(path, fd, fileFlags), result);
    }

    /// <summary>BPF_OBJ_GET: a new descriptor of a pinned object.</summary>
    public int ObjGet(string path, uint fileFlags = 0)
    {
        int result = -(int)Errno.EINVAL;
        if ((fileFlags & ~(FlagRdonly | FlagWronly)) == 0 && fileFlags != (FlagRdonly | FlagWronly))
        {
            result = FileSystem.Find(path, out KernelObject? value);
            if (result == 0)
            {
                value!.Get();
                result = Fds.Install(value);
            }
        }
        return Traced(BpfCommand.BPF_OBJ_GET, new ObjAttr(path, 0, fileFlags), result);
    }
}

/// <summary>What BPF_OBJ_PIN and BPF_OBJ_GET are given.</summary>
public sealed record ObjAttr(string Pathname, int BpfFd, uint FileFlags);
