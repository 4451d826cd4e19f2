using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers on ring buffers and dynptrs.</summary>
internal static class RingbufHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(130, "ringbuf_output", Int, [Map, In, Size0, Any]),
        Row(131, "ringbuf_reserve", ReturnType.PtrToMem | ReturnType.Ringbuf | ReturnType.MaybeNull,
            [Map, ArgType.ConstAllocSizeOrZero, Any]),
        Row(132, "ringbuf_submit", Nothing, [ArgType.PtrToRingbufMem | ArgType.ObjRelease, Any]),
        Row(133, "ringbuf_discard", Nothing, [ArgType.PtrToRingbufMem | ArgType.ObjRelease, Any]),
        Row(134, "ringbuf_query", Int, [Map, Any]),
        Row(197, "dynptr_from_mem", Int, [Out, Size0, Any, Dynptr | ArgType.DynptrLocal | ArgType.Uninit | ArgType.Write]),
        Row(198, "ringbuf_reserve_dynptr", Int, [Map, Any, Any, Dynptr | ArgType.DynptrRingbuf | ArgType.Uninit | ArgType.Write]),
        Row(199, "ringbuf_submit_dynptr", Nothing, [Dynptr | ArgType.DynptrRingbuf | ArgType.ObjRelease, Any]),
        Row(200, "ringbuf_discard_dynptr", Nothing, [Dynptr | ArgType.DynptrRingbuf | ArgType.ObjRelease, Any]),
        Row(201, "dynptr_read", Int, [Out, Size0, Dynptr | ArgType.Rdonly, Any, Any]),
        Row(202, "dynptr_write", Int, [Dynptr | ArgType.Rdonly, Any, In, Size0, Any]),
        Row(203, "dynptr_data", ReturnType.PtrToMem | ReturnType.Alloc | ReturnType.MaybeNull,
            [Dynptr | ArgType.Rdonly, Any, ArgType.ConstAllocSizeOrZero]),
        Row(209, "user_ringbuf_drain", Int, [Map, Func, StackOrNull, Any]),
    ];
}
