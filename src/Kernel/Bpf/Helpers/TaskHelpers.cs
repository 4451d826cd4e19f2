using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on time, the current task, its cgroup and namespaces, per-CPU data and random numbers.</summary>
internal static class TaskHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(5, "ktime_get_ns", Int, []),
        Row(7, "get_prandom_u32", Int, []),
        Row(8, "get_smp_processor_id", Int, [], fastcall: true),
        Row(14, "get_current_pid_tgid", Int, []),
        Row(15, "get_current_uid_gid", Int, []),
        Row(16, "get_current_comm", Int, [Out, Size]),
        Row(17, "get_cgroup_classid", Int, []),
        Row(35, "get_current_task", Int, [], gpl: true),
        Row(37, "current_task_under_cgroup", Int, [Map, Any]),
        Row(42, "get_numa_node_id", Int, []),
        Row(80, "get_current_cgroup_id", Int, []),
        Row(109, "send_signal", Int, [Any]),
        Row(117, "send_signal_thread", Int, [Any]),
        Row(118, "jiffies64", Int, []),
        Row(120, "get_ns_current_pid_tgid", Int, [Any, Any, Out, Size]),
        Row(123, "get_current_ancestor_cgroup_id", Int, [Any]),
        Row(125, "ktime_get_boot_ns", Int, []),
        Row(153, "per_cpu_ptr", ReturnType.PtrToMemOrBtfId | ReturnType.MaybeNull, [ArgType.PtrToPercpuBtfId, Any]),
        Row(154, "this_cpu_ptr", ReturnType.PtrToMemOrBtfId, [ArgType.PtrToPercpuBtfId]),
        Row(158, "get_current_task_btf", ReturnType.PtrToBtfId | ReturnType.Trusted, [], gpl: true,
            returnBtf: "task_struct"),
        Row(160, "ktime_get_coarse_ns", Int, []),
        Row(186, "get_retval", Int, []),
        Row(187, "set_retval", Int, [Any]),
        Row(208, "ktime_get_tai_ns", Int, []),
    ];
}
