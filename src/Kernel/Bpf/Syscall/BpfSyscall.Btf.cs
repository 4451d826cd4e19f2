using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const int MaxBtfBytes = 16 * 1024 * 1024;

    /// <summary>BPF_BTF_LOAD: checks type information as the kernel does. Returns its descriptor or -errno; the log is in the attributes.</summary>
    public int BtfLoad(BtfLoadAttr attr) => Traced(BpfCommand.BPF_BTF_LOAD, attr, LoadBtf(attr));

    private int LoadBtf(BtfLoadAttr attr)
    {
        if ((attr.Flags & ~FlagTokenFd) != 0) return -(int)Errno.EINVAL;
        if ((attr.Flags & FlagTokenFd) != 0) return -(int)(Fds.Find(attr.TokenFd) == null ? Errno.EBADF : Errno.EINVAL);
        if (!_environment.Capabilities.Allows(Capabilities.Bpf)) return -(int)Errno.EPERM;
        if (attr.Btf.Length > MaxBtfBytes) return -(int)Errno.E2BIG;
        if ((attr.LogLevel & ~15u) != 0 || (attr.LogLevel == 0 && attr.LogSize != 0) || attr.LogSize > uint.MaxValue >> 2) return -(int)Errno.EINVAL;
        BtfData? data = null;
        BtfRefusal? refusal;
        string log = "";
        try
        {
            data = BtfData.Parse(attr.Btf);
            refusal = BtfValidator.Check(data);
            if (attr.LogLevel != 0) log = BtfLoadLog.Format(data, refusal);
        }
        catch (BtfException e)
        {
            // What cannot even be read; the kernel's words for it name no offset.
            refusal = new BtfRefusal(Errno.EINVAL, e.Message);
            log = e.Message + "\n";
        }
        int truncated = FinishBtfLog(attr, log);
        if (truncated != 0) return truncated;
        if (refusal != null) return -(int)refusal.Errno;
        var value = new BtfObject(attr.Btf, data!);
        _btfs.Add(value);
        return Fds.Install(value);
    }

    /// <summary>Hands the log to user space; one that does not fit keeps its end (with BPF_LOG_FIXED its beginning) and fails the load.</summary>
    private static int FinishBtfLog(BtfLoadAttr attr, string log)
    {
        if (attr.LogLevel == 0) return 0;
        attr.LogTrueSize = (uint)log.Length + 1;
        if (attr.LogSize == 0 || log.Length + 1 <= attr.LogSize)
        {
            attr.LogBuf = log;
            return 0;
        }
        int room = (int)attr.LogSize - 1;
        attr.LogBuf = (attr.LogLevel & 8) != 0 ? log[..room] : log[^room..];
        return -(int)Errno.ENOSPC;
    }
}
