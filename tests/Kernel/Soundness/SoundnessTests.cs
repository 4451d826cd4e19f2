using System.Diagnostics;
using System.Globalization;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using Xunit.Abstractions;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>
/// Whatever the verifier accepts runs without a stop where every access is checked, stays within the states
/// that the verifier explored, and comes out the same in all engines.
/// </summary>
public class SoundnessTests(ITestOutputHelper output)
{
    private const int RunsEach = 3;

    private int RunAccepted(int firstSeed, int wanted)
    {
        using var runner = new SoundnessRunner();
        long started = Stopwatch.GetTimestamp();
        int seed = firstSeed;
        for (; runner.Accepted < wanted; seed++)
        {
            TypedProgram program = TypedProgram.Make(seed);
            string? wrong;
            try
            {
                wrong = runner.Check(program, seed, RunsEach);
            }
            catch (NullReferenceException e)
            {
                wrong = e.ToString();
            }

            Assert.True(wrong == null, $"seed {seed}: {wrong}\n{string.Join('\n', Disassembler.Dump(program.Insns))}");
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seeds {firstSeed} to {seed - 1}: {runner.Accepted} accepted; steps within the explored states: {runner.Compared.AllNumbers} with all numbers, {runner.Compared.PreciseNumbers} with the precise ones; {runner.EngineRuns} runs alike in all engines; {Stopwatch.GetElapsedTime(started).TotalSeconds:F0} s"));
        return seed - firstSeed;
    }

    [Fact]
    public void AcceptedProgramsStayWithinWhatWasProved() => Assert.True(RunAccepted(1, 1500) < 15_000, "too few of the random programs are accepted");

    [SlowFact]
    public void AcceptedProgramsStayWithinWhatWasProvedAtLength() => RunAccepted(1_000_000, 100_000);
}
