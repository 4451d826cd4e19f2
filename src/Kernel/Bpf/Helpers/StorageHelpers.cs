using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on storage that hangs on sockets, inodes, tasks and cgroups.</summary>
internal static class StorageHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(81, "get_local_storage", ReturnType.PtrToMapValue, [Map, Any]),
        Row(107, "sk_storage_get", RetValueOrNull, [Map, Sock, ValueOrNull, Any]),
        Row(108, "sk_storage_delete", Int, [Map, Sock]),
        Row(128, "sk_cgroup_id", Int, [Sock]),
        Row(129, "sk_ancestor_cgroup_id", Int, [Sock, Any]),
        Row(145, "inode_storage_get", RetValueOrNull, [Map, BtfOrNull, ValueOrNull, Any], btf: [null, "inode"]),
        Row(146, "inode_storage_delete", Int, [Map, BtfOrNull], btf: [null, "inode"]),
        Row(156, "task_storage_get", RetValueOrNull, [Map, BtfOrNull, ValueOrNull, Any], btf: [null, "task_struct"]),
        Row(157, "task_storage_delete", Int, [Map, BtfOrNull], btf: [null, "task_struct"]),
        Row(210, "cgrp_storage_get", RetValueOrNull, [Map, BtfOrNull, ValueOrNull, Any], btf: [null, "cgroup"]),
        Row(211, "cgrp_storage_delete", Int, [Map, BtfOrNull], btf: [null, "cgroup"]),
    ];
}
