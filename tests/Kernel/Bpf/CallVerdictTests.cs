using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>
/// The objects of tests/data/verifier/calls: helpers, kfuncs, references, dynptrs, iterators, locks, BTF pointers,
/// global functions and contexts, each rule with a program that keeps it and programs that break it. The expected
/// verdicts are Linux's own.
/// </summary>
public sealed class CallVerdictTests
{
    private static readonly string s_folder = Repository.PathOf("tests", "data", "verifier", "calls");

    public static TheoryData<string> Objects => [.. Directory.GetFiles(s_folder, "*.bpf.o").Select(f => Path.GetFileName(f)[..^".bpf.o".Length])];

    [Theory]
    [MemberData(nameof(Objects))]
    public void EveryProgramOfTheObjectGetsLinuxsVerdictAndWords(string name)
    {
        var expected = File.ReadLines(Path.Combine(s_folder, "expected.txt"))
            .Where(l => l.StartsWith(name + " ", StringComparison.Ordinal))
            .Select(l => l.Split(' ', 4))
            .ToDictionary(w => w[1], w => (Verdict: w[2], Message: w.Length > 3 ? w[3] : null));
        Assert.NotEmpty(expected);
        ObjectSpec spec = ObjectFile.Open(Path.Combine(s_folder, name + ".bpf.o"), SectionTable.All);
        var wrong = new List<string>();
        int seen = 0;
        foreach (ProgramVerdict verdict in new ObjectVerifier(KernelProfile.Embedded).Verify(spec))
        {
            if (!expected.TryGetValue(verdict.Program.Name, out var wanted)) continue;
            seen++;
            string errno = verdict.Errno == Errno.None ? "accept" : verdict.Errno.ToString();
            if (errno != wanted.Verdict || (wanted.Message is not null && verdict.Message?.Trim() != wanted.Message))
                wrong.Add($"{verdict.Program.Name}: {errno} «{verdict.Message}», Linux says {wanted.Verdict} «{wanted.Message}»");
        }

        Assert.Empty(wrong);
        Assert.Equal(expected.Count, seen);
    }
}
