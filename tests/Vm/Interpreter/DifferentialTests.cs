using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>Random programs: all engines, and the host's kernel, agree on r0.</summary>
public sealed class DifferentialTests
{
    [Theory, MemberData(nameof(InsnCaseTests.Engines), MemberType = typeof(InsnCaseTests))]
    public void Engines_agree_with_the_interpreter(string engine)
    {
        IProgramEngine other = TestEngines.Find(engine), interpreter = TestEngines.Find("interpreter");
        for (int seed = 1; seed <= 3000; seed++)
        {
            AssembledProgram program = Program(RandomProgram.Create(seed));
            string expected = TestEngines.Run(interpreter, program, []), actual = TestEngines.Run(other, program, []);
            Assert.True(expected == actual, $"seed {seed}: interpreter {expected}, {engine} {actual}\n{string.Join('\n', Disassembler.Dump(program.Insns))}");
            Assert.StartsWith("0x", expected, StringComparison.Ordinal);
        }
    }

    [SlowFact]
    public void All_engines_agree_on_100_000_programs()
    {
        for (int seed = 1_000_000; seed < 1_100_000; seed++)
        {
            AssembledProgram program = Program(RandomProgram.Create(seed));
            string[] results = [.. TestEngines.All.Select(engine => TestEngines.Run(engine, program, [])).Distinct()];
            Assert.True(results.Length == 1, $"seed {seed}: {string.Join(", ", results)}\n{string.Join('\n', Disassembler.Dump(program.Insns))}");
        }
    }

    [HostKernelFact]
    public void The_host_agrees_with_the_interpreter()
    {
        IProgramEngine interpreter = TestEngines.Find("interpreter");
        for (int seed = 10_000; seed < 10_500; seed++)
        {
            Insn[] insns = RandomProgram.Create(seed);
            string expected = HostRun.Run(insns, []), actual = TestEngines.Run(interpreter, Program(insns), []);
            Assert.True(expected == actual, $"seed {seed}: kernel {expected}, here {actual}\n{string.Join('\n', Disassembler.Dump(insns))}");
        }
    }

    private static AssembledProgram Program(Insn[] insns)
    {
        int[] calls = [.. Enumerable.Range(0, insns.Length).Where(slot => insns[slot].IsLocalCall).Select(slot => slot + insns[slot].Imm + 1)];
        return new AssembledProgram("random", "", "", insns, [0, .. calls], new Dictionary<int, string>(), []);
    }
}
