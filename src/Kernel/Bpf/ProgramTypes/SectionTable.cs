using BpfSim.Vm.Programs;
using static BpfSim.Vm.Programs.ProgramType;
using static BpfSim.Vm.Programs.SectionFlags;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The SEC() names that libbpf 1.6 knows, with the program type, expected attach type and load flags that each
/// stands for. A name ending in <c>+</c> may stand alone or before <c>/target</c>; any other name must match whole.
/// </summary>
public static class SectionTable
{
    private const SectionFlags Opt = AttachTypeOptional;
    private const SectionFlags Btf = AttachBtf;
    private const SectionFlags BtfSleepable = AttachBtf | Sleepable;

    /// <summary>All names.</summary>
    public static IReadOnlyList<SectionDefinition> All { get; } =
    [
        new("socket", SocketFilter, 0),
        new("sk_reuseport/migrate", SkReuseport, (uint)AttachType.SkReuseportSelectOrMigrate),
        new("sk_reuseport", SkReuseport, (uint)AttachType.SkReuseportSelect),

        new("kprobe+", Kprobe, 0),
        new("kretprobe+", Kprobe, 0),
        new("uprobe+", Kprobe, 0, UserTarget),
        new("uretprobe+", Kprobe, 0, UserTarget),
        new("uprobe.s+", Kprobe, 0, UserTarget | Sleepable),
        new("uretprobe.s+", Kprobe, 0, UserTarget | Sleepable),
        new("kprobe.multi+", Kprobe, (uint)AttachType.TraceKprobeMulti),
        new("kretprobe.multi+", Kprobe, (uint)AttachType.TraceKprobeMulti),
        new("kprobe.session+", Kprobe, (uint)AttachType.TraceKprobeSession),
        new("uprobe.multi+", Kprobe, (uint)AttachType.TraceUprobeMulti, UserTarget),
        new("uretprobe.multi+", Kprobe, (uint)AttachType.TraceUprobeMulti, UserTarget),
        new("uprobe.session+", Kprobe, (uint)AttachType.TraceUprobeSession, UserTarget),
        new("uprobe.multi.s+", Kprobe, (uint)AttachType.TraceUprobeMulti, UserTarget | Sleepable),
        new("uretprobe.multi.s+", Kprobe, (uint)AttachType.TraceUprobeMulti, UserTarget | Sleepable),
        new("uprobe.session.s+", Kprobe, (uint)AttachType.TraceUprobeSession, UserTarget | Sleepable),
        new("ksyscall+", Kprobe, 0),
        new("kretsyscall+", Kprobe, 0),
        new("usdt+", Kprobe, 0, UserTarget),
        new("usdt.s+", Kprobe, 0, UserTarget | Sleepable),

        new("tc/ingress", SchedCls, (uint)AttachType.TcxIngress),
        new("tc/egress", SchedCls, (uint)AttachType.TcxEgress),
        new("tcx/ingress", SchedCls, (uint)AttachType.TcxIngress),
        new("tcx/egress", SchedCls, (uint)AttachType.TcxEgress),
        new("tc", SchedCls, 0),
        new("classifier", SchedCls, 0),
        new("action", SchedAct, 0),
        new("netkit/primary", SchedCls, (uint)AttachType.NetkitPrimary),
        new("netkit/peer", SchedCls, (uint)AttachType.NetkitPeer),

        new("tracepoint+", Tracepoint, 0),
        new("tp+", Tracepoint, 0),
        new("raw_tracepoint+", RawTracepoint, 0),
        new("raw_tp+", RawTracepoint, 0),
        new("raw_tracepoint.w+", RawTracepointWritable, 0),
        new("raw_tp.w+", RawTracepointWritable, 0),
        new("tp_btf+", Tracing, (uint)AttachType.TraceRawTp, Btf),
        new("fentry+", Tracing, (uint)AttachType.TraceFentry, Btf),
        new("fmod_ret+", Tracing, (uint)AttachType.ModifyReturn, Btf),
        new("fexit+", Tracing, (uint)AttachType.TraceFexit, Btf),
        new("fentry.s+", Tracing, (uint)AttachType.TraceFentry, BtfSleepable),
        new("fmod_ret.s+", Tracing, (uint)AttachType.ModifyReturn, BtfSleepable),
        new("fexit.s+", Tracing, (uint)AttachType.TraceFexit, BtfSleepable),
        new("freplace+", Ext, 0, Btf),
        new("lsm+", Lsm, (uint)AttachType.LsmMac, Btf),
        new("lsm.s+", Lsm, (uint)AttachType.LsmMac, BtfSleepable),
        new("lsm_cgroup+", Lsm, (uint)AttachType.LsmCgroup, Btf),
        new("iter+", Tracing, (uint)AttachType.TraceIter, Btf),
        new("iter.s+", Tracing, (uint)AttachType.TraceIter, BtfSleepable),
        new("syscall", Syscall, 0, Sleepable),

        new("xdp.frags/devmap", Xdp, (uint)AttachType.XdpDevmap, XdpFrags),
        new("xdp/devmap", Xdp, (uint)AttachType.XdpDevmap),
        new("xdp.frags/cpumap", Xdp, (uint)AttachType.XdpCpumap, XdpFrags),
        new("xdp/cpumap", Xdp, (uint)AttachType.XdpCpumap),
        new("xdp.frags", Xdp, (uint)AttachType.Xdp, XdpFrags),
        new("xdp", Xdp, (uint)AttachType.Xdp, Opt),
        new("perf_event", PerfEvent, 0),
        new("lwt_in", LwtIn, 0),
        new("lwt_out", LwtOut, 0),
        new("lwt_xmit", LwtXmit, 0),
        new("lwt_seg6local", LwtSeg6local, 0),
        new("sockops", SockOps, (uint)AttachType.CgroupSockOps, Opt),
        new("sk_skb/stream_parser", SkSkb, (uint)AttachType.SkSkbStreamParser, Opt),
        new("sk_skb/stream_verdict", SkSkb, (uint)AttachType.SkSkbStreamVerdict, Opt),
        new("sk_skb/verdict", SkSkb, (uint)AttachType.SkSkbVerdict, Opt),
        new("sk_skb", SkSkb, 0),
        new("sk_msg", SkMsg, (uint)AttachType.SkMsgVerdict, Opt),
        new("lirc_mode2", ProgramType.LircMode2, (uint)AttachType.LircMode2, Opt),
        new("flow_dissector", ProgramType.FlowDissector, (uint)AttachType.FlowDissector, Opt),

        new("cgroup_skb/ingress", CgroupSkb, (uint)AttachType.CgroupInetIngress, Opt),
        new("cgroup_skb/egress", CgroupSkb, (uint)AttachType.CgroupInetEgress, Opt),
        new("cgroup/skb", CgroupSkb, 0),
        new("cgroup/sock_create", CgroupSock, (uint)AttachType.CgroupInetSockCreate),
        new("cgroup/sock_release", CgroupSock, (uint)AttachType.CgroupInetSockRelease),
        new("cgroup/sock", CgroupSock, (uint)AttachType.CgroupInetSockCreate, Opt),
        new("cgroup/post_bind4", CgroupSock, (uint)AttachType.CgroupInet4PostBind),
        new("cgroup/post_bind6", CgroupSock, (uint)AttachType.CgroupInet6PostBind),
        new("cgroup/bind4", CgroupSockAddr, (uint)AttachType.CgroupInet4Bind),
        new("cgroup/bind6", CgroupSockAddr, (uint)AttachType.CgroupInet6Bind),
        new("cgroup/connect4", CgroupSockAddr, (uint)AttachType.CgroupInet4Connect),
        new("cgroup/connect6", CgroupSockAddr, (uint)AttachType.CgroupInet6Connect),
        new("cgroup/connect_unix", CgroupSockAddr, (uint)AttachType.CgroupUnixConnect),
        new("cgroup/sendmsg4", CgroupSockAddr, (uint)AttachType.CgroupUdp4Sendmsg),
        new("cgroup/sendmsg6", CgroupSockAddr, (uint)AttachType.CgroupUdp6Sendmsg),
        new("cgroup/sendmsg_unix", CgroupSockAddr, (uint)AttachType.CgroupUnixSendmsg),
        new("cgroup/recvmsg4", CgroupSockAddr, (uint)AttachType.CgroupUdp4Recvmsg),
        new("cgroup/recvmsg6", CgroupSockAddr, (uint)AttachType.CgroupUdp6Recvmsg),
        new("cgroup/recvmsg_unix", CgroupSockAddr, (uint)AttachType.CgroupUnixRecvmsg),
        new("cgroup/getpeername4", CgroupSockAddr, (uint)AttachType.CgroupInet4Getpeername),
        new("cgroup/getpeername6", CgroupSockAddr, (uint)AttachType.CgroupInet6Getpeername),
        new("cgroup/getpeername_unix", CgroupSockAddr, (uint)AttachType.CgroupUnixGetpeername),
        new("cgroup/getsockname4", CgroupSockAddr, (uint)AttachType.CgroupInet4Getsockname),
        new("cgroup/getsockname6", CgroupSockAddr, (uint)AttachType.CgroupInet6Getsockname),
        new("cgroup/getsockname_unix", CgroupSockAddr, (uint)AttachType.CgroupUnixGetsockname),
        new("cgroup/sysctl", ProgramType.CgroupSysctl, (uint)AttachType.CgroupSysctl),
        new("cgroup/getsockopt", CgroupSockopt, (uint)AttachType.CgroupGetsockopt),
        new("cgroup/setsockopt", CgroupSockopt, (uint)AttachType.CgroupSetsockopt),
        new("cgroup/dev", ProgramType.CgroupDevice, (uint)AttachType.CgroupDevice, Opt),

        new("struct_ops+", ProgramType.StructOps, 0),
        new("struct_ops.s+", ProgramType.StructOps, 0, Sleepable),
        new("sk_lookup", ProgramType.SkLookup, (uint)AttachType.SkLookup),
        new("netfilter", ProgramType.Netfilter, (uint)AttachType.Netfilter),
    ];

    private static readonly Dictionary<string, SectionDefinition> s_byName = ByName();

    private static Dictionary<string, SectionDefinition> ByName()
    {
        var byName = new Dictionary<string, SectionDefinition>(All.Count);
        for (int i = 0; i < All.Count; i++) byName.Add(All[i].Prefix.TrimEnd('+'), All[i]);
        return byName;
    }

    /// <summary>
    /// The definition for a section's name (without a leading <c>?</c>) and the target behind its slash, null
    /// where there is none.
    /// </summary>
    /// <returns>Whether libbpf knows the name.</returns>
    public static bool TryFind(string section, out SectionDefinition definition, out string? target)
    {
        target = null;
        if (s_byName.TryGetValue(section, out definition)) return true;
        int slash = section.IndexOf('/', StringComparison.Ordinal);
        if (slash < 0 || !s_byName.TryGetValue(section[..slash], out definition) || !definition.Prefix.EndsWith('+'))
        {
            definition = default;
            return false;
        }

        target = section[(slash + 1)..];
        return true;
    }

    /// <summary>The BPF_F_* load flags that a section asks for.</summary>
    public static uint LoadFlags(SectionDefinition definition) =>
        (definition.Flags.HasFlag(Sleepable) ? 1u << 4 : 0) | (definition.Flags.HasFlag(XdpFrags) ? 1u << 5 : 0);
}
