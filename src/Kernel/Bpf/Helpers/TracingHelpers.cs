using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers that read memory, stacks, registers and counters.</summary>
internal static class TracingHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(4, "probe_read", Int, [Out, Size0, Any], gpl: true),
        Row(22, "perf_event_read", Int, [Map, Any], gpl: true),
        Row(25, "perf_event_output", Int, [Ctx, Map, Any, In, Size0], gpl: true),
        Row(27, "get_stackid", Int, [Ctx, Map, Any], gpl: true),
        Row(36, "probe_write_user", Int, [Any, In, Size], gpl: true),
        Row(45, "probe_read_str", Int, [Out, Size0, Any], gpl: true),
        Row(55, "perf_event_read_value", Int, [Map, Any, Out, Size], gpl: true),
        Row(56, "perf_prog_read_value", Int, [Ctx, Out, Size], gpl: true),
        Row(58, "override_return", Int, [Ctx, Any], gpl: true),
        Row(67, "get_stack", Int, [Ctx, Out, Size0, Any], gpl: true),
        Row(112, "probe_read_user", Int, [Out, Size0, Any], gpl: true),
        Row(113, "probe_read_kernel", Int, [Out, Size0, Any], gpl: true),
        Row(114, "probe_read_user_str", Int, [Out, Size0, Any], gpl: true),
        Row(115, "probe_read_kernel_str", Int, [Out, Size0, Any], gpl: true),
        Row(119, "read_branch_records", Int, [Ctx, InOut | ArgType.Uninit | ArgType.MaybeNull, Size0, Any], gpl: true),
        Row(141, "get_task_stack", Int, [Btf, Out, Size0, Any], btf: ["task_struct"]),
        Row(147, "d_path", Int, [Btf, InOut, Size0], btf: ["path"]),
        Row(148, "copy_from_user", Int, [Out, Size0, Any], sleeps: true),
        Row(173, "get_func_ip", Int, [Ctx], gpl: true),
        Row(174, "get_attach_cookie", Int, [Ctx]),
        Row(175, "task_pt_regs", ReturnType.PtrToBtfId, [Btf], gpl: true, btf: ["task_struct"], returnBtf: "pt_regs"),
        Row(176, "get_branch_snapshot", Int, [Out, Size0], gpl: true),
        Row(183, "get_func_arg", Int, [Ctx, Any, OutFixed], sizes: [0, 0, 8]),
        Row(184, "get_func_ret", Int, [Ctx, OutFixed], sizes: [0, 8]),
        Row(185, "get_func_arg_cnt", Int, [Ctx]),
        Row(191, "copy_from_user_task", Int, [Out, Size0, Any, Btf, Any], gpl: true, sleeps: true,
            btf: [null, null, null, "task_struct"]),
    ];
}
