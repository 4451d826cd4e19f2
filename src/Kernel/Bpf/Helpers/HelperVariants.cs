using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using static BpfSim.Kernel.Bpf.HelperRow;
using static BpfSim.Vm.Programs.ProgramType;

namespace BpfSim.Kernel.Bpf;

/// <summary>Where a program type gives a helper other argument types than its general row has.</summary>
internal static class HelperVariants
{
    private static readonly HelperPrototype s_stackIdAnyLicence = Row(27, "get_stackid", Int, [Ctx, Map, Any]);
    private static readonly HelperPrototype s_funcIpAnyLicence = Row(173, "get_func_ip", Int, [Ctx]);
    private static readonly HelperPrototype s_classOfSkb = Row(17, "get_cgroup_classid", Int, [Ctx]);
    private static readonly HelperPrototype s_cookieOfSock = Row(46, "get_socket_cookie", Int, [Sock | ArgType.MaybeNull]);
    private static readonly HelperPrototype s_setOptOfSock = Row(49, "setsockopt", Int, [Sock, Any, Any, In, Size]);
    private static readonly HelperPrototype s_getOptOfSock = Row(57, "getsockopt", Int, [Sock, Any, Any, Out, Size]);
    private static readonly HelperPrototype s_storageOfCtx = Row(107, "sk_storage_get", RetValueOrNull, [Map, Ctx, ValueOrNull, Any]);
    private static readonly HelperPrototype s_storageOfBtf =
        Row(107, "sk_storage_get", RetValueOrNull, [Map, BtfOrNull, ValueOrNull, Any], btf: [null, "sock_common"]);
    private static readonly HelperPrototype s_storageDeleteOfBtf =
        Row(108, "sk_storage_delete", Int, [Map, BtfOrNull], btf: [null, "sock_common"]);
    private static readonly HelperPrototype s_assignSocket =
        Row(124, "sk_assign", Int, [Ctx, ArgType.PtrToSocket | ArgType.MaybeNull, Any]);
    private static readonly HelperPrototype s_lengthOfBuff = Row(188, "xdp_get_buff_len", Int, [Btf], btf: ["xdp_buff"]);

    private const uint KprobeMulti = (uint)AttachType.TraceKprobeMulti, UprobeMulti = (uint)AttachType.TraceUprobeMulti,
        KprobeSession = (uint)AttachType.TraceKprobeSession, UprobeSession = (uint)AttachType.TraceUprobeSession;

    /// <summary>The row that programs with these attributes see.</summary>
    public static HelperPrototype Select(ProgramAttributes program, HelperPrototype general)
    {
        bool typed = program.Type is Tracing or Lsm or StructOps or Syscall;
        HelperPrototype? variant = general.Id switch
        {
            17 when program.Type is SchedCls or SchedAct or LwtIn or LwtOut or LwtXmit or LwtSeg6local => s_classOfSkb,
            27 when program.Type is PerfEvent => s_stackIdAnyLicence,
            46 when typed || program.Type is SkReuseport => s_cookieOfSock,
            49 when typed || program.Type is CgroupSockopt => s_setOptOfSock,
            57 when typed || program.Type is CgroupSockopt => s_getOptOfSock,
            107 when program.Type is CgroupSock => s_storageOfCtx,
            107 when typed => s_storageOfBtf,
            108 when typed => s_storageDeleteOfBtf,
            124 when program.Type is SkLookup => s_assignSocket,
            173 when program.Type is Kprobe
                && program.ExpectedAttachType is KprobeMulti or UprobeMulti or KprobeSession or UprobeSession => s_funcIpAnyLicence,
            188 when typed => s_lengthOfBuff,
            _ => null,
        };
        if (variant is null) return general;
        unsafe
        {
            return variant.WithImplementation(general.Implementation);
        }
    }
}
