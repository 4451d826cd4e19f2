using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on XDP frames and redirection.</summary>
internal static class XdpHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(44, "xdp_adjust_head", Int, [Ctx, Any], changes: true),
        Row(51, "redirect_map", Int, [Map, Any, Any]),
        Row(54, "xdp_adjust_meta", Int, [Ctx, Any], changes: true),
        Row(65, "xdp_adjust_tail", Int, [Ctx, Any], changes: true),
        Row(121, "xdp_output", Int, [Btf, Map, Any, In, Size0], gpl: true, btf: ["xdp_buff"]),
        Row(188, "xdp_get_buff_len", Int, [Ctx]),
        Row(189, "xdp_load_bytes", Int, [Ctx, Any, Out, Size]),
        Row(190, "xdp_store_bytes", Int, [Ctx, Any, In, Size]),
    ];
}
