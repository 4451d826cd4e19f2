using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>Where engines could differ without any being wrong: each case has one answer, on all of them.</summary>
public sealed unsafe class AgreementTests
{
    private static readonly HelperTable s_helpers = new(
    [
        new HelperPrototype { Id = 12, Name = "bpf_tail_call", Return = ReturnType.Void, Args = [ArgType.PtrToCtx, ArgType.ConstMapPtr, ArgType.Anything] },
        new HelperPrototype
        {
            Id = 26, Name = "bpf_skb_load_bytes", Return = ReturnType.Integer, Implementation = &LoadNothing,
            Args = [ArgType.PtrToCtx, ArgType.Anything, ArgType.PtrToMem | ArgType.Uninit, ArgType.ConstSize],
        },
    ]);

    public static TheoryData<string> Engines => InsnCaseTests.Engines;

    public static TheoryData<string> FastEngines => [.. TestEngines.All.Select(e => e.Name).Where(name => name != "checked")];

    /// <summary>The counter lies in the function's frame, as in the kernel: each call gets 8 Mi rounds, and nothing is left behind them.</summary>
    [Theory, MemberData(nameof(FastEngines))]
    public void May_goto_grants_its_rounds_to_each_function_call(string engine) => CheckMayGoto(engine);

    [SlowFact]
    public void May_goto_grants_them_in_the_checked_interpreter_too() => CheckMayGoto("checked");

    private static void CheckMayGoto(string engine) => Assert.Equal(0x1000000UL, Run(engine, """
            r6 = 0
            call count
            r6 += r0
            call count
            r0 += r6
            exit
        count:
            r0 = 0
        again:
            may_goto out
            r0 += 1
            goto again
        out:
            may_goto end
            r0 = 0
        end:
            exit
        """));

    [Theory, MemberData(nameof(Engines))]
    public void A_function_whose_first_instruction_goes_is_still_called(string engine)
    {
        Insn[] insns = BpfAssembler.Program("""
                r1 = 5
                call pc+2
                r0 += 2
                exit
                goto pc+0
                *(u64 *)(r10 -8) = r1
                r0 = *(u64 *)(r10 -8)
                r0 += r1
                exit
            """, s_helpers).Insns;
        ExecutableProgram program = Verified(insns);
        Assert.Equal([0, 4], program.FunctionStarts);
        Assert.Equal(insns.Length - 1, program.Insns.Length);
        Assert.Equal(12UL, Run(engine, program));
    }

    [Theory, MemberData(nameof(Engines))]
    public void A_tail_call_that_cannot_be_made_leaves_EINVAL(string engine)
    {
        const string Text = """
            .map jump prog_array key=4 value=4 entries=2
            .section socket
            .func main
                r0 = 5
                r2 = map[jump]
                r3 = 7
                call bpf_tail_call
                exit
            """;
        AssembledProgram program = BpfAssembler.Program(Text, s_helpers);
        using BpfMap map = MapFactory.Create(program.Maps[0], 1).Map!;
        Assert.Equal(unchecked((ulong)-22L), Run(engine, new ExecutableProgram { Insns = [.. program.Insns.Select(i => i.IsLdImm64 ? i with { Imm = 0 } : i)], Maps = [map], Helpers = s_helpers }));
    }

    /// <summary>The kernel writes such a load as a call that exits the function it stands in.</summary>
    [Theory, MemberData(nameof(Engines))]
    public void A_packet_load_outside_the_packet_ends_its_function_alone(string engine) => Assert.Equal(3UL, Run(engine, """
            r0 = 5
            call look
            r0 += 3
            exit
        look:
            r6 = r1
            r0 = *(u8 *)skb[100]
            r0 += 40
            exit
        """));

    /// <summary>Root may read what it never wrote; whatever ran before must not show.</summary>
    [Theory]
    [InlineData("r0 = *(u64 *)(r10 -64)\nexit")]
    [InlineData("r0 = *(u32 *)(r10 -512)\nr1 = *(u8 *)(r10 -1)\nr0 += r1\nexit")]
    [InlineData("*(u32 *)(r10 -8) = 0\nr0 = *(u64 *)(r10 -8)\nexit")]
    [InlineData("r2 = *(u32 *)(r1 +0)\nr2 &= 56\nr3 = r10\nr3 += -64\nr3 += r2\nr0 = *(u64 *)(r3 +0)\nexit")]
    [InlineData("call inner\nexit\ninner: r0 = *(u64 *)(r10 -24)\nexit")]
    public void Stack_that_was_never_written_reads_as_zero(string text)
    {
        AssembledProgram dirty = BpfAssembler.Program(string.Join('\n', Enumerable.Range(1, 64).Select(n => $"*(u64 *)(r10 -{8 * n}) = -1")) + "\ncall inner\nexit\ninner:\n"
            + string.Join('\n', Enumerable.Range(1, 64).Select(n => $"*(u64 *)(r10 -{8 * n}) = -1")) + "\nr0 = 0\nexit");
        AssembledProgram program = BpfAssembler.Program(text);
        ExecutableProgram executable = Verified(program.Insns);
        Assert.True(executable.ReadsUninitStack);
        foreach (IProgramEngine engine in TestEngines.All)
        {
            Run(engine.Name, new ExecutableProgram { Insns = dirty.Insns, FunctionStarts = dirty.FunctionStarts, Verified = true });
            Assert.Equal(0UL, Run(engine.Name, executable));
        }
    }

    /// <summary>Only what leads backward, and calls, can make a program endless.</summary>
    [Theory, MemberData(nameof(Engines))]
    public void Jumps_forward_cost_no_fuel(string engine)
    {
        string text = string.Join('\n', Enumerable.Range(0, 50).Select(n => $"if r1 != 1 goto l{n}\nr0 = 1\nl{n}:")) + "\nr0 = 7\nexit";
        Assert.Equal(7UL, Run(engine, new ExecutableProgram { Insns = BpfAssembler.Insns(text) }, fuel: 0));
    }

    /// <summary>
    /// The way with r2 = 0 is walked second, and cut off at the label as equivalent to the first, where r2 was 7: what
    /// it is does not matter to the verifier, and so it must not matter to an engine.
    /// </summary>
    [Theory, MemberData(nameof(Engines))]
    public void A_divisor_is_not_taken_for_what_it_was_on_another_path(string engine)
    {
        ExecutableProgram program = Verified(BpfAssembler.Insns("""
                r3 = *(u32 *)(r1 +0)
                r2 = 0
                if r3 != 0 goto join
                r2 = 7
            join:
                r0 = 98
                r0 /= r2
                r3 = 5
                r3 %= r2
                r0 += r3
                exit
            """), out string log);
        Assert.Contains(": safe", log, StringComparison.Ordinal);
        Assert.Equal(19UL, Run(engine, program));
        Assert.Equal(5UL, Run(engine, program, input: 1));
    }

    private static ExecutableProgram Verified(Insn[] insns) => Verified(insns, out _);

    private static ExecutableProgram Verified(Insn[] insns, out string log)
    {
        const uint testStateFrequency = 1 << 3;
        VerifierResult verdict = EbpfVerifier.Verify(new VerifierInput
        {
            Insns = insns,
            Helpers = s_helpers,
            Attributes = new ProgramAttributes { Type = ProgramType.SocketFilter, Flags = testStateFrequency },
            LogLevel = 2,
            ProgramType = new ProgramTypeInfo
            {
                Type = ProgramType.SocketFilter,
                Name = "socket_filter",
                CheckContext = _ => ContextAccess.Scalar,
                AllowsHelper = (_, _) => true,
            },
        });
        Assert.True(verdict.Accepted, verdict.Log);
        log = verdict.Log;
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

    private static ulong Run(string engine, string text)
    {
        AssembledProgram program = BpfAssembler.Program(text, s_helpers);
        return Run(engine, new ExecutableProgram { Insns = program.Insns, FunctionStarts = program.FunctionStarts, Helpers = s_helpers });
    }

    private static ulong Run(string engine, ExecutableProgram program, long fuel = long.MaxValue / 2, ulong input = 0)
    {
        using LoadedProgram loaded = TestEngines.Find(engine).Load(program);
        ulong* ctx = stackalloc ulong[8];
        new Span<ulong>(ctx, 8).Clear();
        *ctx = input;
        var context = new RunContext { Fuel = fuel, RandomState = 1 };
        ulong result = loaded.Run(ctx, &context);
        Assert.Equal(RunFault.None, context.Fault);
        return result;
    }

    [UnmanagedCallersOnly]
    private static ulong LoadNothing(ulong ctx, ulong offset, ulong to, ulong length, ulong r5, RunContext* context) => unchecked((ulong)-14L);
}
