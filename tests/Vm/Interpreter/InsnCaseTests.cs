using BpfSim.Tests.Shared;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>Every case of tests/data/insns on every engine.</summary>
public sealed class InsnCaseTests
{
    public static TheoryData<string> Engines => [.. TestEngines.All.Select(e => e.Name)];

    [Theory, MemberData(nameof(Engines))]
    public unsafe void All_cases(string engine)
    {
        var failures = new List<string>();
        foreach (InsnCase test in InsnCase.All)
        {
            byte[] memory = [.. test.Memory];
            string expected = test.Error is { } error ? $"error {error}" : $"0x{test.Result:x}";
            string actual = TestEngines.Run(TestEngines.Find(engine), BpfAssembler.Program(test.Text, file: test.ToString()), memory);
            if (actual != expected) failures.Add($"{test}: {actual} instead of {expected}");
            if (test.MemoryOut is { } after && !after.AsSpan().SequenceEqual(memory)) failures.Add($"{test}: memory {Convert.ToHexString(memory)}");
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {InsnCase.All.Count}:\n{string.Join('\n', failures.Take(40))}");
        Assert.True(InsnCase.All.Count > 300, "the data files are not where they should be");
    }
}
