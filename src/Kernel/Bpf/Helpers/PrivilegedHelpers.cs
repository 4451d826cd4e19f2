using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers for security modules, system calls from programs, sysctl and infrared.</summary>
internal static class PrivilegedHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(77, "rc_repeat", Int, [Ctx], gpl: true),
        Row(78, "rc_keydown", Int, [Ctx, Any, Any, Any], gpl: true),
        Row(92, "rc_pointer_rel", Int, [Ctx, Any, Any], gpl: true),
        Row(101, "sysctl_get_name", Int, [Ctx, InOut, Size, Any]),
        Row(102, "sysctl_get_current_value", Int, [Ctx, Out, Size]),
        Row(103, "sysctl_get_new_value", Int, [Ctx, Out, Size]),
        Row(104, "sysctl_set_new_value", Int, [Ctx, In, Size]),
        Row(159, "bprm_opts_set", Int, [Btf, Any], btf: ["linux_binprm"]),
        Row(161, "ima_inode_hash", Int, [Btf, Out, Size], sleeps: true, btf: ["inode"]),
        Row(166, "sys_bpf", Int, [Any, In, Size]),
        Row(167, "btf_find_by_name_kind", Int, [In, Size, Any, Any]),
        Row(168, "sys_close", Int, [Any]),
        Row(179, "kallsyms_lookup_name", Int, [In, Size0, Any, OutFixed], sizes: [0, 0, 0, 8]),
        Row(193, "ima_file_hash", Int, [Btf, Out, Size], sleeps: true, btf: ["file"]),
    ];
}
