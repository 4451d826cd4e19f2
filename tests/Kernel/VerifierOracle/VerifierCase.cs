using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>
/// One case of tests/data/verifier: a program in the assembler's language and its verdict. A file holds many:
/// <code>
/// == name
/// type xdp                    the program type
///     r0 = 0                  the program, with .map lines where it needs maps
///     exit
/// => accept                   or the errno and the decisive line: => EACCES R2 !read_ok
/// hint: …                     the whole hint, where the case is one of hints
/// </code>
/// </summary>
public sealed record VerifierCase(string File, int Line, string Name, ProgramType Type, string Text, string Expected)
{
    /// <summary>The hint under a rejection, where the case says one.</summary>
    public string? Hint { get; init; }

    /// <summary>All cases of all files.</summary>
    public static IReadOnlyList<VerifierCase> All { get; } =
        [.. Directory.GetFiles(Repository.PathOf("tests", "data", "verifier"), "*.bpf").Order(StringComparer.Ordinal).SelectMany(Read)];

    public override string ToString() => $"{Path.GetFileName(File)}:{Line} {Name}";

    private static IEnumerable<VerifierCase> Read(string file)
    {
        string[] lines = System.IO.File.ReadAllLines(file);
        for (int i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("== ", StringComparison.Ordinal)) continue;
            int start = i;
            string name = lines[i][3..], text = "", expected = "";
            var type = ProgramType.SocketFilter;
            for (i++; i < lines.Length && expected == ""; i++)
            {
                if (lines[i].StartsWith("type ", StringComparison.Ordinal))
                    type = Enum.Parse<ProgramType>(lines[i][5..].Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
                else if (lines[i].StartsWith("=> ", StringComparison.Ordinal)) expected = lines[i][3..].Trim();
                else text += lines[i] + "\n";
            }

            string? hint = i < lines.Length && lines[i].StartsWith("hint: ", StringComparison.Ordinal) ? lines[i]["hint: ".Length..] : null;
            i--;
            yield return new VerifierCase(file, start + 1, name, type, text, expected) { Hint = hint };
        }
    }

    /// <summary>The program and the maps it refers to, by the index in its loads' imm.</summary>
    internal (Insn[] Insns, MapSpec[] Maps) Assemble()
    {
        AssembledProgram program = BpfAssembler.Program(Text, HelperCatalog.Table, File);
        var insns = (Insn[])program.Insns.Clone();
        MapSpec[] maps = [.. program.Maps];
        foreach ((int slot, string map) in program.MapReferences)
            insns[slot] = insns[slot] with { Imm = Array.FindIndex(maps, m => m.Name == map) };
        return (insns, maps);
    }

    /// <summary>The verdict as the data writes it.</summary>
    internal static string Verdict(int errno, string? message) => errno == 0 ? "accept" : $"{(Errno)errno} {message}".Trim();
}

/// <summary>The same program to BpfSim's verifier and to the host's.</summary>
internal static class Judges
{
    /// <summary>BpfSim's verdict.</summary>
    public static VerifierResult Ours(ProgramType type, Insn[] insns, MapSpec[] specs, uint logLevel = 1)
    {
        BpfMap[] maps = [.. specs.Select(s => MapFactory.Create(s, 2).Map!)];
        try
        {
            return EbpfVerifier.Verify(new VerifierInput
            {
                Name = "test",
                Insns = insns,
                ProgramType = ProgramTypeTable.Find(type)!,
                Helpers = HelperCatalog.Table,
                Attributes = new ProgramAttributes { Type = type, GplCompatible = true },
                Maps = maps,
                LogLevel = logLevel,
                CpuCount = (uint)Environment.ProcessorCount,
            });
        }
        finally
        {
            foreach (BpfMap map in maps) map.Dispose();
        }
    }

    /// <summary>The host's verdict: errno (0 if accepted) and log.</summary>
    public static (int Errno, string Log) Host(ProgramType type, Insn[] insns, MapSpec[] specs, uint logLevel = 1)
    {
        int[] fds = [.. specs.Select(s => HostKernel.CreateMap(s))];
        try
        {
            Insn[] linked = [.. insns.Select(i => i.IsLdImm64 && i.Src == (int)PseudoSource.MapFd ? i with { Imm = fds[i.Imm] } : i)];
            HostProgram program = HostKernel.LoadProgram(new HostProgramSpec
            {
                Type = (uint)type,
                Insns = Insn.ToBytes(linked),
                LogLevel = logLevel,
                LogSize = 1 << 22,
                Name = "test",
            });
            if (program.Fd < 0) return (-program.Fd, program.Log);
            HostKernel.Close(program.Fd);
            return (0, program.Log);
        }
        finally
        {
            foreach (int fd in fds) HostKernel.Close(fd);
        }
    }

    /// <summary>The last line of a log before the counts.</summary>
    public static string Reason(string log)
    {
        string[] lines = log.TrimEnd('\n').Split('\n');
        return lines.Length > 1 ? lines[^2] : "";
    }

    /// <summary>The line of counts.</summary>
    public static string Counts(string log) => log.TrimEnd('\n').Split('\n')[^1];
}
