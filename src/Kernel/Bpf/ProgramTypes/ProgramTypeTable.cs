using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;
using static BpfSim.Vm.Programs.ProgramType;

namespace BpfSim.Kernel.Bpf;

/// <summary>The program types of Linux 6.18: sections, contexts, helpers and return ranges.</summary>
public static class ProgramTypeTable
{
    private const int PtRegsSize = 168;
    private const int PerfMaxTraceSize = 8192;

    /// <summary>A row for every program type that can be loaded.</summary>
    public static IReadOnlyList<ProgramTypeInfo> Rows { get; } =
    [
        Row(SocketFilter, "socket_filter"), Row(Kprobe, "kprobe", CheckPtRegs, KprobeReturn), Row(SchedCls, "sched_cls"),
        Row(SchedAct, "sched_act"), Row(Tracepoint, "tracepoint", CheckTracepoint), Row(Xdp, "xdp"),
        Row(PerfEvent, "perf_event", CheckPerfEvent), Row(CgroupSkb, "cgroup_skb", null, CgroupSkbReturn),
        Row(CgroupSock, "cgroup_sock", null, Bool), Row(LwtIn, "lwt_in"), Row(LwtOut, "lwt_out"), Row(LwtXmit, "lwt_xmit"),
        Row(SockOps, "sock_ops", null, Bool), Row(SkSkb, "sk_skb"), Row(CgroupDevice, "cgroup_device", null, Bool), Row(SkMsg, "sk_msg"),
        Row(RawTracepoint, "raw_tracepoint", CheckRawTracepoint), Row(CgroupSockAddr, "cgroup_sock_addr", null, SockAddrReturn),
        Row(LwtSeg6local, "lwt_seg6local"), Row(LircMode2, "lirc_mode2", query => Plain(query, 4)), Row(SkReuseport, "sk_reuseport"),
        Row(FlowDissector, "flow_dissector"), Row(CgroupSysctl, "cgroup_sysctl", null, Bool),
        Row(RawTracepointWritable, "raw_tracepoint_writable", CheckRawTracepoint), Row(CgroupSockopt, "cgroup_sockopt", null, Bool),
        Row(Tracing, "tracing", TracingContext.Check, TracingReturn), Row(StructOps, "struct_ops", TracingContext.Check),
        Row(Ext, "ext", TracingContext.Check), Row(Lsm, "lsm", TracingContext.Check, LsmReturn), Row(SkLookup, "sk_lookup", null, Bool),
        Row(Syscall, "syscall", CheckSyscall), Row(Netfilter, "netfilter", null, Bool),
    ];

    private static readonly ProgramTypeInfo?[] s_byType = ByType();

    private static ProgramTypeInfo?[] ByType()
    {
        var byType = new ProgramTypeInfo?[(int)Netfilter + 1];
        for (int i = 0; i < Rows.Count; i++) byType[(int)Rows[i].Type] = Rows[i];
        return byType;
    }

    /// <summary>Most instructions that a loader with CAP_BPF may give.</summary>
    public const int MaxInsnsCapable = 1_000_000;

    /// <summary>Most instructions that a loader may give.</summary>
    public static int MaxInsns(Capabilities loader) => loader.Allows(Capabilities.Bpf) ? MaxInsnsCapable : 4096;

    /// <summary>What loading a program of a type takes, known or not.</summary>
    public static Capabilities Needs(ProgramType type) => type switch
    {
        SocketFilter or CgroupSkb => Capabilities.None,
        SchedCls or SchedAct or Xdp or LwtIn or LwtOut or LwtXmit or LwtSeg6local or SkSkb or SkMsg or FlowDissector or CgroupDevice
            or CgroupSock or CgroupSockAddr or CgroupSockopt or CgroupSysctl or SockOps or Netfilter => Capabilities.Bpf | Capabilities.NetAdmin,
        Kprobe or Tracepoint or PerfEvent or RawTracepoint or RawTracepointWritable or Tracing or Lsm or StructOps
            => Capabilities.Bpf | Capabilities.Perfmon,
        Ext => Capabilities.Bpf | Capabilities.NetAdmin | Capabilities.Perfmon,
        _ => Capabilities.Bpf,
    };

    /// <summary>The row of a type; null for Unspec and unknown numbers.</summary>
    public static ProgramTypeInfo? Find(ProgramType type) => (uint)type < (uint)s_byType.Length ? s_byType[(int)type] : null;

    private static ProgramTypeInfo Row(
        ProgramType type, string name, Func<ContextQuery, ContextAccess>? context = null,
        Func<ProgramAttributes, (long Min, long Max)?>? returns = null) => new()
        {
            Type = type,
            Name = name,
            Needs = Needs(type),
            Sections = [.. SectionTable.All.Where(s => s.Type == type)],
            CheckContext = context ?? (query => ContextRules.Check(name, query)),
            AllowsHelper = (program, id) => HelperAvailability.Allows(name, program, id),
            AllowsHelperAtTarget = HelperAvailability.AllowedAtTarget,
            FindKfunc = (program, kfunc) => KfuncTable.Find(name, program, kfunc),
            HelperVariant = HelperVariants.Select,
            ReturnRange = returns ?? (_ => null),
        };

    private static ContextAccess CheckPtRegs(ContextQuery query) =>
        !query.Write && query.Off >= 0 && query.Off + query.Size <= PtRegsSize && query.Off % query.Size == 0
            ? ContextAccess.Scalar : ContextAccess.Invalid;

    private static ContextAccess CheckPerfEvent(ContextQuery query) => ContextRules.Check("perf_event", query);

    // Negative offsets pass, as in the kernel, which compares them as large unsigned and as small signed numbers.
    private static ContextAccess CheckTracepoint(ContextQuery query) =>
        !query.Write && query.Off is not (>= 0 and < 8) && query.Off < PerfMaxTraceSize && query.Off % query.Size == 0
            ? ContextAccess.Scalar : ContextAccess.Invalid;

    private static ContextAccess CheckRawTracepoint(ContextQuery query)
    {
        if (query.Program.Type == RawTracepointWritable && query.Off == 0)
            return query.Size == 8 && !query.Write ? new ContextAccess(ContextAccessKind.TpBuffer) : ContextAccess.Invalid;
        return query.Off >= 0 && query.Off < 8 * TracingContext.MaxArgs && !query.Write && query.Off % query.Size == 0
            ? ContextAccess.Scalar : ContextAccess.Invalid;
    }

    private static ContextAccess CheckSyscall(ContextQuery query) =>
        query.Off is >= 0 and < ushort.MaxValue && query.Off % query.Size == 0 ? ContextAccess.Scalar : ContextAccess.Invalid;

    private static ContextAccess Plain(ContextQuery query, int size) =>
        query is { Off: 0, Write: false } && query.Size == size ? ContextAccess.Scalar : ContextAccess.Invalid;

    private static (long, long)? Bool(ProgramAttributes program) => (0, 1);

    private static (long, long)? KprobeReturn(ProgramAttributes program) =>
        (AttachType)program.ExpectedAttachType is AttachType.TraceKprobeSession or AttachType.TraceUprobeSession ? (0, 1) : null;

    private static (long, long)? CgroupSkbReturn(ProgramAttributes program) =>
        program.ExpectedAttachType == (uint)AttachType.CgroupInetEgress ? (0, 3) : (0, 1);

    private static (long, long)? SockAddrReturn(ProgramAttributes program) => (AttachType)program.ExpectedAttachType switch
    {
        AttachType.CgroupUdp4Recvmsg or AttachType.CgroupUdp6Recvmsg or AttachType.CgroupUnixRecvmsg or AttachType.CgroupInet4Getpeername
            or AttachType.CgroupInet6Getpeername or AttachType.CgroupUnixGetpeername or AttachType.CgroupInet4Getsockname
            or AttachType.CgroupInet6Getsockname or AttachType.CgroupUnixGetsockname => (1, 1),
        AttachType.CgroupInet4Bind or AttachType.CgroupInet6Bind => (0, 3),
        _ => (0, 1),
    };

    private static (long, long)? TracingReturn(ProgramAttributes program) => (AttachType)program.ExpectedAttachType switch
    {
        AttachType.TraceFentry or AttachType.TraceFexit => (0, 0),
        AttachType.TraceIter => (0, 1),
        _ => null,
    };

    /// <summary>The hooks that answer yes or no; all others answer 0 or a negative error.</summary>
    private static bool AnswersYesOrNo(string hook) =>
        hook is "bpf_lsm_xfrm_state_pol_flow_match" or "bpf_lsm_audit_rule_known" or "bpf_lsm_inode_xattr_skipcap";

    private static (long, long)? LsmReturn(ProgramAttributes program)
    {
        (string Name, BtfType Proto)? target = TracingContext.Target(program);
        bool returnsNothing = target is { Proto.TypeId: 0 };
        if (program.ExpectedAttachType == (uint)AttachType.LsmCgroup) return returnsNothing ? (1, 1) : (0, 1);
        if (returnsNothing) return null;
        return target is { } hook && AnswersYesOrNo(hook.Name) ? (0, 1) : (-4095, 0);
    }
}
