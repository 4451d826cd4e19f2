using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Random straight-line arithmetic over all registers: the JIT, with and without optimisations, against the host's kernel.</summary>
public sealed class RandomAluTests
{
    [HostKernelFact]
    public void All_engines_agree_with_the_host()
    {
        for (int seed = 1; seed <= 300; seed++)
        {
            List<Insn> insns = RandomPrograms.StraightWithBranches(new Random(seed), 40);
            ulong expected = JitRunner.RunOnHost(insns);
            Assert.True(expected == JitRunner.Run(insns, JitOptions.None), $"plain, seed {seed}");
            Assert.True(expected == JitRunner.Run(insns), $"optimised, seed {seed}");
        }
    }

    [Fact]
    public void The_interpreter_agrees()
    {
        for (int seed = 1000; seed < 4000; seed++)
        {
            List<Insn> insns = RandomPrograms.StraightWithBranches(new Random(seed), 60);
            ulong plain = JitRunner.Interpret(insns);
            Assert.True(plain == JitRunner.Run(insns, JitOptions.None), $"plain, seed {seed}");
            Assert.True(plain == JitRunner.Run(insns), $"seed {seed}");
            Assert.True(plain == JitRunner.Run(insns, JitOptions.Default with { Bmi2 = false }), $"without BMI2, seed {seed}");
        }
    }
}
