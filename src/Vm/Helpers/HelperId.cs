namespace BpfSim.Vm.Helpers;

/// <summary>Numbers of the helpers that the verifier treats one by one (enum bpf_func_id).</summary>
internal static class HelperId
{
    public const int MapLookupElem = 1, MapUpdateElem = 2, MapDeleteElem = 3, TracePrintk = 6, GetSmpProcessorId = 8, TailCall = 12,
        PerfEventRead = 22, PerfEventOutput = 25, GetStackid = 27, SkbUnderCgroup = 33, CurrentTaskUnderCgroup = 37, SkbPullData = 39, ProbeReadStr = 45,
        RedirectMap = 51, SkRedirectMap = 52, SockMapUpdate = 53, PerfEventReadValue = 55, MsgRedirectMap = 60, GetStack = 67,
        SockHashUpdate = 70, MsgRedirectHash = 71, SkRedirectHash = 72, GetLocalStorage = 81, SkSelectReuseport = 82, SkLookupTcp = 84,
        SkLookupUdp = 85, SkRelease = 86, MapPushElem = 87, MapPopElem = 88, MapPeekElem = 89, SpinLock = 93, SpinUnlock = 94,
        SkFullsock = 95, TcpSock = 96, SkcLookupTcp = 99, SkStorageGet = 107, SkStorageDelete = 108, Jiffies64 = 118, SkbOutput = 111,
        ProbeReadUserStr = 114, ProbeReadKernelStr = 115, XdpOutput = 121, RingbufOutput = 130, RingbufReserve = 131, RingbufQuery = 134,
        SkcToTcp6Sock = 136, SkcToTcpSock = 137, SkcToTcpTimewaitSock = 138, SkcToTcpRequestSock = 139, SkcToUdp6Sock = 140,
        GetTaskStack = 141, InodeStorageGet = 145, InodeStorageDelete = 146, PerCpuPtr = 153, ThisCpuPtr = 154, TaskStorageGet = 156,
        TaskStorageDelete = 157, ForEachMapElem = 164, Snprintf = 165, TimerInit = 169, TimerSetCallback = 170, TimerStart = 171,
        TimerCancel = 172, GetFuncIp = 173, GetBranchSnapshot = 176, FindVma = 180, Loop = 181, GetFuncArg = 183, GetFuncRet = 184, GetFuncArgCnt = 185, KptrXchg = 194, MapLookupPercpuElem = 195, SkcToMptcpSock = 196,
        DynptrFromMem = 197, RingbufReserveDynptr = 198, RingbufSubmitDynptr = 199, RingbufDiscardDynptr = 200, DynptrRead = 201,
        DynptrWrite = 202, DynptrData = 203, UserRingbufDrain = 209, CgrpStorageGet = 210, CgrpStorageDelete = 211;

    /// <summary>Whether the result is the argument seen as another type, and so the same reference.</summary>
    public static bool IsPointerCast(int id) => id is TcpSock or SkFullsock or SkcToTcpSock or SkcToTcp6Sock or SkcToUdp6Sock or SkcToMptcpSock
        or SkcToTcpTimewaitSock or SkcToTcpRequestSock;

    /// <summary>Whether the helper runs a callback before it returns.</summary>
    public static bool CallsCallback(int id) => id is ForEachMapElem or FindVma or Loop or UserRingbufDrain;

    /// <summary>Whether the helper allocates storage that hangs on an object.</summary>
    public static bool IsStorageGet(int id) => id is SkStorageGet or InodeStorageGet or TaskStorageGet or CgrpStorageGet;
}
