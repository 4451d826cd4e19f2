using Iced.Intel;

namespace BpfSim.Vm.Jit;

/// <summary>Emitted machine code as text, in the AT&amp;T syntax of <c>bpftool prog dump jited</c>.</summary>
public static class MachineCodeText
{
    /// <summary>The instructions: offset from the start, text, bytes.</summary>
    public static IEnumerable<(int Offset, string Text, byte[] Bytes)> Disassemble(byte[] code)
    {
        var decoder = Decoder.Create(64, code);
        var formatter = new GasFormatter();
        formatter.Options.FirstOperandCharIndex = 7;
        var output = new StringOutput();
        while (decoder.IP < (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            formatter.Format(instruction, output);
            int at = (int)instruction.IP;
            yield return (at, output.ToStringAndReset(), code[at..Math.Min(code.Length, at + Math.Max(1, instruction.Length))]);
        }
    }
}
