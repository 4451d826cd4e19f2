using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const uint FlagPathFd = 1u << 14;

    /// <summary>BPF_F_PATH_FD: the simulated process has no descriptors of directories, so none to begin a path at.</summary>
    private int RelativePath(int pathFd) => -(int)(Fds.Find(pathFd) == null ? Errno.EBADF : Errno.ENOTDIR);

    /// <summary>The simulated bpffs.</summary>
    public BpfFileSystem FileSystem { get; } = new();

    /// <summary>BPF_OBJ_PIN: a map, program or link gets a path under /sys/fs/bpf and lives on without descriptors.</summary>
    public int ObjPin(int fd, string path, uint fileFlags = 0, int pathFd = 0)
    {
        int result = (fileFlags & ~FlagPathFd) != 0 || (pathFd != 0 && (fileFlags & FlagPathFd) == 0) ? -(int)Errno.EINVAL
            : (fileFlags & FlagPathFd) != 0 && path is [not '/', ..] ? RelativePath(pathFd)
            : Fds.Find(fd) is not { } value || value is not (BpfProgram or MapObject or BpfLink) ? -(int)Errno.EINVAL
            : FileSystem.Pin(path, value);
        return Traced(BpfCommand.BPF_OBJ_PIN, new ObjAttr(path, fd, fileFlags), result);
    }

    /// <summary>BPF_OBJ_GET: a new descriptor of a pinned object.</summary>
    public int ObjGet(string path, uint fileFlags = 0, int pathFd = 0)
    {
        int result;
        if ((fileFlags & ~(FlagRdonly | FlagWronly | FlagPathFd)) != 0 || (fileFlags & (FlagRdonly | FlagWronly)) == (FlagRdonly | FlagWronly)
            || (pathFd != 0 && (fileFlags & FlagPathFd) == 0))
        {
            result = -(int)Errno.EINVAL;
        }
        else if ((fileFlags & FlagPathFd) != 0 && path is [not '/', ..])
        {
            result = RelativePath(pathFd);
        }
        else
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
