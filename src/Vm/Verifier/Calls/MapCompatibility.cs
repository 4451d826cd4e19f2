using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.Calls;
using static BpfSim.Maps.MapType;

namespace BpfSim.Vm.Verifier;

// Which helpers go with which maps.
internal sealed partial class ProgramVerifier
{
    /// <summary>The helpers that a kind of map takes; null if the kind takes every helper that does not ask for a kind of its own.</summary>
    private static int[]? HelpersOfMap(MapType type) => type switch
    {
        ProgArray => [HelperId.TailCall],
        PerfEventArray => [HelperId.PerfEventRead, HelperId.PerfEventOutput, HelperId.SkbOutput, HelperId.PerfEventReadValue, HelperId.XdpOutput],
        Ringbuf => [HelperId.RingbufOutput, HelperId.RingbufReserve, HelperId.RingbufQuery, HelperId.RingbufReserveDynptr,
            HelperId.RingbufSubmitDynptr, HelperId.RingbufDiscardDynptr],
        UserRingbuf => [HelperId.UserRingbufDrain],
        StackTrace => [HelperId.GetStackid],
        CgroupArray => [HelperId.SkbUnderCgroup, HelperId.CurrentTaskUnderCgroup],
        CgroupStorage or PercpuCgroupStorage => [HelperId.GetLocalStorage],
        Devmap or DevmapHash => [HelperId.RedirectMap, HelperId.MapLookupElem],
        Cpumap => [HelperId.RedirectMap],
        Xskmap => [HelperId.RedirectMap, HelperId.MapLookupElem],
        ArrayOfMaps or HashOfMaps => [HelperId.MapLookupElem],
        Sockmap => [HelperId.SkRedirectMap, HelperId.SockMapUpdate, HelperId.MapDeleteElem, HelperId.MsgRedirectMap,
            HelperId.SkSelectReuseport, HelperId.MapLookupElem, HelperId.MapUpdateElem],
        Sockhash => [HelperId.SkRedirectHash, HelperId.SockHashUpdate, HelperId.MapDeleteElem, HelperId.MsgRedirectHash,
            HelperId.SkSelectReuseport, HelperId.MapLookupElem, HelperId.MapUpdateElem],
        ReuseportSockarray => [HelperId.SkSelectReuseport],
        MapType.Queue or MapType.Stack => [HelperId.MapPeekElem, HelperId.MapPopElem, HelperId.MapPushElem],
        SkStorage => [HelperId.SkStorageGet, HelperId.SkStorageDelete, HelperId.KptrXchg],
        InodeStorage => [HelperId.InodeStorageGet, HelperId.InodeStorageDelete, HelperId.KptrXchg],
        TaskStorage => [HelperId.TaskStorageGet, HelperId.TaskStorageDelete, HelperId.KptrXchg],
        CgrpStorage => [HelperId.CgrpStorageGet, HelperId.CgrpStorageDelete, HelperId.KptrXchg],
        BloomFilter => [HelperId.MapPeekElem, HelperId.MapPushElem],
        InsnArray => [],
        _ => null,
    };

    /// <summary>The kinds of map that a helper takes; null if it takes every kind that allows it.</summary>
    private static MapType[]? MapsOfHelper(int id) => id switch
    {
        HelperId.TailCall => [ProgArray],
        HelperId.PerfEventRead or HelperId.PerfEventOutput or HelperId.PerfEventReadValue or HelperId.SkbOutput or HelperId.XdpOutput =>
            [PerfEventArray],
        HelperId.RingbufOutput or HelperId.RingbufReserve or HelperId.RingbufQuery or HelperId.RingbufReserveDynptr
            or HelperId.RingbufSubmitDynptr or HelperId.RingbufDiscardDynptr => [Ringbuf],
        HelperId.UserRingbufDrain => [UserRingbuf],
        HelperId.GetStackid => [StackTrace],
        HelperId.CurrentTaskUnderCgroup or HelperId.SkbUnderCgroup => [CgroupArray],
        HelperId.RedirectMap => [Devmap, DevmapHash, Cpumap, Xskmap],
        HelperId.SkRedirectMap or HelperId.MsgRedirectMap or HelperId.SockMapUpdate => [Sockmap],
        HelperId.SkRedirectHash or HelperId.MsgRedirectHash or HelperId.SockHashUpdate => [Sockhash],
        HelperId.GetLocalStorage => [CgroupStorage, PercpuCgroupStorage],
        HelperId.SkSelectReuseport => [ReuseportSockarray, Sockmap, Sockhash],
        HelperId.MapPopElem => [MapType.Queue, MapType.Stack],
        HelperId.MapPeekElem or HelperId.MapPushElem => [MapType.Queue, MapType.Stack, BloomFilter],
        HelperId.MapLookupPercpuElem => [PercpuArray, PercpuHash, LruPercpuHash],
        HelperId.SkStorageGet or HelperId.SkStorageDelete => [SkStorage],
        HelperId.InodeStorageGet or HelperId.InodeStorageDelete => [InodeStorage],
        HelperId.TaskStorageGet or HelperId.TaskStorageDelete => [TaskStorage],
        HelperId.CgrpStorageGet or HelperId.CgrpStorageDelete => [CgrpStorage],
        _ => null,
    };

    private void CheckMapHelperCompatible(CallMeta meta)
    {
        if (meta.MapIndex < 0) return;
        int id = meta.Helper.Id;
        MapSpec map = Maps[meta.MapIndex];
        bool fits = (HelpersOfMap(map.Type) is not { } helpers || System.Array.IndexOf(helpers, id) >= 0)
            && (MapsOfHelper(id) is not { } kinds || System.Array.IndexOf(kinds, map.Type) >= 0)
            && (map.Type is not (Sockmap or Sockhash) || id is not (HelperId.MapUpdateElem or HelperId.MapDeleteElem) || MayChangeSockmap(id))
            && (id != HelperId.TailCall || Subprogs.Count <= 1 || TailCallsAllowedInSubprograms);
        if (id == HelperId.TailCall && map.Type == ProgArray && Subprogs.Count > 1 && !TailCallsAllowedInSubprograms)
            Reject(Errno.EINVAL, "tail_calls are not allowed in programs with bpf-to-bpf calls");
        if (!fits) Reject(Errno.EINVAL, $"cannot pass map_type {(uint)map.Type} into func {HelperName(meta.Helper)}");
    }

    /// <summary>The x86-64 JIT supports tail calls out of subprograms.</summary>
    private static bool TailCallsAllowedInSubprograms => true;

    private bool MayChangeSockmap(int helper)
    {
        const uint traceIter = 28;
        switch (Input.Attributes.Type)
        {
            case Programs.ProgramType.Tracing when Input.Attributes.ExpectedAttachType == traceIter:
            case Programs.ProgramType.SocketFilter or Programs.ProgramType.SchedCls or Programs.ProgramType.SchedAct or Programs.ProgramType.Xdp
                or Programs.ProgramType.SkReuseport or Programs.ProgramType.FlowDissector or Programs.ProgramType.SkLookup:
                return true;
            case Programs.ProgramType.SockOps when helper == HelperId.MapDeleteElem:
                // Updates go through helpers of their own.
                return true;
            default:
                Verbose("cannot update sockmap in this context\n");
                return false;
        }
    }
}
