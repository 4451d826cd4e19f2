using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    /// <summary>BPF_PROG_GET_NEXT_ID: the smallest program id above <paramref name="start"/>, or -ENOENT.</summary>
    public int ProgGetNextId(uint start, out uint next) => NextId(BpfCommand.BPF_PROG_GET_NEXT_ID, start, _programs.NextId(start), out next);

    /// <summary>BPF_MAP_GET_NEXT_ID.</summary>
    public int MapGetNextId(uint start, out uint next) => NextId(BpfCommand.BPF_MAP_GET_NEXT_ID, start, _maps.NextId(start), out next);

    /// <summary>BPF_BTF_GET_NEXT_ID.</summary>
    public int BtfGetNextId(uint start, out uint next) => NextId(BpfCommand.BPF_BTF_GET_NEXT_ID, start, _btfs.NextId(start), out next);

    /// <summary>BPF_LINK_GET_NEXT_ID.</summary>
    public int LinkGetNextId(uint start, out uint next) => NextId(BpfCommand.BPF_LINK_GET_NEXT_ID, start, _links.NextId(start), out next);

    /// <summary>BPF_PROG_GET_FD_BY_ID: a new descriptor, or -ENOENT.</summary>
    public int ProgGetFdById(uint id) => FdById(BpfCommand.BPF_PROG_GET_FD_BY_ID, id, _programs.Find(id));

    /// <summary>BPF_MAP_GET_FD_BY_ID.</summary>
    public int MapGetFdById(uint id, uint openFlags = 0)
    {
        if ((openFlags & ~(FlagRdonly | FlagWronly)) != 0 || openFlags == (FlagRdonly | FlagWronly))
            return Traced(BpfCommand.BPF_MAP_GET_FD_BY_ID, new IdAttr(id, 0), -(int)Errno.EINVAL);
        return FdById(BpfCommand.BPF_MAP_GET_FD_BY_ID, id, _maps.Find(id));
    }

    /// <summary>BPF_BTF_GET_FD_BY_ID.</summary>
    public int BtfGetFdById(uint id) => FdById(BpfCommand.BPF_BTF_GET_FD_BY_ID, id, _btfs.Find(id));

    /// <summary>BPF_LINK_GET_FD_BY_ID.</summary>
    public int LinkGetFdById(uint id) => FdById(BpfCommand.BPF_LINK_GET_FD_BY_ID, id, _links.Find(id));

    private int NextId(BpfCommand command, uint start, uint found, out uint next)
    {
        next = found;
        int result = start >= int.MaxValue ? -(int)Errno.EINVAL
            : !_environment.Capabilities.Allows(Capabilities.SysAdmin) ? -(int)Errno.EPERM
            : found == 0 ? -(int)Errno.ENOENT : 0;
        return Traced(command, new IdAttr(start, found), result);
    }

    private int FdById(BpfCommand command, uint id, KernelObject? value)
    {
        int result = !_environment.Capabilities.Allows(Capabilities.SysAdmin) ? -(int)Errno.EPERM : -(int)Errno.ENOENT;
        if (_environment.Capabilities.Allows(Capabilities.SysAdmin) && value != null)
        {
            value.Get();
            result = Fds.Install(value);
        }
        return Traced(command, new IdAttr(id, 0), result);
    }
}

/// <summary>What the commands by id are given: an id, and for GET_NEXT_ID the one that was found.</summary>
public sealed record IdAttr(uint Id, uint NextId);
