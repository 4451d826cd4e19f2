using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on maps: lookup, update, queues, tail calls, iteration.</summary>
internal static class MapHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(1, "map_lookup_elem", RetValueOrNull, [Map, Key], packet: true),
        Row(2, "map_update_elem", Int, [Map, Key, Value, Any], packet: true),
        Row(3, "map_delete_elem", Int, [Map, Key], packet: true),
        Row(12, "tail_call", Nothing, [Ctx, Map, Any], changes: true),
        Row(87, "map_push_elem", Int, [Map, Value, Any], packet: true),
        Row(88, "map_pop_elem", Int, [Map, Value | ArgType.Uninit | ArgType.Write]),
        Row(89, "map_peek_elem", Int, [Map, Value | ArgType.Uninit | ArgType.Write]),
        Row(93, "spin_lock", Nothing, [ArgType.PtrToSpinLock]),
        Row(94, "spin_unlock", Nothing, [ArgType.PtrToSpinLock]),
        Row(164, "for_each_map_elem", Int, [Map, Func, StackOrNull, Any]),
        Row(169, "timer_init", Int, [ArgType.PtrToTimer, Map, Any], gpl: true),
        Row(170, "timer_set_callback", Int, [ArgType.PtrToTimer, Func], gpl: true),
        Row(171, "timer_start", Int, [ArgType.PtrToTimer, Any, Any], gpl: true),
        Row(172, "timer_cancel", Int, [ArgType.PtrToTimer], gpl: true),
        Row(180, "find_vma", Int, [Btf, Any, Func, StackOrNull, Any], btf: ["task_struct"]),
        Row(181, "loop", Int, [Any, Func, StackOrNull, Any]),
        Row(194, "kptr_xchg", RetBtfOrNull, [ArgType.KptrXchgDest, BtfOrNull | ArgType.ObjRelease]),
        Row(195, "map_lookup_percpu_elem", RetValueOrNull, [Map, Key, Any], packet: true),
    ];
}
