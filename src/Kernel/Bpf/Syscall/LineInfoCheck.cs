using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>The kernel's checks of line_info: in order, on instructions, with names, and one for the first instruction of each function.</summary>
internal static class LineInfoCheck
{
    /// <summary>What is wrong, in the verifier's words; null if all is well or there are no records.</summary>
    public static string? Find(ProgLoadAttr attr)
    {
        IReadOnlyList<LineInfo> lines = attr.LineInfo;
        IReadOnlyList<FuncInfo> functions = attr.FuncInfo;
        int previous = 0, function = 0;
        // Without function records there is the main function only, as far as anyone knows before the verifier.
        int functionCount = Math.Max(1, functions.Count);
        if (lines.Count == 0) return null;
        for (int i = 0; i < lines.Count; i++)
        {
            int offset = lines[i].InsnOff;
            if ((uint)offset >= (uint)attr.Insns.Length || (i > 0 && offset <= previous))
                return $"Invalid line_info[{i}].insn_off:{(uint)offset} (prev_offset:{(uint)previous} prog->len:{attr.Insns.Length})";
            if (attr.Insns[offset].Code == 0) return $"Invalid insn code at line_info[{i}].insn_off";
            if (lines[i].Line is null || lines[i].File is null) return $"Invalid line_info[{i}].line_off or .file_name_off";
            int start = function < functions.Count ? functions[function].InsnOff : 0;
            if (function < functionCount && offset == start) function++;
            else if (function < functionCount && start < offset) return $"missing bpf_line_info for func#{function}";
            previous = offset;
        }
        return function == functionCount ? null : $"missing bpf_line_info for {functionCount - function} funcs starting from func#{function}";
    }
}
