using System.Text;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using Iced.Intel;

namespace BpfSim.Vm.Jit;

/// <summary>The text of <c>prog dump jited</c>: bpftool's form, with the BPF instructions in between.</summary>
public static class JitDump
{
    /// <summary>
    /// Lists the machine code of a program. Each line is <c>%4x:\t</c> and the instruction, as bpftool prints it;
    /// before the code of each BPF instruction stands <c>; slot: text</c>, before that its source line, if known.
    /// </summary>
    /// <param name="program">A program that the JIT loaded.</param>
    /// <param name="text">The text of the BPF instruction at a slot, as <c>dump xlated</c> prints it; null for the plain disassembler.</param>
    /// <param name="source">The source line at a slot, where a new one begins, else null.</param>
    /// <param name="functionName">The heading of a function by number; null for the program's name.</param>
    /// <param name="opcodes">Adds a line of the bytes under each instruction.</param>
    public static string Format(JitProgram program, Func<int, string>? text = null, Func<int, string?>? source = null, Func<int, string>? functionName = null, bool opcodes = false)
    {
        text ??= slot => PlainText(program.Program, slot);
        ReadOnlySpan<byte> code = program.MachineCode;
        JitCode map = program.Code;
        StringBuilder result = new();
        int insn = 0, function = 0;
        NasmFormatter formatter = new();
        formatter.Options.HexPrefix = "0x";
        formatter.Options.HexSuffix = null;
        formatter.Options.SpaceAfterOperandSeparator = true;
        formatter.Options.BranchLeadingZeros = false;
        StringOutput output = new();
        Iced.Intel.Decoder decoder = Iced.Intel.Decoder.Create(64, new ByteArrayCodeReader(code.ToArray()));
        while ((int)decoder.IP < code.Length)
        {
            int offset = (int)decoder.IP;
            if (function < map.Entries.Length && map.Entries[function] <= offset)
            {
                result.Append($"{functionName?.Invoke(function) ?? FunctionName(program.Program, function)}:\n");
                function++;
            }
            for (; insn < map.Slots.Length && map.Positions[insn] <= offset; insn++)
            {
                // An instruction without code of its own is not shown.
                if (map.Positions[insn + 1] == map.Positions[insn]) continue;
                if (source?.Invoke(map.Slots[insn]) is { } line) result.Append("; ").Append(line).Append('\n');
                result.Append("; ").Append(map.Slots[insn]).Append(": ").Append(text(map.Slots[insn])).Append('\n');
            }
            Instruction instruction = decoder.Decode();
            formatter.Format(instruction, output);
            result.Append($"{offset,4:x}:\t{output.ToStringAndReset()}\n");
            if (opcodes) result.Append('\t').AppendJoin(' ', code.Slice(offset, instruction.Length).ToArray().Select(b => b.ToString("x2"))).Append('\n');
        }
        return result.ToString();
    }

    private static string FunctionName(ExecutableProgram program, int number) => number == 0 ? program.Name : $"{program.Name}+F{number}";

    private static string PlainText(ExecutableProgram program, int slot) => Disassembler.Text(program.Insns, slot);
}
