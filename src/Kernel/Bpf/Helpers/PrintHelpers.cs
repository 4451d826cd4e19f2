using BpfSim.Vm.Helpers;
using static BpfSim.Kernel.Bpf.HelperRow;

namespace BpfSim.Kernel.Bpf;

/// <summary>Helpers that print, format and parse.</summary>
internal static class PrintHelpers
{
    public static HelperPrototype[] Rows { get; } =
    [
        Row(6, "trace_printk", Int, [In, Size], gpl: true),
        Row(105, "strtol", Int, [In, Size, Any, OutFixed], sizes: [0, 0, 0, 8]),
        Row(106, "strtoul", Int, [In, Size, Any, OutFixed], sizes: [0, 0, 0, 8]),
        Row(126, "seq_printf", Int, [Btf, In, Size, InOrNull, Size0], gpl: true, btf: ["seq_file"]),
        Row(127, "seq_write", Int, [Btf, In, Size0], gpl: true, btf: ["seq_file"]),
        Row(149, "snprintf_btf", Int, [InOut, Size, In, Size, Any]),
        Row(150, "seq_printf_btf", Int, [Btf, In, Size0, Any], gpl: true, btf: ["seq_file"]),
        Row(165, "snprintf", Int, [InOut | ArgType.MaybeNull, Size0, ConstStr, InOrNull, Size0], gpl: true),
        Row(177, "trace_vprintk", Int, [In, Size, InOrNull, Size0], gpl: true),
        Row(182, "strncmp", Int, [In, Size, ConstStr]),
    ];
}
