using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>Which fields of struct bpf_sock, bpf_tcp_sock and bpf_xdp_sock (uapi) may be loaded, and how narrowly.</summary>
internal static class SocketFields
{
    private const int SockSize = 80, Family = 4, TypeField = 8, Protocol = 12, PriorityEnd = 24, SourceIp4 = 24, SourcePort = 44, DstPort = 48,
        DstIp4 = 52, State = 72, RxQueue = 76;
    private const int TcpSockSize = 112, BytesReceived = 80, BytesAcked = 88, XdpSockSize = 4;

    /// <summary>Whether a load is allowed; <paramref name="fieldSize"/> is the full field of a narrow one.</summary>
    public static bool Allows(RegType type, int off, int size, out int fieldSize)
    {
        fieldSize = 0;
        switch (type.Base())
        {
            case RegType.PtrToSockCommon when off >= TypeField && off < PriorityEnd:
                return false;
            case RegType.PtrToSockCommon or RegType.PtrToSocket:
                return AllowsSock(off, size, out fieldSize);
            case RegType.PtrToTcpSock:
                if (off < 0 || off >= TcpSockSize || off % size != 0) return false;
                return off is BytesReceived or BytesAcked ? size == 8 : size == 4;
            case RegType.PtrToXdpSock:
                return off >= 0 && off < XdpSockSize && off % size == 0 && size == 4;
            default:
                return false;
        }
    }

    /// <summary>
    /// Whether an allowed load finds no field: the second half of a 64-bit counter. The kernel notices it when it
    /// rewrites the load.
    /// </summary>
    public static bool IsHalfCounter(RegType type, int off) =>
        type.Base() == RegType.PtrToTcpSock && off is BytesReceived + 4 or BytesAcked + 4;

    private static bool AllowsSock(int off, int size, out int fieldSize)
    {
        fieldSize = 0;
        if (off < 0 || off >= SockSize || off % size != 0) return false;
        // The port is two bytes in network order before two bytes of padding; a whole word is allowed for old programs.
        if (off == DstPort + 2 || off == DstPort + 3) return false;
        bool port = off is DstPort or DstPort + 1;
        int full = port ? (size == 4 ? 4 : 2) : 4;
        // Addresses may be read in any part, other fields from their first byte on.
        bool narrowable = port || off is Family or TypeField or Protocol or SourcePort or State or RxQueue
            or (>= SourceIp4 and < SourcePort) or (>= DstIp4 and < State);
        if (!narrowable) return size == 4;
        if (size < full) fieldSize = full;
        return size <= full && (off & (size - 1)) == 0;
    }
}
