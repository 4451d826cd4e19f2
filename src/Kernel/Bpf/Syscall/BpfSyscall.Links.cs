using BpfSim.Kernel.Attach;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const uint MultiReturn = 1;
    private readonly IdTable<BpfLink> _links = new();

    /// <summary>All live links, ascending by id.</summary>
    public IReadOnlyList<BpfLink> Links => _links.All;

    /// <summary>The link behind a descriptor, or null. No reference is taken.</summary>
    public BpfLink? FindLink(int fd) => Fds.Find(fd) as BpfLink;

    /// <summary>perf_event_open(2): a descriptor, -ENOENT for an unknown function or tracepoint, -EINVAL.</summary>
    public int PerfEventOpen(PerfEventAttr attr)
    {
        switch (attr.Type)
        {
            case PerfEventType.Kprobe when !CanProbe(attr.Target):
            case PerfEventType.Tracepoint when !Hooks.IsKnownTracepoint(attr.Target):
                return -(int)Errno.ENOENT;
            case PerfEventType.Kprobe when attr is { IsReturn: true, Offset: not 0 }:
                return -(int)Errno.EINVAL;
            case PerfEventType.Software or PerfEventType.Hardware when attr.Cpu >= (int)_environment.Cpus:
                return -(int)Errno.ENODEV;
        }
        const ulong BpfOutput = 10;
        bool ring = attr is { Type: PerfEventType.Software, Config: BpfOutput };
        var value = new PerfEventObject(attr) { Buffer = ring ? new PerfEventBuffer((uint)Math.Max(0, attr.Cpu), attr.BufferPages) : null };
        return Fds.Install(value);
    }

    /// <summary>BPF_LINK_CREATE: hangs a program on its hooks. Returns the link's descriptor or -errno.</summary>
    public int LinkCreate(LinkCreateAttr attr) => Traced(BpfCommand.BPF_LINK_CREATE, attr, CreateLink(attr));

    /// <summary>BPF_RAW_TRACEPOINT_OPEN: by tracepoint name for raw_tracepoint programs; without a name for programs whose target was fixed at load.</summary>
    public int RawTracepointOpen(string? name, int progFd, ulong cookie = 0)
    {
        int result = Resolve(progFd, out BpfProgram program);
        if (result == 0)
        {
            result = program.Type switch
            {
                ProgramType.RawTracepoint or ProgramType.RawTracepointWritable when name == null => -(int)Errno.EFAULT,
                ProgramType.RawTracepoint or ProgramType.RawTracepointWritable => OpenRawTracepoint(program, name, cookie),
                ProgramType.Tracing or ProgramType.Ext or ProgramType.Lsm when name != null => -(int)Errno.EINVAL,
                ProgramType.Tracing or ProgramType.Lsm => AttachTracing(program, cookie),
                _ => -(int)Errno.EINVAL,
            };
        }
        return Traced(BpfCommand.BPF_RAW_TRACEPOINT_OPEN, new RawTracepointAttr(name, progFd, cookie), result);
    }

    /// <summary>BPF_LINK_UPDATE. Links of tracing programs cannot change their program: -EINVAL, as in the kernel.</summary>
    public int LinkUpdate(int linkFd, int newProgFd, uint flags = 0, int oldProgFd = 0)
    {
        int result = (flags & ~4u) != 0 ? -(int)Errno.EINVAL : Resolve(linkFd, out BpfLink link) is var error and not 0 ? error : Update(link);
        return Traced(BpfCommand.BPF_LINK_UPDATE, new LinkUpdateAttr(linkFd, newProgFd, flags, oldProgFd), result);

        // Iterators take another program of the same kind; what hangs on events never does.
        int Update(BpfLink link)
        {
            int error = Resolve(newProgFd, out BpfProgram program);
            if (error != 0) return error;
            if ((flags & 4) != 0)
            {
                error = Resolve(oldProgFd, out BpfProgram old);
                if (error != 0) return error;
                if (link.Type == BpfLinkType.Iter && old != link.Program) return -(int)Errno.EPERM;
            }
            else if (oldProgFd != 0)
            {
                return -(int)Errno.EINVAL;
            }
            if (link.Type != BpfLinkType.Iter || program.Type != link.Program.Type
                || program.Attributes.ExpectedAttachType != link.Program.Attributes.ExpectedAttachType || program.Attributes.AttachBtfId != link.Program.Attributes.AttachBtfId)
                return -(int)Errno.EINVAL;
            link.Replace(program);
            return 0;
        }
    }

    /// <summary>BPF_LINK_DETACH: -EOPNOTSUPP for the kinds of links that tracing has, as in the kernel.</summary>
    public int LinkDetach(int linkFd)
    {
        int result = Resolve(linkFd, out BpfLink link);
        if (result == 0)
        {
            if (link.Type is BpfLinkType.Xdp or BpfLinkType.Cgroup or BpfLinkType.Netns or BpfLinkType.Tcx or BpfLinkType.StructOps)
                link.Detach();
            else
                result = -(int)Errno.EOPNOTSUPP;
        }
        return Traced(BpfCommand.BPF_LINK_DETACH, new IdAttr((uint)linkFd, 0), result);
    }

    private HookTable Hooks => _environment.Hooks;

    private bool CanProbe(string function) => Hooks.IsKnownFunction(function) || Hooks.IsSimulated(function);

    private int CreateLink(LinkCreateAttr attr)
    {
        if (attr.AttachType == AttachType.StructOps) return Resolve(attr.ProgFd, out MapObject _) is var e and not 0 ? e : -(int)Errno.EINVAL;
        int error = Resolve(attr.ProgFd, out BpfProgram program);
        if (error == 0) error = CheckAttachType(program, attr.AttachType);
        if (error != 0) return error;
        return (program.Type, attr.AttachType) switch
        {
            (ProgramType.Netfilter, _) => RefuseNetfilter(attr),
            (ProgramType.Xdp, _) => (attr.Flags & ~0xfu) != 0 || !IsDevice((uint)attr.TargetFd) ? -(int)Errno.EINVAL : -(int)Errno.EOPNOTSUPP,
            (ProgramType.SchedCls, AttachType.TcxIngress or AttachType.TcxEgress) => NoTarget(program.Type, attr.AttachType, attr.TargetFd),
            (ProgramType.SkSkb or ProgramType.SkMsg, _) => attr.Flags != 0 ? -(int)Errno.EINVAL : NoTarget(program.Type, attr.AttachType, attr.TargetFd),
            (var type, var place) when IsCgroupType(type, place) => (attr.Flags & ~AttachMask) != 0 ? -(int)Errno.EINVAL : -(int)Errno.EBADF,

            (ProgramType.Kprobe, AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession) => AttachKprobeMulti(program, attr),
            (ProgramType.Kprobe, AttachType.TraceUprobeMulti or AttachType.TraceUprobeSession) => AttachUprobeMulti(program, attr),
            (ProgramType.Kprobe or ProgramType.Tracepoint or ProgramType.PerfEvent, AttachType.PerfEvent) => AttachPerfEvent(program, attr),
            (ProgramType.RawTracepoint or ProgramType.RawTracepointWritable, _) => -(int)Errno.EINVAL,
            (ProgramType.Tracing, _) when (uint)attr.AttachType != program.Attributes.ExpectedAttachType => -(int)Errno.EINVAL,
            (ProgramType.Tracing, AttachType.TraceIter) => AttachIterator(program, attr),
            (ProgramType.Tracing or ProgramType.Lsm, _) => AttachTracing(program, attr.Cookie),
            _ => -(int)Errno.EINVAL,
        };
    }

    /// <summary>Netfilter programs: the kernel's checks, then EOPNOTSUPP, because no packet of the simulation passes netfilter.</summary>
    private static int RefuseNetfilter(LinkCreateAttr attr)
    {
        const uint ipv4 = 2, ipv6 = 10, hooks = 5, defragment = 1;
        const int first = int.MinValue, last = int.MaxValue;
        if (attr.Flags != 0) return -(int)Errno.EINVAL;
        if (attr.NetfilterPf is not (ipv4 or ipv6)) return -AddressFamilyNotSupported;
        if (attr.NetfilterHooknum >= hooks) return -(int)Errno.EPROTO;
        if ((attr.NetfilterFlags & ~defragment) != 0) return -(int)Errno.EOPNOTSUPP;
        if (attr.NetfilterPriority is first or last) return -(int)Errno.ERANGE;
        return -(int)Errno.EOPNOTSUPP;
    }

    private const int AddressFamilyNotSupported = 97;

    private Attachment NewAttachment(SiteKind site, string name, HookKind kind, BpfProgram program, ulong cookie, uint pid = 0, bool session = false) =>
        new(Hooks.Site(site, name), kind, program, cookie, _environment.Cpus) { PidFilter = pid, IsSession = session };

    private int Install(BpfLink link)
    {
        _links.Add(link);
        return Fds.Install(link);
    }

    private int AttachPerfEvent(BpfProgram program, LinkCreateAttr attr)
    {
        if (attr.Flags != 0) return -(int)Errno.EINVAL;
        if (Fds.Find(attr.TargetFd) is not PerfEventObject perfEvent) return -(int)Errno.EBADF;
        PerfEventAttr what = perfEvent.Attr;
        ProgramType wanted = what.Type switch
        {
            PerfEventType.Kprobe or PerfEventType.Uprobe => ProgramType.Kprobe,
            PerfEventType.Tracepoint => ProgramType.Tracepoint,
            _ => ProgramType.PerfEvent,
        };
        if (program.Type != wanted) return -(int)Errno.EINVAL;
        Attachment attachment = what.Type switch
        {
            PerfEventType.Kprobe when what.IsReturn => NewAttachment(SiteKind.FunctionReturn, what.Target, HookKind.Kretprobe, program, attr.Cookie),
            PerfEventType.Kprobe => NewAttachment(SiteKind.FunctionEntry, what.Target, HookKind.Kprobe, program, attr.Cookie),
            PerfEventType.Uprobe => NewAttachment(what.IsReturn ? SiteKind.UserReturn : SiteKind.UserEntry, $"{what.Target}:0x{what.Offset:x}",
                what.IsReturn ? HookKind.Uretprobe : HookKind.Uprobe, program, attr.Cookie, what.Pid > 0 ? (uint)what.Pid : 0),
            PerfEventType.Tracepoint => NewAttachment(SiteKind.Tracepoint, what.Target, HookKind.Tracepoint, program, attr.Cookie),
            _ => NewAttachment(SiteKind.Sample, SampleSiteName(what), HookKind.PerfEvent, program, attr.Cookie, what.Pid > 0 ? (uint)what.Pid : 0),
        };
        perfEvent.Get();
        return Install(new BpfLink(Hooks, BpfLinkType.PerfEvent, AttachType.PerfEvent, program, [attachment])
        {
            Target = what.Target,
            PerfEvent = perfEvent,
        });
    }

    /// <summary>The site that the samples of an event pass: one a CPU, or all CPUs, and rate.</summary>
    internal static string SampleSiteName(PerfEventAttr attr)
    {
        ulong period = attr.SampleFrequency != 0 ? 1_000_000_000 / attr.SampleFrequency : attr.SamplePeriod;
        return $"{(attr.Type == PerfEventType.Hardware ? "hardware" : "software")}:{attr.Config}:{period}:{(attr.Cpu < 0 ? "all" : attr.Cpu.ToString())}";
    }

    private int AttachKprobeMulti(BpfProgram program, LinkCreateAttr attr)
    {
        bool session = attr.AttachType == AttachType.TraceKprobeSession;
        if (program.Attributes.ExpectedAttachType != (uint)attr.AttachType || attr.Flags != 0) return -(int)Errno.EINVAL;
        if ((attr.MultiFlags & ~MultiReturn) != 0 || (attr.Syms == null) == (attr.Addrs == null)) return -(int)Errno.EINVAL;
        IReadOnlyList<string> names = attr.Syms ?? [.. attr.Addrs!.Select(a => KernelSymbols.NameOf(a) ?? "")];
        if (names.Count == 0 || (attr.Cookies != null && attr.Cookies.Count != names.Count)) return -(int)Errno.EINVAL;
        if (names.Count > 1 << 20) return -(int)Errno.E2BIG;
        var attachments = new List<Attachment>();
        for (int i = 0; i < names.Count; i++)
        {
            if (!CanProbe(names[i])) return -(int)Errno.ESRCH;
            ulong cookie = attr.Cookies?[i] ?? 0;
            bool onReturn = (attr.MultiFlags & MultiReturn) != 0;
            if (session || !onReturn) attachments.Add(NewAttachment(SiteKind.FunctionEntry, names[i], HookKind.Kprobe, program, cookie, session: session));
            if (session || onReturn) attachments.Add(NewAttachment(SiteKind.FunctionReturn, names[i], HookKind.Kretprobe, program, cookie, session: session));
        }
        return Install(new BpfLink(Hooks, BpfLinkType.KprobeMulti, attr.AttachType, program, attachments) { Target = string.Join(' ', names) });
    }

    private int AttachUprobeMulti(BpfProgram program, LinkCreateAttr attr)
    {
        bool session = attr.AttachType == AttachType.TraceUprobeSession;
        if (program.Attributes.ExpectedAttachType != (uint)attr.AttachType || attr.Flags != 0) return -(int)Errno.EINVAL;
        if ((attr.MultiFlags & ~MultiReturn) != 0 || attr.Path == null || attr.Offsets is not { Count: > 0 }) return -(int)Errno.EINVAL;
        if (attr.Cookies != null && attr.Cookies.Count != attr.Offsets.Count) return -(int)Errno.EINVAL;
        var attachments = new List<Attachment>();
        for (int i = 0; i < attr.Offsets.Count; i++)
        {
            string name = $"{attr.Path}:0x{attr.Offsets[i]:x}";
            ulong cookie = attr.Cookies?[i] ?? 0;
            bool onReturn = (attr.MultiFlags & MultiReturn) != 0;
            if (session || !onReturn) attachments.Add(NewAttachment(SiteKind.UserEntry, name, HookKind.Uprobe, program, cookie, attr.Pid, session));
            if (session || onReturn) attachments.Add(NewAttachment(SiteKind.UserReturn, name, HookKind.Uretprobe, program, cookie, attr.Pid, session));
        }
        return Install(new BpfLink(Hooks, BpfLinkType.UprobeMulti, attr.AttachType, program, attachments) { Target = attr.Path });
    }

    private int OpenRawTracepoint(BpfProgram program, string name, ulong cookie)
    {
        string? category = Hooks.FindCategory(name);
        if (category == null) return -(int)Errno.ENOENT;
        Attachment attachment = NewAttachment(SiteKind.Tracepoint, $"{category}:{name}", HookKind.RawTracepoint, program, cookie);
        return Install(new BpfLink(Hooks, BpfLinkType.RawTracepoint, 0, program, [attachment]) { Target = name });
    }

    /// <summary>fentry, fexit, tp_btf and their like: the target was named by its BTF id when the program was loaded.</summary>
    private int AttachTracing(BpfProgram program, ulong cookie)
    {
        uint btfId = program.Attributes.AttachBtfId;
        if (_environment.KernelBtf?.Find(btfId) is not { } type || btfId == 0) return -(int)Errno.EINVAL;
        var attachType = (AttachType)program.Attributes.ExpectedAttachType;
        string name = type.Name;
        Attachment attachment;
        switch (attachType)
        {
            case AttachType.TraceRawTp:
                name = name.StartsWith("btf_trace_", StringComparison.Ordinal) ? name["btf_trace_".Length..] : name;
                if (Hooks.FindCategory(name) is not { } category) return -(int)Errno.ENOENT;
                attachment = NewAttachment(SiteKind.Tracepoint, $"{category}:{name}", HookKind.RawTracepoint, program, cookie);
                break;
            case AttachType.TraceFexit or AttachType.ModifyReturn:
                attachment = NewAttachment(SiteKind.FunctionReturn, name, HookKind.Fexit, program, cookie);
                break;
            case AttachType.TraceFentry or AttachType.LsmMac:
                attachment = NewAttachment(SiteKind.FunctionEntry, name, HookKind.Fentry, program, cookie);
                break;
            default:
                return -(int)Errno.EINVAL;
        }
        if (attachment.Site.Attachments.Any(a => a.Program == program && a.Kind == attachment.Kind)) return -(int)Errno.EBUSY;
        return Install(new BpfLink(Hooks, BpfLinkType.Tracing, attachType, program, [attachment]) { Target = name, TargetBtfId = btfId });
    }
}

/// <summary>What BPF_RAW_TRACEPOINT_OPEN is given.</summary>
public sealed record RawTracepointAttr(string? Name, int ProgFd, ulong Cookie);

/// <summary>What BPF_LINK_UPDATE is given.</summary>
public sealed record LinkUpdateAttr(int LinkFd, int NewProgFd, uint Flags, int OldProgFd);
