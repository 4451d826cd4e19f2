using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on sockets, their options, lookups, casts and SYN cookies.</summary>
internal static class SocketHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(49, "setsockopt", Int, [Ctx, Any, Any, In, Size]),
        Row(52, "sk_redirect_map", Int, [Ctx, Map, Any, Any]),
        Row(53, "sock_map_update", Int, [Ctx, Map, Key, Any], packet: true),
        Row(57, "getsockopt", Int, [Ctx, Any, Any, Out, Size]),
        Row(59, "sock_ops_cb_flags_set", Int, [Ctx, Any]),
        Row(60, "msg_redirect_map", Int, [Ctx, Map, Any, Any]),
        Row(61, "msg_apply_bytes", Int, [Ctx, Any]),
        Row(62, "msg_cork_bytes", Int, [Ctx, Any]),
        Row(63, "msg_pull_data", Int, [Ctx, Any, Any, Any], changes: true),
        Row(64, "bind", Int, [Ctx, In, Size]),
        Row(70, "sock_hash_update", Int, [Ctx, Map, Key, Any], packet: true),
        Row(71, "msg_redirect_hash", Int, [Ctx, Map, Key, Any]),
        Row(72, "sk_redirect_hash", Int, [Ctx, Map, Key, Any]),
        Row(82, "sk_select_reuseport", Int, [Ctx, Map, Key, Any]),
        Row(84, "sk_lookup_tcp", RetSocketOrNull, [Ctx, In, Size0, Any, Any], packet: true),
        Row(85, "sk_lookup_udp", RetSocketOrNull, [Ctx, In, Size0, Any, Any], packet: true),
        Row(86, "sk_release", Int, [Sock | ArgType.ObjRelease]),
        Row(90, "msg_push_data", Int, [Ctx, Any, Any, Any], changes: true),
        Row(91, "msg_pop_data", Int, [Ctx, Any, Any, Any], changes: true),
        Row(95, "sk_fullsock", RetSocketOrNull, [SockCommon]),
        Row(96, "tcp_sock", ReturnType.PtrToTcpSock | ReturnType.MaybeNull, [SockCommon]),
        Row(98, "get_listener_sock", RetSocketOrNull, [SockCommon]),
        Row(99, "skc_lookup_tcp", ReturnType.PtrToSockCommon | ReturnType.MaybeNull, [Ctx, In, Size0, Any, Any], packet: true),
        Row(100, "tcp_check_syncookie", Int, [Sock, In, Size, In, Size], gpl: true, packet: true),
        Row(110, "tcp_gen_syncookie", Int, [Sock, In, Size, In, Size], gpl: true, packet: true),
        Row(116, "tcp_send_ack", Int, [Btf, Any], gpl: true, btf: ["tcp_sock"]),
        Row(122, "get_netns_cookie", Int, [Ctx | ArgType.MaybeNull]),
        Row(124, "sk_assign", Int, [Ctx, Sock, Any]),
        Row(136, "skc_to_tcp6_sock", RetBtfOrNull, [Sock], returnBtf: "tcp6_sock"),
        Row(137, "skc_to_tcp_sock", RetBtfOrNull, [Sock], returnBtf: "tcp_sock"),
        Row(138, "skc_to_tcp_timewait_sock", RetBtfOrNull, [Sock], returnBtf: "tcp_timewait_sock"),
        Row(139, "skc_to_tcp_request_sock", RetBtfOrNull, [Sock], returnBtf: "tcp_request_sock"),
        Row(140, "skc_to_udp6_sock", RetBtfOrNull, [Sock], returnBtf: "udp6_sock"),
        Row(142, "load_hdr_opt", Int, [Ctx, InOut, Size, Any]),
        Row(143, "store_hdr_opt", Int, [Ctx, In, Size, Any], changes: true),
        Row(144, "reserve_hdr_opt", Int, [Ctx, Any, Any], changes: true),
        Row(162, "sock_from_file", RetBtfOrNull, [Btf], btf: ["file"], returnBtf: "socket"),
        Row(178, "skc_to_unix_sock", RetBtfOrNull, [Sock], returnBtf: "unix_sock"),
        Row(196, "skc_to_mptcp_sock", RetBtfOrNull, [SockCommon], returnBtf: "mptcp_sock"),
        Row(204, "tcp_raw_gen_syncookie_ipv4", Int, [In | ArgType.FixedSize, In, Size0], gpl: true, packet: true,
            sizes: [20]),
        Row(205, "tcp_raw_gen_syncookie_ipv6", Int, [In | ArgType.FixedSize, In, Size0], gpl: true, packet: true,
            sizes: [40]),
        Row(206, "tcp_raw_check_syncookie_ipv4", Int, [In | ArgType.FixedSize, In | ArgType.FixedSize], gpl: true,
            packet: true, sizes: [20, 20]),
        Row(207, "tcp_raw_check_syncookie_ipv6", Int, [In | ArgType.FixedSize, In | ArgType.FixedSize], gpl: true,
            packet: true, sizes: [40, 20]),
    ];
}
