using BpfSim.Tests.Shared;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Whatever is accepted runs in the checked interpreter, which stops at every access that is not allowed, without a stop.</summary>
public unsafe class SoundnessTests
{
    private const int ContextSize = 192, RunsEach = 4;

    private static int RunAccepted(int first, int count)
    {
        var engine = new CheckedEngine { ContextSize = _ => ContextSize };
        byte* ctx = stackalloc byte[ContextSize];
        RunContext* context = stackalloc RunContext[1];
        int accepted = 0;
        for (int seed = first; seed < first + count; seed++)
        {
            Insn[] insns = RandomScalarPrograms.Make(seed);
            VerifierResult result = Judges.Ours(ProgramType.SocketFilter, insns, [], logLevel: 0);
            if (!result.Accepted) continue;
            accepted++;
            using LoadedProgram program = engine.Load(new ExecutableProgram
            {
                Name = "random",
                Type = ProgramType.SocketFilter,
                Insns = result.Xlated,
                FunctionStarts = result.FunctionStarts,
                StackDepths = result.StackDepths,
                Facts = result.Facts,
                Verified = true,
            });
            var random = new Random(seed);
            for (int run = 0; run < RunsEach; run++)
            {
                random.NextBytes(new Span<byte>(ctx, ContextSize));
                *context = new RunContext { RandomState = 1, Fuel = 1 << 24 };
                program.Run(ctx, context);
                Assert.True(context->Fault == RunFault.None, $"seed {seed}, run {run}: {context->Fault} at insn {context->FaultInsn}: {CheckedProgram.Report}");
            }
        }

        return accepted;
    }

    [Fact]
    public void AcceptedProgramsNeverStop() => Assert.True(RunAccepted(1, 2_000) > 50);

    [SlowFact]
    public void AcceptedProgramsNeverStopAtLength() => Assert.True(RunAccepted(1_000_000, 2_500_000) > 100_000);
}
