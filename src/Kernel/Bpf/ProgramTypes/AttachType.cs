namespace BpfSim.Kernel.Bpf;

/// <summary>Attach types by their kernel number (enum bpf_attach_type, Linux 6.18).</summary>
public enum AttachType : uint
{
    CgroupInetIngress, CgroupInetEgress, CgroupInetSockCreate, CgroupSockOps, SkSkbStreamParser, SkSkbStreamVerdict,
    CgroupDevice, SkMsgVerdict, CgroupInet4Bind, CgroupInet6Bind, CgroupInet4Connect, CgroupInet6Connect,
    CgroupInet4PostBind, CgroupInet6PostBind, CgroupUdp4Sendmsg, CgroupUdp6Sendmsg, LircMode2, FlowDissector,
    CgroupSysctl, CgroupUdp4Recvmsg, CgroupUdp6Recvmsg, CgroupGetsockopt, CgroupSetsockopt, TraceRawTp, TraceFentry,
    TraceFexit, ModifyReturn, LsmMac, TraceIter, CgroupInet4Getpeername, CgroupInet6Getpeername,
    CgroupInet4Getsockname, CgroupInet6Getsockname, XdpDevmap, CgroupInetSockRelease, XdpCpumap, SkLookup, Xdp,
    SkSkbVerdict, SkReuseportSelect, SkReuseportSelectOrMigrate, PerfEvent, TraceKprobeMulti, LsmCgroup, StructOps,
    Netfilter, TcxIngress, TcxEgress, TraceUprobeMulti, CgroupUnixConnect, CgroupUnixSendmsg, CgroupUnixRecvmsg,
    CgroupUnixGetpeername, CgroupUnixGetsockname, NetkitPrimary, NetkitPeer, TraceKprobeSession,
    TraceUprobeSession,
}
