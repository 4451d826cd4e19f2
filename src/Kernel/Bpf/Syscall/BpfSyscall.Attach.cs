using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// BPF_PROG_ATTACH, _DETACH and _QUERY: attaching without a link, to cgroups, sockets and devices. The simulation
/// has no cgroup directories and runs no programs on sockets or devices, so that after the kernel's checks of the
/// attributes there is nothing to attach to: EBADF, ENODEV or EOPNOTSUPP, never a success without effect.
/// </summary>
public sealed partial class BpfSyscall
{
    private const uint AllowOverride = 1, AllowMulti = 2, Replace = 4, Before = 8, After = 16, MprogId = 32, MprogLink = 64;
    private const uint AttachMask = AllowOverride | AllowMulti | Replace | Before | After | MprogId | MprogLink;

    /// <summary>BPF_PROG_ATTACH.</summary>
    public int ProgAttach(ProgAttachAttr attr) => Traced(BpfCommand.BPF_PROG_ATTACH, attr, AttachProgram(attr));

    /// <summary>BPF_PROG_DETACH.</summary>
    public int ProgDetach(ProgAttachAttr attr) => Traced(BpfCommand.BPF_PROG_DETACH, attr, DetachProgram(attr));

    /// <summary>BPF_PROG_QUERY: which programs are attached to a target: to a device, none.</summary>
    public int ProgQuery(ProgQueryAttr attr) => Traced(BpfCommand.BPF_PROG_QUERY, attr, QueryPrograms(attr));

    /// <summary>The network devices of a machine: the loopback and eth0.</summary>
    private static bool IsDevice(uint ifindex) => ifindex is 1 or 2;

    /// <summary>The program type that an attach type belongs to; null for those that only links know.</summary>
    private static ProgramType? ProgramTypeOf(AttachType type)
    {
        if (type is AttachType.PerfEvent or AttachType.XdpDevmap or AttachType.XdpCpumap or AttachType.SkReuseportSelect or AttachType.SkReuseportSelectOrMigrate
            or AttachType.Netfilter or AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession or AttachType.TraceUprobeMulti or AttachType.TraceUprobeSession)
            return null;
        if (type == AttachType.CgroupInetIngress) return ProgramType.CgroupSkb;
        foreach (SectionDefinition section in SectionTable.All)
            if (section.AttachType == (uint)type && section.AttachType != 0) return section.Type;
        return null;
    }

    private static bool IsCgroupType(ProgramType type, AttachType attachType) => type is ProgramType.CgroupDevice or ProgramType.CgroupSkb or ProgramType.CgroupSock
        or ProgramType.CgroupSockAddr or ProgramType.CgroupSockopt or ProgramType.CgroupSysctl or ProgramType.SockOps || (type == ProgramType.Lsm && attachType == AttachType.LsmCgroup);

    /// <summary>Whether a program may hang at places of this attach type: 0 or -EINVAL.</summary>
    private static int CheckAttachType(BpfProgram program, AttachType type)
    {
        uint expected = program.Attributes.ExpectedAttachType;
        bool fits = program.Type switch
        {
            ProgramType.CgroupSock or ProgramType.CgroupSockAddr or ProgramType.CgroupSockopt or ProgramType.SkLookup => (uint)type == expected,
            ProgramType.Ext => true,
            ProgramType.Netfilter => type == AttachType.Netfilter,
            ProgramType.PerfEvent or ProgramType.Tracepoint => type == AttachType.PerfEvent,
            ProgramType.Kprobe => (AttachType)expected switch
            {
                AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession or AttachType.TraceUprobeMulti or AttachType.TraceUprobeSession => (uint)type == expected,
                _ => type is AttachType.PerfEvent or AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession or AttachType.TraceUprobeMulti or AttachType.TraceUprobeSession,
            },
            ProgramType.SchedCls => type is AttachType.TcxIngress or AttachType.TcxEgress or AttachType.NetkitPrimary or AttachType.NetkitPeer,
            _ => ProgramTypeOf(type) == program.Type,
        };
        return fits ? 0 : -(int)Errno.EINVAL;
    }

    private int AttachProgram(ProgAttachAttr attr)
    {
        if (ProgramTypeOf(attr.AttachType) is not { } type) return -(int)Errno.EINVAL;
        bool multi = type == ProgramType.SchedCls || IsCgroupType(type, attr.AttachType);
        if ((attr.AttachFlags & ~AttachMask) != 0 || (!multi && (attr.RelativeFd != 0 || attr.ExpectedRevision != 0))) return -(int)Errno.EINVAL;
        int error = Resolve(attr.AttachBpfFd, out BpfProgram program);
        if (error != 0) return error;
        if (program.Type != type || CheckAttachType(program, attr.AttachType) != 0) return -(int)Errno.EINVAL;
        return NoTarget(type, attr.AttachType, attr.TargetFd);
    }

    private int DetachProgram(ProgAttachAttr attr)
    {
        if (ProgramTypeOf(attr.AttachType) is not { } type) return -(int)Errno.EINVAL;
        if (type == ProgramType.SchedCls)
        {
            if ((attr.AttachFlags & ~AttachMask) != 0) return -(int)Errno.EINVAL;
            if (attr.AttachBpfFd != 0)
            {
                int error = Resolve(attr.AttachBpfFd, out BpfProgram program);
                if (error != 0) return error;
                if (program.Type != type) return -(int)Errno.EINVAL;
            }
        }
        else if (attr.AttachFlags != 0 || attr.RelativeFd != 0 || (attr.ExpectedRevision != 0 && !IsCgroupType(type, attr.AttachType)))
        {
            return -(int)Errno.EINVAL;
        }
        return NoTarget(type, attr.AttachType, attr.TargetFd);
    }

    /// <summary>Why nothing can be attached there.</summary>
    private int NoTarget(ProgramType type, AttachType attachType, int target)
    {
        if (IsCgroupType(type, attachType)) return -(int)Errno.EBADF;
        switch (type)
        {
            case ProgramType.SkSkb or ProgramType.SkMsg:
                int error = Resolve(target, out MapObject _);
                return error != 0 ? error : -(int)Errno.EOPNOTSUPP;
            case ProgramType.LircMode2 or ProgramType.FlowDissector:
                return -(int)(Fds.Find(target) == null ? Errno.EBADF : Errno.EINVAL);
            case ProgramType.SchedCls when attachType is AttachType.TcxIngress or AttachType.TcxEgress:
                return -(int)(IsDevice((uint)target) ? Errno.EOPNOTSUPP : Errno.ENODEV);
            default:
                return -(int)Errno.EINVAL;
        }
    }

    private int QueryPrograms(ProgQueryAttr attr)
    {
        if (!_environment.Capabilities.Allows(Capabilities.Bpf)) return -(int)Errno.EPERM;
        if ((attr.QueryFlags & ~1u) != 0) return -(int)Errno.EINVAL;
        switch (attr.AttachType)
        {
            case AttachType.TcxIngress or AttachType.TcxEgress:
                if (attr.QueryFlags != 0 || attr.AttachFlags != 0) return -(int)Errno.EINVAL;
                if (!IsDevice((uint)attr.TargetFd)) return -(int)Errno.ENODEV;
                attr.Count = 0;
                attr.Revision = 1;
                return 0;
            case AttachType.FlowDissector or AttachType.SkLookup:
                return -(int)(Fds.Find(attr.TargetFd) == null ? Errno.EBADF : Errno.EINVAL);
            case AttachType.SkSkbStreamParser or AttachType.SkSkbStreamVerdict or AttachType.SkSkbVerdict or AttachType.SkMsgVerdict:
                if (attr.QueryFlags != 0) return -(int)Errno.EINVAL;
                int error = Resolve(attr.TargetFd, out MapObject map);
                if (error != 0) return error;
                if (map.Map.Spec.Type is not (MapType.Sockmap or MapType.Sockhash)) return -(int)Errno.EOPNOTSUPP;
                attr.Count = 0;
                return 0;
            default:
                return ProgramTypeOf(attr.AttachType) is { } type && IsCgroupType(type, attr.AttachType) ? -(int)Errno.EBADF : -(int)Errno.EINVAL;
        }
    }
}

/// <summary>What BPF_PROG_ATTACH and BPF_PROG_DETACH are given. Names are those of <c>union bpf_attr</c>.</summary>
public sealed record ProgAttachAttr
{
    /// <summary>target_fd or target_ifindex.</summary>
    public int TargetFd { get; init; }

    /// <summary>attach_bpf_fd: the program.</summary>
    public int AttachBpfFd { get; init; }

    /// <summary>attach_type.</summary>
    public AttachType AttachType { get; init; }

    /// <summary>attach_flags.</summary>
    public uint AttachFlags { get; init; }

    /// <summary>replace_bpf_fd.</summary>
    public int ReplaceBpfFd { get; init; }

    /// <summary>relative_fd or relative_id.</summary>
    public int RelativeFd { get; init; }

    /// <summary>expected_revision.</summary>
    public ulong ExpectedRevision { get; init; }
}

/// <summary>What BPF_PROG_QUERY is given; fields marked Out are written by the call.</summary>
public sealed record ProgQueryAttr
{
    /// <summary>target_fd or target_ifindex.</summary>
    public int TargetFd { get; init; }

    /// <summary>attach_type.</summary>
    public AttachType AttachType { get; init; }

    /// <summary>query_flags: BPF_F_QUERY_EFFECTIVE 1.</summary>
    public uint QueryFlags { get; init; }

    /// <summary>attach_flags.</summary>
    public uint AttachFlags { get; set; }

    /// <summary>Room for program ids; Out: how many programs there are.</summary>
    public uint Count { get; set; }

    /// <summary>Out: the revision of the list.</summary>
    public ulong Revision { get; set; }
}
