using BpfSim.Tests.Shared;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Tests.Isa;
using BpfSim.Vm.Verifier;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>Random programs: all engines, and the host's kernel, agree on r0.</summary>
public sealed class DifferentialTests
{
    [Theory, MemberData(nameof(InsnCaseTests.Engines), MemberType = typeof(InsnCaseTests))]
    public void Engines_agree_with_the_interpreter(string engine)
    {
        IProgramEngine other = TestEngines.Find(engine), interpreter = TestEngines.Find("interpreter");
        for (int first = FirstSeed(1), seed = first; seed < first + 3000; seed++)
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
        for (int first = FirstSeed(1_000_000), seed = first; seed < first + 100_000; seed++)
        {
            AssembledProgram program = Program(RandomProgram.Create(seed));
            string[] results = [.. TestEngines.All.Select(engine => TestEngines.Run(engine, program, [])).Distinct()];
            Assert.True(results.Length == 1, $"seed {seed}: {string.Join(", ", results)}\n{string.Join('\n', Disassembler.Dump(program.Insns))}");
        }
    }

    [Fact]
    public void Engines_agree_on_verified_programs() => CheckVerified(FirstSeed(5_000), 1_000);

    [SlowFact]
    public void Engines_agree_on_50_000_verified_programs() => CheckVerified(FirstSeed(2_000_000), 50_000);

    /// <summary>What the verifier rewrote and found out makes engines take other ways, but to the same end.</summary>
    private static void CheckVerified(int first, int count)
    {
        for (int seed = first; seed < first + count; seed++)
        {
            Insn[] insns = RandomProgram.Create(seed);
            ExecutableProgram verified = Verified(insns, seed);
            string expected = TestEngines.Run(TestEngines.Find("interpreter"), HasFetch(insns) ? verified : Unverified(insns), []);
            foreach (IProgramEngine engine in TestEngines.All)
            {
                string result = TestEngines.Run(engine, verified, []);
                Assert.True(expected == result, $"seed {seed}: {expected}, {engine.Name} {result}\n{string.Join('\n', Disassembler.Dump(verified.Insns))}\nfrom\n{string.Join('\n', Disassembler.Dump(insns))}");
            }
        }
    }

    private static ExecutableProgram Verified(Insn[] insns, int seed)
    {
        VerifierResult verdict = EbpfVerifier.Verify(new VerifierInput
        {
            Insns = insns,
            Helpers = HelperTable.Empty,
            Attributes = new ProgramAttributes { Type = ProgramType.SocketFilter },
            ProgramType = new ProgramTypeInfo
            {
                Type = ProgramType.SocketFilter,
                Name = "socket_filter",
                CheckContext = _ => ContextAccess.Invalid,
                AllowsHelper = (_, _) => false,
            },
        });
        Assert.True(verdict.Accepted, $"seed {seed}: {verdict.Message}\n{string.Join('\n', Disassembler.Dump(insns))}");
        return new ExecutableProgram
        {
            Insns = verdict.Xlated,
            FunctionStarts = verdict.FunctionStarts,
            StackDepths = verdict.StackDepths,
            ReadsUninitStack = verdict.ReadsUninitStack,
            Facts = verdict.Facts,
            Verified = true,
        };
    }

    private static ExecutableProgram Unverified(Insn[] insns)
    {
        AssembledProgram program = Program(insns);
        return new ExecutableProgram { Insns = program.Insns, FunctionStarts = program.FunctionStarts };
    }

    /// <summary>
    /// Linux 6.18 does not trace what must be precise through atomic operations that fetch from the stack, and may remove
    /// code behind them that runs. So does the verifier here, and the machine's own kernel is no better.
    /// </summary>
    private static bool HasFetch(Insn[] insns) => insns.Any(i => InsnTable.Find(i)?.Row.Syntax is InsnSyntax.AtomicFetch or InsnSyntax.AtomicCompare);

    /// <summary>BPFSIM_SEED moves the random programs to seeds that nobody has tried.</summary>
    private static int FirstSeed(int usual) => int.TryParse(Environment.GetEnvironmentVariable("BPFSIM_SEED"), out int seed) ? seed : usual;

    /// <summary>Any instructions that decode: wild addresses, loops, calls; each run ends in a value or a report.</summary>
    [Fact]
    public void Wild_programs_never_crash_the_checked_interpreter()
    {
        IProgramEngine engine = TestEngines.Find("checked");
        InsnForm[] forms = [.. InsnTable.Forms];
        int faults = 0, values = 0;
        for (int seed = 0; seed < 20_000; seed++)
        {
            var random = new Random(seed);
            var insns = new List<Insn>();
            for (int i = random.Next(1, 12); i > 0; i--)
            {
                foreach (Insn insn in Sample.Of(forms[random.Next(forms.Length)], random))
                {
                    bool jump = insn.Class is InsnClass.Jmp or InsnClass.Jmp32;
                    insns.Add(!jump ? insn : insn.IsLocalCall || insn.Class == InsnClass.Jmp32 && insn.JmpOp == JmpOp.Ja
                        ? insn with { Imm = random.Next(-4, 4) } : insn with { Off = insn.IsKfuncCall || insn.IsHelperCall ? (short)0 : (short)random.Next(-4, 4) });
                }
            }

            insns.Add(InsnTable.Find(InsnOp.Exit, InsnClass.Jmp)!.Build());
            string result = TestEngines.Run(engine, new AssembledProgram("wild", "", "", [.. insns], [0], new Dictionary<int, string>(), []), [1, 2, 3, 4, 5, 6, 7, 8], fuel: 2000);
            if (result.StartsWith("0x", StringComparison.Ordinal)) values++;
            else faults++;
        }

        Assert.True(values > 1000 && faults > 1000, $"{values} values, {faults} faults");
    }

    [HostKernelFact]
    public void The_host_agrees_with_the_interpreter()
    {
        IProgramEngine interpreter = TestEngines.Find("interpreter");
        int count = Environment.GetEnvironmentVariable("BPFSIM_SLOW") == "1" ? 10_000 : 500;
        for (int first = FirstSeed(10_000), seed = first; seed < first + count; seed++)
        {
            Insn[] insns = RandomProgram.Create(seed);
            string expected = HostRun.Run(insns, []), actual = TestEngines.Run(interpreter, Program(insns), []);
            if (expected != actual && HasFetch(insns)) continue;
            Assert.True(expected == actual, $"seed {seed}: kernel {expected}, here {actual}\n{string.Join('\n', Disassembler.Dump(insns))}");
        }
    }

    private static AssembledProgram Program(Insn[] insns)
    {
        int[] calls = [.. Enumerable.Range(0, insns.Length).Where(slot => insns[slot].IsLocalCall).Select(slot => slot + insns[slot].Imm + 1)];
        return new AssembledProgram("random", "", "", insns, [0, .. calls], new Dictionary<int, string>(), []);
    }
}
