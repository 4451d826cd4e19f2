using BpfSim.Tests.Shared;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>What the verifier tells the engines of each instruction is what holds on all paths: as tests/data/verifier/engine.facts has it.</summary>
public class EngineFactTests
{
    private static readonly string s_file = Repository.PathOf("tests", "data", "verifier", "engine.facts");
    private static readonly VerifierCase[] s_cases = [.. File.ReadAllText(s_file).Split("\n== ").Skip(1).Select(Read)];

    public static TheoryData<string> Cases => [.. s_cases.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void EnginesAreToldWhatHoldsOnAllPaths(string name)
    {
        VerifierCase c = s_cases.First(c => c.Name == name);
        (Vm.Isa.Insn[] insns, Maps.MapSpec[] maps) = c.Assemble();
        VerifierResult result = Judges.Ours(c.Type, insns, maps);
        Assert.True(result.Accepted, result.Message);
        Assert.Equal(c.Expected, string.Join('\n', result.Facts.Select(Line).OfType<string>()));
    }

    private static VerifierCase Read(string block)
    {
        string[] parts = block.Split("\n=>\n"), head = parts[0].Split('\n', 2);
        return new VerifierCase(s_file, 0, head[0], ProgramType.SocketFilter, head[1], parts[1].Trim());
    }

    private static string? Line(InsnFacts facts, int slot)
    {
        string text = (facts.MapIndex > 0 ? $" map {facts.MapIndex - 1}" : "") + (facts.HasConstKey ? $" key {facts.ConstKey}" : "")
            + (facts.StackAccess ? " stack" : "") + (facts.ProbeMem ? " probe" : "");
        return text.Length == 0 ? null : slot + text;
    }
}
