using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Tests.VerifierOracle;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>What the verifier tells the engines of an instruction holds on every path, pruned ones included.</summary>
public class FactTests
{
    private static bool DivisorIsNeverZero(string text)
    {
        AssembledProgram program = BpfAssembler.Program(text, HelperCatalog.Table, "test");
        VerifierResult result = Judges.Ours(ProgramType.SocketFilter, [.. program.Insns], []);
        Assert.True(result.Accepted, result.Message);
        int division = Array.FindIndex(result.Xlated, i => i.Class is InsnClass.Alu or InsnClass.Alu64 && i.AluOp is AluOp.Mod or AluOp.Div);
        return result.Facts[division].DivisorNonZero;
    }

    // Enough instructions and jumps that a state is kept at the label.
    private const string Padding = """
        r9 = *(u32 *)(r1 +0)
        r8 = *(u32 *)(r1 +4)
        if r8 > 3 goto +1
        r8 = 1
        if r8 > 2 goto +1
        r8 = 2

        """;

    private const string Rest = """
        r1 = 1
        r2 = 2
        r3 = 3
        if r2 != r3 goto +1
        r1 = 2
        r4 = 4
        r5 = 5
        if r4 != r5 goto +1
        r1 = 2

        """;

    /// <summary>The value of a divisor does not matter to safety, so the path with zero is pruned by the one without.</summary>
    [Fact]
    public void ADivisorMayBeZeroOnAPathThatWasPruned() => Assert.False(DivisorIsNeverZero(Padding + """
        if r9 == 0 goto +1
        r8 = 5
        """ + "\n" + Rest + """
        r0 = 7
        r0 %= r9
        r0 = 0
        exit
        """));

    [Theory]
    [InlineData("r9 |= 1", "r0 %= r9", true)]
    [InlineData("r9 = 3", "r0 /= r9", true)]
    [InlineData("w9 |= 1", "w0 %= w9", true)]
    [InlineData("if r9 == 0 goto out", "r0 %= r9", true)]
    [InlineData("r9 &= 15", "r0 %= r9", false)]
    [InlineData("r8 |= 1", "r0 %= r9", false)]
    public void ADivisorIsProvedByWhatStandsBefore(string before, string division, bool proved) => Assert.Equal(proved, DivisorIsNeverZero(Padding + $"""
        if r9 == 0 goto +1
        r8 = 5
        """ + "\n" + Rest + $"""
        r0 = 7
        {before}
        {division}
        out:
        r0 = 0
        exit
        """));
}
