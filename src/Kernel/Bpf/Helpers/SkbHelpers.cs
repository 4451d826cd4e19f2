using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on socket buffers.</summary>
internal static class SkbHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(9, "skb_store_bytes", Int, [Ctx, Any, In, Size, Any], changes: true),
        Row(10, "l3_csum_replace", Int, [Ctx, Any, Any, Any, Any], changes: true),
        Row(11, "l4_csum_replace", Int, [Ctx, Any, Any, Any, Any], changes: true),
        Row(13, "clone_redirect", Int, [Ctx, Any, Any], changes: true),
        Row(18, "skb_vlan_push", Int, [Ctx, Any, Any], changes: true),
        Row(19, "skb_vlan_pop", Int, [Ctx], changes: true),
        Row(20, "skb_get_tunnel_key", Int, [Ctx, Out, Size, Any]),
        Row(21, "skb_set_tunnel_key", Int, [Ctx, In, Size, Any]),
        Row(24, "get_route_realm", Int, [Ctx]),
        Row(26, "skb_load_bytes", Int, [Ctx, Any, Out, Size]),
        Row(28, "csum_diff", Int, [InOrNull, Size0, InOrNull, Size0, Any], packet: true),
        Row(29, "skb_get_tunnel_opt", Int, [Ctx, Out, Size]),
        Row(30, "skb_set_tunnel_opt", Int, [Ctx, In, Size]),
        Row(31, "skb_change_proto", Int, [Ctx, Any, Any], changes: true),
        Row(32, "skb_change_type", Int, [Ctx, Any]),
        Row(33, "skb_under_cgroup", Int, [Ctx, Map, Any]),
        Row(34, "get_hash_recalc", Int, [Ctx]),
        Row(38, "skb_change_tail", Int, [Ctx, Any, Any], changes: true),
        Row(39, "skb_pull_data", Int, [Ctx, Any], changes: true),
        Row(40, "csum_update", Int, [Ctx, Any]),
        Row(41, "set_hash_invalid", Int, [Ctx]),
        Row(43, "skb_change_head", Int, [Ctx, Any, Any], changes: true),
        Row(46, "get_socket_cookie", Int, [Ctx]),
        Row(47, "get_socket_uid", Int, [Ctx]),
        Row(48, "set_hash", Int, [Ctx, Any]),
        Row(50, "skb_adjust_room", Int, [Ctx, Any, Any, Any], changes: true),
        Row(66, "skb_get_xfrm_state", Int, [Ctx, Any, Out, Size, Any]),
        Row(68, "skb_load_bytes_relative", Int, [Ctx, Any, Out, Size, Any]),
        Row(79, "skb_cgroup_id", Int, [Ctx]),
        Row(83, "skb_ancestor_cgroup_id", Int, [Ctx, Any]),
        Row(97, "skb_ecn_set_ce", Int, [Ctx]),
        Row(111, "skb_output", Int, [Btf, Map, Any, In, Size0], gpl: true, btf: ["sk_buff"]),
        Row(135, "csum_level", Int, [Ctx, Any]),
        Row(151, "skb_cgroup_classid", Int, [Ctx]),
        Row(192, "skb_set_tstamp", Int, [Ctx, Any, Any]),
        Row(23, "redirect", Int, [Any, Any]),
        Row(152, "redirect_neigh", Int, [Any, InOrNull, Size0, Any]),
        Row(155, "redirect_peer", Int, [Any, Any]),
        Row(69, "fib_lookup", Int, [Ctx, InOut, Size, Any], gpl: true),
        Row(163, "check_mtu", Int, [Ctx, Any, InOut | ArgType.FixedSize | ArgType.Aligned, Any, Any], gpl: true,
            sizes: [0, 0, 4]),
        Row(73, "lwt_push_encap", Int, [Ctx, Any, In, Size], changes: true),
        Row(74, "lwt_seg6_store_bytes", Int, [Ctx, Any, In, Size], changes: true),
        Row(75, "lwt_seg6_adjust_srh", Int, [Ctx, Any, Any], changes: true),
        Row(76, "lwt_seg6_action", Int, [Ctx, Any, In, Size], changes: true),
    ];
}
