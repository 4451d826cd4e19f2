using System.Text.RegularExpressions;
using BpfSim.Kernel.Host;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Tests.Isa;

/// <summary>Every opcode with every field set in turn: the text and the refusal of the host's kernel against ours.</summary>
public sealed class EncodingTests
{
    private const uint SocketFilter = 1;

    private static readonly int[] s_registers = [0, 1, 10, 11, 15];
    private static readonly int[] s_offsets = [0, 1, 2, 8, 16, 32, -1];
    private static readonly int[] s_immediates =
        [0, 1, -1, 16, 31, 32, 63, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0xe0, 0xf0, 0x100, 0x110, 0x101, 0x10000, 9999];

    public static IEnumerable<Insn> Encodings()
    {
        for (int code = 0; code < 256; code++)
        {
            foreach (int dst in s_registers) yield return new Insn(code, dst, 1, 0, 0);
            for (int src = 0; src < 16; src++) yield return new Insn(code, 0, src, 0, 0);
            foreach (int off in s_offsets) yield return new Insn(code, 0, 0, off, 0);
            foreach (int off in s_offsets) yield return new Insn(code, 0, 0, off, 1);
            foreach (int imm in s_immediates) yield return new Insn(code, 10, 0, -8, imm);
            foreach (int imm in s_immediates) yield return new Insn(code, 0, 0, 0, imm);
            foreach (int imm in s_immediates) yield return new Insn(code, 0, 0, 1, imm);
        }
    }

    /// <summary>The first pass refuses what the kernel refuses before it looks at any path, in the same words.</summary>
    [HostKernelFact]
    public void Refusals_and_texts_are_those_of_the_kernel()
    {
        var failures = new List<string>();
        int refused = 0, printed = 0;
        foreach (Insn insn in Encodings().Distinct())
        {
            // Jumps and local calls need targets; where the kernel refuses them first, nothing can be compared.
            Insn[] program = [new(0xb7, 0, 0, 0, 0), new(0x7b, 10, 0, -8, 0), insn, .. insn.IsLdImm64 ? new Insn[] { default } : [], new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0)];
            HostProgram verdict = HostKernel.LoadProgram(new HostProgramSpec { Type = SocketFilter, Insns = Insn.ToBytes(program), LogLevel = 1, LogSize = 1 << 16 });
            if (verdict.Fd >= 0) HostKernel.Close(verdict.Fd);
            string[] log = verdict.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            string last = log.LastOrDefault(l => !l.StartsWith("processed", StringComparison.Ordinal)) ?? "";
            string? ours = InsnChecks.First(program, 2);
            bool structural = IsStructural(last);
            if (structural) refused++;
            // A jump's range and what lies behind an exit are looked at before its fields are.
            bool earlier = last.StartsWith("jump out of range", StringComparison.Ordinal) || last.StartsWith("unreachable", StringComparison.Ordinal)
                || last.StartsWith("last insn", StringComparison.Ordinal) || insn.IsLdImm64 || last.StartsWith("fd ", StringComparison.Ordinal);
            if (structural ? ours != last : ours is not null && verdict.Fd >= 0) failures.Add($"{Hex(insn)}: kernel '{last}', here '{ours}'");
            else if (!structural && !earlier && ours is not null && !MeetsOperandFirst(insn, last)) failures.Add($"{Hex(insn)}: kernel '{last}' (no refusal of the form), here '{ours}'");

            string? line = log.LastOrDefault(l => l.StartsWith("2: ", StringComparison.Ordinal) && !l.StartsWith("2: R", StringComparison.Ordinal));
            if (line is null) continue;
            printed++;
            string text = line[3..].Split(" ; ")[0].TrimEnd(), here = Disassembler.Line(program, 2);
            if (WithoutNames(text.TrimEnd(';').TrimEnd()) != WithoutNames(here)) failures.Add($"{Hex(insn)}: the kernel prints '{text}', here '{here}'");
        }

        Assert.True(failures.Count == 0, $"{failures.Count}:\n{string.Join('\n', failures.Take(60))}");
        Assert.True(refused > 5000 && printed > 3000, $"{refused} refused, {printed} printed");
    }

    private static bool IsStructural(string message) =>
        !message.StartsWith("fd_idx", StringComparison.Ordinal) && (message.Contains("uses reserved fields", StringComparison.Ordinal) || message.StartsWith("unknown opcode", StringComparison.Ordinal)
        || message.Contains("bpf_ld_imm64", StringComparison.Ordinal) || message.StartsWith("invalid shift", StringComparison.Ordinal)
        || message == "div by zero" || message.EndsWith(" is invalid", StringComparison.Ordinal) || message == "frame pointer is read only"
        || message.StartsWith("invalid may_goto", StringComparison.Ordinal) || message.StartsWith("BPF_ATOMIC uses", StringComparison.Ordinal)
        || message == "invalid atomic operand size" || message.StartsWith("addr_space_cast insn can only convert", StringComparison.Ordinal));

    /// <summary>What the kernel finds about a value or an address before it meets the register that we refuse by its number.</summary>
    private static bool MeetsOperandFirst(Insn insn, string last) =>
        InsnChecks.RegisterFields(insn) is not null && (last.Contains("!read_ok", StringComparison.Ordinal) || last.Contains("invalid mem access", StringComparison.Ordinal)
            || last.Contains("misaligned", StringComparison.Ordinal) || last.Contains("invalid read from stack", StringComparison.Ordinal));

    private static string Hex(Insn insn) => Convert.ToHexString(Insn.ToBytes([insn]));

    /// <summary>Helpers' names are not the instruction table's.</summary>
    private static string WithoutNames(string text) => Regex.Replace(text, @"call [\w-]+#", "call #");
}
