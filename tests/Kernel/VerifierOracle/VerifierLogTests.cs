using System.Text.RegularExpressions;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Profile;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>
/// The whole log, line for line, as Linux 6.18 wrote it for programs of tests/data/verifier/calls: at the levels
/// 7, 5 and 4 as the data has it, and the others as the parts of these that they are.
/// </summary>
public sealed partial class VerifierLogTests
{
    private static readonly string s_folder = Repository.PathOf("tests", "data", "verifier", "calls");
    private static readonly Dictionary<string, (string Level7, string Level5, string Level4)> s_logs = Read();

    public static TheoryData<string> Programs => [.. s_logs.Keys];

    private static Dictionary<string, (string Level7, string Level5, string Level4)> Read()
    {
        var logs = new Dictionary<string, (string, string, string)>();
        string[] blocks = File.ReadAllText(Repository.PathOf("tests", "data", "verifier", "logs.txt")).Split("\n== ");
        for (int i = 1; i + 2 < blocks.Length; i += 3)
        {
            string[][] levels = [.. blocks[i..(i + 3)].Select(b => b.Split('\n', 2))];
            logs.Add(levels[0][0][..levels[0][0].LastIndexOf(' ')], (Normalize(levels[0][1]), Normalize(levels[1][1]), Normalize(levels[2][1])));
        }

        return logs;
    }

    private static string Ours(string name, uint level)
    {
        string[] words = name.Split(' ');
        ObjectSpec spec = ObjectFile.Open(Path.Combine(s_folder, words[0] + ".bpf.o"), SectionTable.All);
        return Normalize(new ObjectVerifier(KernelProfile.Embedded) { LogLevel = level }.Verify(spec, words[1]).Single().Log);
    }

    /// <summary>Addresses of maps, and times, are not ours to know; blanks at the ends of lines say nothing.</summary>
    private static string Normalize(string log) => TimePattern()
        .Replace(AddressPattern().Replace(log, "$1ADDRESS ;"), "verification time N usec")
        .Split('\n').Select(l => l.TrimEnd()).Where(l => l.Length > 0).Aggregate("", (all, line) => $"{all}{line}\n");

    [GeneratedRegex(@"(= )(0xffff[0-9a-f]{12}|ADDRESS)( +;|$)", RegexOptions.Multiline)]
    private static partial Regex AddressPattern();

    [GeneratedRegex(@"verification time \w+ usec")]
    private static partial Regex TimePattern();

    private static string WithoutStatistics(string log) =>
        string.Concat(log.Split('\n').Where(l => l.Length > 0 && !IsStatistics(l)).Select(l => l + "\n"));

    private static bool IsStatistics(string line) =>
        line.StartsWith("verification time", StringComparison.Ordinal) || line.StartsWith("stack depth", StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(Programs))]
    public void EveryLevelReadsAsLinuxs(string name)
    {
        (string level7, string level5, string level4) = s_logs[name];
        Assert.Equal(level7, Ours(name, 7));
        Assert.Equal(level7, Ours(name, 6));
        Assert.Equal(WithoutStatistics(level7), Ours(name, 3));
        Assert.Equal(WithoutStatistics(level7), Ours(name, 2));
        Assert.Equal(level5, Ours(name, 5));
        Assert.Equal(WithoutStatistics(level5), Ours(name, 1));
        Assert.Equal(level4, Ours(name, 4));
        Assert.Equal("", Ours(name, 0));
    }
}
