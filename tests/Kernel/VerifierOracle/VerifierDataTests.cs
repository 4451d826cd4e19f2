using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>The verdicts of tests/data/verifier, and that the real kernel gives the same ones.</summary>
public class VerifierDataTests
{
    public static TheoryData<string> Cases => [.. VerifierCase.All.Select(c => c.ToString())];

    private static VerifierCase Find(string name) => VerifierCase.All.First(c => c.ToString() == name);

    [Theory]
    [MemberData(nameof(Cases))]
    public void OurVerdictIsTheDatas(string name)
    {
        VerifierCase c = Find(name);
        (Insn[] insns, MapSpec[] maps) = c.Assemble();
        VerifierResult result = Judges.Ours(c.Type, insns, maps);
        Assert.Equal(c.Expected, VerifierCase.Verdict((int)result.Errno, result.Message));
    }

    [HostKernelTheory]
    [MemberData(nameof(Cases))]
    public void TheHostsLogIsOurs(string name)
    {
        VerifierCase c = Find(name);
        (Insn[] insns, MapSpec[] maps) = c.Assemble();
        VerifierResult ours = Judges.Ours(c.Type, insns, maps);
        (int errno, string log) = Judges.Host(c.Type, insns, maps);
        Assert.Equal((Errno)errno, ours.Errno);
        Assert.Equal(Normalize(log), Normalize(ours.Log));
    }

    /// <summary>Addresses of maps are not ours to know.</summary>
    private static string Normalize(string log) =>
        System.Text.RegularExpressions.Regex.Replace(log, @"(\(18\) r\d+ = )0x[0-9a-f]+", "$1ADDRESS").TrimEnd();

    public static TheoryData<string> HintCases => [.. VerifierCase.All.Where(c => c.Hint != null).Select(c => c.ToString())];

    [Theory]
    [MemberData(nameof(HintCases))]
    public void TheHintIsTheDatas(string name)
    {
        VerifierCase c = Find(name);
        (Insn[] insns, MapSpec[] maps) = c.Assemble();
        Assert.Equal(c.Hint, Judges.Ours(c.Type, insns, maps).Hint);
        Assert.Equal(c.Hint, Judges.Ours(c.Type, insns, maps, logLevel: 2).Hint);
    }
}
