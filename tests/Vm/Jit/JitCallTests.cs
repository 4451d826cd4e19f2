using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>What leaves and enters emitted code: helpers, callbacks, tail calls, batches, faults.</summary>
public sealed unsafe class JitCallTests
{
    private static ExecutableProgram Program(string text, bool verified = true, params BpfMap[] maps)
    {
        AssembledProgram assembled = BpfAssembler.Program(text);
        return new ExecutableProgram
        {
            Insns = assembled.Insns, FunctionStarts = assembled.FunctionStarts, Helpers = TestHelpers.Table, Verified = verified, Maps = maps,
        };
    }

    private static ulong Run(string text, bool verified = true, params int[] callbacks)
    {
        ExecutableProgram executable = Program(text, verified);
        executable = executable with { FunctionStarts = [.. executable.FunctionStarts.Concat(callbacks).Distinct().Order()] };
        using LoadedProgram program = new JitEngine().Load(executable);
        RunContext context = new() { CpuId = 3, TimeNs = 12345, PidTgid = (7ul << 32) | 9, Fuel = 1_000_000 };
        ulong result = program.Run(0, 0, &context);
        Assert.Equal(RunFault.None, context.Fault);
        Assert.Equal(0, context.Program);
        return result;
    }

    private const string WeighText = """
        r1 = 1
        r2 = 2
        r3 = 3
        r4 = 4
        r5 = 5
        r6 = 1000000
        call 1001
        r0 += r6
        exit
        """;

    [Theory, InlineData(true), InlineData(false)]
    public void Helpers_get_five_arguments_and_the_context(bool verified) => Assert.Equal(1354321ul, Run(WeighText, verified));

    [Fact]
    public void Context_fields_are_read_without_a_call()
    {
        const string text = """
            call 5
            r6 = r0
            call 8
            r6 += r0
            call 14
            r6 += r0
            r0 = r6
            exit
            """;
        Assert.Equal(12345ul + 3 + ((7ul << 32) | 9), Run(text));
        using JitProgram inlined = (JitProgram)new JitEngine().Load(Program(text));
        Assert.DoesNotContain("call ", JitDump.Format(inlined, _ => "").Replace("; ", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Fact]
    public void Callbacks_run_and_keep_the_callers_registers() => Assert.Equal(10ul + 77, Run("""
        r6 = 77
        *(u64 *)(r10 -8) = 0
        r1 = 5
        r2 = subprog[9]
        r3 = r10
        r3 += -8
        r4 = 0
        call 181
        r0 = *(u64 *)(r10 -8)
        r0 += r6
        exit
        round:
        r6 = *(u64 *)(r2 +0)
        r6 += r1
        *(u64 *)(r2 +0) = r6
        r0 = 0
        exit
        """, true, 12));

    [Fact]
    public void A_chain_makes_33_tail_calls()
    {
        BpfMap map = MapFactory.Create(new MapSpec { Type = MapType.ProgArray, KeySize = 4, ValueSize = 4, MaxEntries = 2 }, 1).Map!;
        using (map)
        {
            const string text = """
                r6 = *(u64 *)(r1 +0)
                r6 += 1
                *(u64 *)(r1 +0) = r6
                r2 = 0 ll
                r3 = 1
                call 12
                r0 = 5
                exit
                """;
            ExecutableProgram program = Program(text, true, map);
            int load = Array.FindIndex(program.Insns, insn => insn.IsLdImm64);
            program.Insns[load] = new Insn(0x18, 2, (int)PseudoSource.MapFd, 0, 0);
            using LoadedProgram loaded = new JitEngine().Load(program);
            *(nint*)(map.Header->Data + map.Header->Stride) = loaded.Handle;
            ulong count = 0;
            RunContext context = default;
            Assert.Equal(5ul, loaded.Run(&count, &context));
            Assert.Equal(34ul, count);
            *(nint*)(map.Header->Data + map.Header->Stride) = 0;
        }
    }

    [Fact]
    public void A_batch_sets_time_and_task_for_each_run()
    {
        using LoadedProgram program = new JitEngine().Load(Program("""
            r6 = *(u32 *)(r1 +0)
            call 5
            r6 += r0
            call 14
            r0 += r6
            exit
            """));
        const int count = 100;
        RunRequest* requests = stackalloc RunRequest[count];
        uint* inputs = stackalloc uint[count];
        for (int i = 0; i < count; i++)
        {
            inputs[i] = (uint)i;
            requests[i] = new RunRequest { Ctx = inputs + i, TimeNs = (ulong)i * 1000, PidTgid = (ulong)i * 1_000_000 };
        }
        RunContext context = default;
        program.RunBatch(requests, count, &context);
        for (int i = 0; i < count; i++) Assert.Equal((ulong)i * 1_001_001, requests[i].Result);
    }

    [Theory]
    [InlineData("again: goto again", RunFault.OutOfFuel)]
    [InlineData("call f\nexit\nf: call f\nexit", RunFault.CallTooDeep)]
    [InlineData("r1 = 1\ncall 999\nexit", RunFault.BadInstruction)]
    public void Unverified_programs_are_stopped(string text, RunFault fault)
    {
        using LoadedProgram program = new JitEngine().Load(Program(text, verified: false));
        RunContext context = new() { Fuel = 1000 };
        Assert.Equal(0ul, program.Run(1, 2, &context));
        Assert.Equal(fault, context.Fault);
        // The stack and the context are as before: it can run again.
        context.Fuel = 1000;
        Assert.Equal(0ul, program.Run(1, 2, &context));
        Assert.Equal(0ul, context.EngineStack);
    }

    [Fact]
    public void Kernel_pointers_are_translated_or_read_zero()
    {
        byte* memory = stackalloc byte[64];
        for (int i = 0; i < 64; i++) memory[i] = (byte)(i + 0x80);
        RunContext context = new() { ArenaBase = 0xffff888000000000, ArenaLength = 64, ArenaMemory = memory };
        ulong Load(ulong address, int code, short off)
        {
            ExecutableProgram program = new() { Verified = true, Insns = [new Insn(code, 0, 1, off, 0), new Insn(0x95, 0, 0, 0, 0)] };
            RunContext inner = context;
            using LoadedProgram loaded = new JitEngine().Load(program);
            return loaded.Run(address, 0, &inner);
        }
        const int wide = 0x39, bytes = 0x31, signed = 0x51;
        Assert.Equal(0x8786858483828180ul, Load(context.ArenaBase, wide, 0));
        Assert.Equal(0xbful, Load(context.ArenaBase, bytes, 63));
        Assert.Equal(0xffffffffffffffbful, Load(context.ArenaBase + 1, signed, 62));
        foreach (ulong bad in new ulong[] { 0, 1, context.ArenaBase - 1, context.ArenaBase + 64, ulong.MaxValue, 0x7fffffffffffffff }) Assert.Equal(0ul, Load(bad, wide, 0));
        Assert.Equal(0ul, Load(context.ArenaBase, wide, 57));
    }

    [SlowFact]
    public void Allocating_helpers_survive_collections_for_a_minute()
    {
        using LoadedProgram program = new JitEngine().Load(Program("""
            r6 = 200
            r7 = 0
            again:
            r1 = 20000
            call 1002
            r7 += r0
            r6 += -1
            if r6 != 0 goto again
            r0 = r7
            exit
            """));
        DateTime end = DateTime.UtcNow.AddMinutes(1);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            RunContext context = default;
            while (DateTime.UtcNow < end) Assert.Equal(4_000_000ul, program.Run(0, 0, &context));
        }))];
        foreach (Thread thread in threads) thread.Start();
        while (DateTime.UtcNow < end) GC.Collect();
        foreach (Thread thread in threads) thread.Join();
    }
}
