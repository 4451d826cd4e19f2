using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>The cases of tests/data/insns as verified programs, which alone are optimised.</summary>
public sealed class JitCaseTests
{
    public static TheoryData<bool> Modes => [true, false];

    [Theory, MemberData(nameof(Modes))]
    public unsafe void All_cases(bool optimised)
    {
        JitEngine engine = new(optimised ? JitOptions.Default : JitOptions.None);
        List<string> failures = [];
        foreach (InsnCase test in InsnCase.All.Where(c => c.Error is null))
        {
            byte[] memory = [.. test.Memory];
            AssembledProgram text = BpfAssembler.Program(test.Text, file: test.ToString());
            using LoadedProgram loaded = engine.Load(new ExecutableProgram { Insns = text.Insns, FunctionStarts = text.FunctionStarts, Verified = true });
            RunContext context = new() { RandomState = 1 };
            fixed (byte* bytes = memory)
            {
                ulong result = loaded.Run((ulong)bytes, (ulong)memory.Length, &context);
                if (result != test.Result) failures.Add($"{test}: 0x{result:x} instead of 0x{test.Result:x}");
            }
            if (test.MemoryOut is { } after && !after.AsSpan().SequenceEqual(memory)) failures.Add($"{test}: memory {Convert.ToHexString(memory)}");
        }
        Assert.True(failures.Count == 0, $"{failures.Count}:\n{string.Join('\n', failures.Take(40))}");
    }
}
