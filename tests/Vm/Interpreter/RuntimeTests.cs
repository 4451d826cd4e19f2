using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>What needs helpers, maps or a simulated kernel: calls, callbacks, tail calls, packet loads, loads that may fault.</summary>
public sealed unsafe class RuntimeTests
{
    private static readonly HelperTable s_helpers = new(
    [
        Row(1, "sum5", ReturnType.Integer, [ArgType.Anything, ArgType.Anything, ArgType.Anything, ArgType.Anything, ArgType.Anything], &Sum),
        Row(12, "bpf_tail_call", ReturnType.Integer, [ArgType.PtrToCtx, ArgType.ConstMapPtr, ArgType.Anything], null),
        Row(26, "bpf_skb_load_bytes", ReturnType.Integer, [ArgType.PtrToCtx, ArgType.Anything, ArgType.PtrToMem | ArgType.Uninit, ArgType.ConstSize], &LoadBytes),
        Row(181, "bpf_loop", ReturnType.Integer, [ArgType.Anything, ArgType.PtrToFunc, ArgType.Anything, ArgType.Anything], &Loop),
        Row(200, "fill", ReturnType.Integer, [ArgType.PtrToMem | ArgType.Write, ArgType.ConstSize], &Fill),
        Row(201, "missing", ReturnType.Integer, [], null),
    ]);

    public static TheoryData<string> Engines => InsnCaseTests.Engines;

    [Theory, MemberData(nameof(Engines))]
    public void A_helper_gets_five_arguments_and_the_context(string engine) =>
        Assert.Equal(0x1234UL + 15, Run(engine, "r1 = 1\nr2 = 2\nr3 = 3\nr4 = 4\nr5 = 5\ncall sum5\nexit", time: 0x1234));

    [Theory, MemberData(nameof(Engines))]
    public void A_helper_without_implementation_is_not_supported(string engine) =>
        Assert.Equal(unchecked((ulong)-95L), Run(engine, "call missing\nexit"));

    [Theory, MemberData(nameof(Engines))]
    public void A_callback_runs_with_its_own_frame_and_the_caller_s_pointer(string engine) => Assert.Equal(45UL * 2 + 10, Run(engine, """
            *(u64 *)(r10 -8) = 0
            r6 = 10
            r1 = 10
            r2 = &add
            r3 = r10
            r3 += -8
            r4 = 0
            call bpf_loop
            r1 = *(u64 *)(r10 -8)
            r0 = r1
            r0 += r6
            exit
        add:
            *(u64 *)(r10 -8) = r1
            r3 = *(u64 *)(r10 -8)
            r3 *= 2
            r4 = *(u64 *)(r2 +0)
            r4 += r3
            *(u64 *)(r2 +0) = r4
            r6 = 99
            r0 = 0
            exit
        """));

    [Theory, MemberData(nameof(Engines))]
    public void A_callback_s_result_ends_the_loop(string engine) => Assert.Equal(4UL, Run(engine, """
            r1 = 100
            r2 = &once
            r3 = 0
            r4 = 0
            call bpf_loop
            exit
        once:
            r0 = 0
            if r1 < 3 goto more
            r0 = 1
        more:
            exit
        """));

    [Theory, MemberData(nameof(Engines))]
    public void A_stack_address_may_be_moved_on_downward(string engine) => Assert.Equal(0x1111UL, Run(engine, """
            r6 = r10
            r6 += -8
            r1 = 1
            r2 = 0
            r3 = 0
            r4 = 0
            r5 = 0
            call sum5
            r7 = 0x1111
            *(u64 *)(r6 -120) = r7
            call sum5
            r0 = *(u64 *)(r6 -120)
            exit
        """));

    [Theory, MemberData(nameof(Engines))]
    public void Packet_loads_are_in_network_order_and_end_the_program_outside_the_packet(string engine)
    {
        const string Load = "r6 = r1\nr0 = *(u16 *)skb[2]\nexit";
        Assert.Equal(0x0203UL, Run(engine, Load));
        Assert.Equal(0x04050607UL, Run(engine, "r6 = r1\nr2 = 3\nr0 = *(u32 *)skb[r2 + 1]\nexit"));
        Assert.Equal(0UL, Run(engine, "r6 = r1\nr0 = 7\nr0 = *(u32 *)skb[30]\nr0 = 9\nexit"));
    }

    [Theory, MemberData(nameof(Engines))]
    public void Loads_that_may_fault_read_the_arena_or_zero(string engine)
    {
        Insn[] Probe(MemSize size, MemMode mode, short off) =>
        [
            .. BpfAssembler.Insns("r1 = 0xffff888000000000"),
            new((byte)InsnClass.Ldx | (byte)size | (byte)mode, 0, 1, off, 0), .. BpfAssembler.Insns("exit"),
        ];
        Assert.Equal(0xa7a6a5a4a3a2a1a0UL, Run(engine, Probe(MemSize.Dw, MemMode.ProbeMem, 0)));
        Assert.Equal(0xa9a8UL, Run(engine, Probe(MemSize.H, MemMode.ProbeMem, 8)));
        Assert.Equal(0xffffffffffffffa1UL, Run(engine, Probe(MemSize.B, MemMode.ProbeMemSx, 1)));
        Assert.Equal(0UL, Run(engine, Probe(MemSize.W, MemMode.ProbeMem, 14)));
        Assert.Equal(0UL, Run(engine, Probe(MemSize.Dw, MemMode.ProbeMem, -8)));
    }

    [Theory, MemberData(nameof(Engines))]
    public void Tail_calls_replace_the_program_and_stop_after_33(string engine)
    {
        const string Text = """
            .map jump prog_array key=4 value=4 entries=2
            .section socket
            .func self
                r6 = r1
                r2 = *(u64 *)(r6 +0)
                r2 += 1
                *(u64 *)(r6 +0) = r2
                r2 = map[jump]
                r3 = 0
                call bpf_tail_call
                r0 = *(u64 *)(r6 +0)
                exit
            """;
        AssembledProgram program = BpfAssembler.Program(Text, s_helpers);
        using BpfMap map = CreateMap(program.Maps[0]);
        using LoadedProgram loaded = Load(engine, program.Insns, program.FunctionStarts, [map]);
        ulong counter = 0;
        RunContext context = NewContext();
        Assert.Equal(1UL, loaded.Run(&counter, &context));
        uint slot = 0;
        Assert.Equal(0, map.UpdateReference(MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in slot)), new TestReferent(loaded)));
        counter = 0;
        Assert.Equal(34UL, loaded.Run(&counter, &context));
        Assert.Equal(RunFault.None, context.Fault);
        Assert.Equal(0u, context.TailCalls);
    }

    [Theory, MemberData(nameof(Engines))]
    public void A_tail_call_in_a_function_comes_back_to_its_caller(string engine)
    {
        AssembledProgram outer = BpfAssembler.Program("""
            .map jump prog_array key=4 value=4 entries=2
            .section socket
            .func outer
                r6 = 1
                call inner
                r0 += r6
                exit
            inner:
                r2 = map[jump]
                r3 = 1
                call bpf_tail_call
                r0 = 0
                exit
            """, s_helpers);
        using BpfMap map = CreateMap(outer.Maps[0]);
        using LoadedProgram caller = Load(engine, outer.Insns, outer.FunctionStarts, [map]);
        using LoadedProgram target = Load(engine, BpfAssembler.Insns("r6 = 7\nr0 = *(u64 *)(r1 +0)\nexit"), [0], []);
        ulong value = 41;
        uint slot = 1;
        RunContext context = NewContext();
        Assert.Equal(1UL, caller.Run(&value, &context));
        Assert.Equal(0, map.UpdateReference(MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in slot)), new TestReferent(target)));
        Assert.Equal(42UL, caller.Run(&value, &context));
    }

    [Theory, MemberData(nameof(Engines))]
    public void A_batch_gives_each_run_its_time_and_keeps_its_result(string engine)
    {
        using LoadedProgram loaded = Load(engine, BpfAssembler.Insns("r1 = *(u64 *)(r1 +0)\nr2 = 0\nr3 = 0\nr4 = 0\nr5 = 0\ncall sum5\nexit", s_helpers), [0], []);
        ulong* contexts = stackalloc ulong[3] { 10, 20, 30 };
        RunRequest* requests = stackalloc RunRequest[3];
        for (int i = 0; i < 3; i++) requests[i] = new RunRequest { Ctx = contexts + i, TimeNs = (ulong)(i + 1) };
        RunContext context = NewContext();
        loaded.RunBatch(requests, 3, &context);
        Assert.Equal((11UL, 22UL, 33UL), (requests[0].Result, requests[1].Result, requests[2].Result));
    }

    [Theory]
    [InlineData("r1 = 5\nr0 = *(u64 *)(r1 +0)\nexit", "insn 1: (79) r0 = *(u64 *)(r1 +0): 8-byte read at 0x5: r1 is no pointer; r1=0x5")]
    [InlineData("r0 = *(u64 *)(r10 -520)\nexit", "insn 0: (79) r0 = *(u64 *)(r10 -520): 8-byte read at ADDRESS: outside stack (512 bytes), offset -8; r10=ADDRESS")]
    [InlineData("*(u32 *)(r10 -2) = 1\nexit", "insn 0: (62) *(u32 *)(r10 -2) = 1: 4-byte write at ADDRESS: outside stack (512 bytes), offset 510; r10=ADDRESS")]
    [InlineData("r2 = *(u8 *)(r1 +16)\nexit", "insn 0: (71) r2 = *(u8 *)(r1 +16): 1-byte read at ADDRESS: outside memory (16 bytes), offset 16; r1=ADDRESS")]
    [InlineData("r2 = r10\nr2 -= 4\nr3 = 3\nr2 += r3\nr0 = *(u8 *)(r2 +0)\nexit", "")]
    [InlineData("r3 = 8\nr3 += r10\nr3 -= r10\nr0 = *(u8 *)(r3 +0)\nexit", "insn 3: (71) r0 = *(u8 *)(r3 +0): 1-byte read at 0x8: r3 is no pointer; r3=0x8")]
    [InlineData("r2 = r10\nr2 &= -16\nr0 = *(u8 *)(r2 -1)\nexit", "insn 2: (71) r0 = *(u8 *)(r2 -1): 1-byte read at ADDRESS: r2 is no pointer; r2=ADDRESS")]
    [InlineData("*(u64 *)(r10 -8) = r10\nr2 = *(u64 *)(r10 -8)\nr0 = *(u8 *)(r2 -1)\nexit", "")]
    [InlineData("*(u64 *)(r10 -8) = r1\n*(u8 *)(r10 -8) = 0\nr2 = *(u64 *)(r10 -8)\nr0 = *(u8 *)(r2 +200)\nexit", "insn 3: (71) r0 = *(u8 *)(r2 +200): 1-byte read at ADDRESS: r2 is no pointer; r2=ADDRESS")]
    [InlineData("r1 = r10\nr1 += -8\nr2 = 16\ncall fill\nexit", "insn 3: (85) call unknown#200: argument 1 of fill: 16 bytes reach outside stack (512 bytes), offset 504; r1=ADDRESS")]
    [InlineData("r1 = 7\nr2 = 16\ncall fill\nexit", "insn 2: (85) call unknown#200: argument 1 of fill: no pointer; r1=0x7")]
    [InlineData("again: goto again", "insn 0: (05) goto pc-1: the program took more jumps than it is allowed")]
    public void The_checked_interpreter_reports(string text, string report)
    {
        using LoadedProgram loaded = Load("checked", BpfAssembler.Insns(text, s_helpers), [0], []);
        RunContext context = NewContext();
        byte[] memory = GC.AllocateArray<byte>(16, pinned: true);
        fixed (byte* at = memory) loaded.Run((ulong)at, 16, &context);
        string actual = System.Text.RegularExpressions.Regex.Replace(CheckedProgram.Report ?? "", "0x[0-9a-f]{6,}", "ADDRESS");
        // A pointer whose lowest byte was overwritten is a number, or by chance an address in the same memory.
        Assert.Equal(report, actual.Contains("outside memory (16 bytes)", StringComparison.Ordinal) && text.Contains("+200", StringComparison.Ordinal) ? report : actual);
        Assert.Equal(report.Length == 0, context.Fault == RunFault.None);
    }

    /// <summary>Instructions jump to each other for ever here: no stack may grow, and the collector must be able to stop the thread.</summary>
    [Theory, MemberData(nameof(Engines))]
    public void A_run_without_end_does_not_hold_up_the_garbage_collector(string engine)
    {
        using LoadedProgram loaded = Load(engine, BpfAssembler.Insns("again: r2 = *(u64 *)(r1 +0)\nif r2 == 0 goto again\nr0 = r2\nexit"), [0], []);
        ulong[] flag = GC.AllocateArray<ulong>(1, pinned: true);
        nint at = Marshal.UnsafeAddrOfPinnedArrayElement(flag, 0);
        ulong result = 0;
        var thread = new Thread(() =>
        {
            // Used up after some seconds, should the collector wait for the program.
            RunContext context = new() { Fuel = 5_000_000_000, RandomState = 1 };
            result = loaded.Run((ulong)at, 8, &context);
        });
        thread.Start();
        for (int i = 0; i < 5; i++)
        {
            Thread.Sleep(2);
            GC.Collect();
        }

        Volatile.Write(ref flag[0], 7);
        thread.Join();
        Assert.Equal(7UL, result);
    }

    [Fact]
    public void The_observer_sees_registers_before_each_instruction()
    {
        var seen = new List<(int, ulong)>();
        var engine = new CheckedEngine { Observer = (_, slot, _, registers, regions) => seen.Add((slot, registers[0])) };
        using LoadedProgram loaded = engine.Load(new ExecutableProgram { Insns = BpfAssembler.Insns("r0 = 1\nr0 += 4\nexit") });
        RunContext context = NewContext();
        Assert.Equal(5UL, loaded.Run(0, 0, &context));
        Assert.Equal([(0, 0UL), (1, 1UL), (2, 5UL)], seen);
        Assert.Equal(3UL, context.InsnsExecuted);
    }

    private static ulong Run(string engine, string text, ulong time = 0) => Run(engine, BpfAssembler.Insns(text, s_helpers), time);

    private static ulong Run(string engine, Insn[] insns, ulong time = 0)
    {
        int[] starts = [0, .. insns.Select((insn, slot) => insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func ? slot + 1 + insn.Imm : 0).Where(s => s > 0)];
        using LoadedProgram loaded = Load(engine, insns, starts, []);
        byte* packet = stackalloc byte[16];
        for (int i = 0; i < 16; i++) packet[i] = (byte)i;
        byte* arena = stackalloc byte[16];
        for (int i = 0; i < 16; i++) arena[i] = (byte)(0xa0 + i);
        RunContext context = NewContext();
        (context.ArenaBase, context.ArenaLength, context.TimeNs) = (0xffff888000000000, 16, time);
        context.ArenaMemory = arena;
        ulong result = loaded.Run(packet, &context);
        Assert.Equal(RunFault.None, context.Fault);
        return result;
    }

    private static RunContext NewContext() => new() { Fuel = 10_000, RandomState = 1 };

    /// <summary>Marked as verified where the verifier's own instructions are used.</summary>
    private static LoadedProgram Load(string engine, Insn[] insns, int[] starts, BpfMap[] maps) => TestEngines.Find(engine).Load(new ExecutableProgram
    {
        Insns = maps.Length == 0 ? insns : [.. insns.Select(insn => insn.IsLdImm64 ? new Insn(insn.Code, insn.Dst, insn.Src, 0, 0) : insn)],
        FunctionStarts = starts,
        Helpers = s_helpers,
        Maps = maps,
        Verified = insns.Any(i => i.Class == InsnClass.Ldx && i.Mode is MemMode.ProbeMem or MemMode.ProbeMemSx),
    });

    private static BpfMap CreateMap(MapSpec spec) => MapFactory.Create(spec, 1).Map ?? throw new InvalidOperationException(spec.Name);

    private static HelperPrototype Row(
        int id, string name, ReturnType result, ArgType[] args, delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> implementation) =>
        new() { Id = id, Name = name, Return = result, Args = args, Implementation = implementation };

    [UnmanagedCallersOnly]
    private static ulong Sum(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => r1 + r2 + r3 + r4 + r5 + context->TimeNs;

    [UnmanagedCallersOnly]
    private static ulong LoadBytes(ulong ctx, ulong offset, ulong to, ulong length, ulong r5, RunContext* context)
    {
        if (offset + length > 16) return unchecked((ulong)-14L);
        Buffer.MemoryCopy((byte*)ctx + offset, (void*)to, length, length);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Loop(ulong rounds, ulong function, ulong argument, ulong flags, ulong r5, RunContext* context)
    {
        LoadedProgram program = LoadedProgram.Running(context)!;
        ulong i = 0;
        while (i < rounds)
        {
            ulong stop = program.InvokeCallback((int)function, i++, argument, 0, 0, 0, context);
            if (stop != 0 || context->Fault != RunFault.None) break;
        }

        return i;
    }

    [UnmanagedCallersOnly]
    private static ulong Fill(ulong to, ulong length, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        new Span<byte>((void*)to, (int)length).Fill(7);
        return 0;
    }

    private sealed class TestReferent(LoadedProgram program) : IMapProgram
    {
        public uint Id => 1;

        public nint Handle => program.Handle;

        public void* Entry => null;

        public void Retain()
        {
        }

        public void Release()
        {
        }
    }
}
