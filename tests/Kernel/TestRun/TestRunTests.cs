using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Tests.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.TestRun;

/// <summary>BPF_PROG_TEST_RUN on the object with a bit of everything, and on the machine's own rules.</summary>
public sealed class TestRunTests
{
    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Checked)]
    public void Programs_compute_what_their_source_says(EngineKind engine)
    {
        using var machine = new Machine(new MachineSpec { Cpus = 2, Engine = engine, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(TestObjects.Features);
        obj.Load(machine);

        // total = 3 + 5; len = 50, (50 + 4) * 2; custom = 9; text[2] = 'n'; zeroed = 1.
        Assert.Equal(8u + 108 + 9 + 'n' + 1, Run(obj, "globals"));
        Assert.Equal(8ul, obj.Map(".data").GetVariable<ulong>("total"));
        Assert.Equal(0u + 1 + 2 + 3 + 4 * 5, Run(obj, "callback"));
        Assert.Equal(17u, Run(obj, "jump"));
        Assert.Equal(8u, Run(obj, "nested"));
        Assert.Equal(6u + 1, Run(obj, "config"));

        static uint Run(BpfObject obj, string program)
        {
            var attr = new TestRunAttr { ProgFd = obj.Program(program).Fd, DataIn = new byte[64], DataSizeOut = 64 };
            Assert.Equal(0, obj.Machine!.Bpf.ProgTestRun(attr));
            Assert.Equal(64, attr.DataOut.Length);
            return attr.Retval;
        }
    }

    /// <summary>The main function names 8 bytes of its stack; those that get the address use another 120 below them.</summary>
    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Checked)]
    public void A_stack_address_may_be_moved_on_downward(EngineKind engine)
    {
        string[] slots = [.. Enumerable.Range(1, 15).Select(i => $"*(u64 *)(r1 -{i * 8})")];
        using var machine = new Machine(new MachineSpec { Cpus = 1, Engine = engine, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(BpfAssembler.ToElf($"""
            .license "GPL"
            .section socket
            .func main
                r6 = r10
                r6 += -8
                r1 = r6
                call write
                call bpf_get_prandom_u32
                r1 = r6
                call read
                exit
            write:
                {string.Join('\n', slots.Select(slot => $"{slot} = 3"))}
                r0 = 0
                exit
            read:
                r0 = 0
                {string.Join('\n', slots.Select(slot => $"r2 = {slot}\nr0 += r2"))}
                exit
            """, HelperCatalog.Table), "downward");
        obj.Load(machine);
        var attr = new TestRunAttr { ProgFd = obj.Program("main").Fd, DataIn = new byte[64], DataSizeOut = 64 };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(45u, attr.Retval);
    }

    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Checked)]
    public void A_packet_lies_between_the_addresses_in_its_context(EngineKind engine)
    {
        using var machine = new Machine(new MachineSpec { Cpus = 1, Engine = engine, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(BpfAssembler.ToElf("""
            .license "GPL"
            .section xdp
            .func main
                r2 = *(u32 *)(r1 +0)
                r3 = *(u32 *)(r1 +4)
                r0 = 0
                r4 = r2
                r4 += 20
                if r4 > r3 goto out
                r0 = *(u8 *)(r2 +19)
                *(u8 *)(r2 +0) = 7
            out:
                exit
            """, HelperCatalog.Table), "packet");
        obj.Load(machine);
        var attr = new TestRunAttr { ProgFd = obj.Program("main").Fd, DataIn = [.. Enumerable.Range(1, 20).Select(n => (byte)n)], DataSizeOut = 64 };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal((20u, 7), (attr.Retval, attr.DataOut[0]));
    }

    /// <summary>As with the sysctl bpf_stats_enabled: every run counts while someone holds the descriptor, on every engine.</summary>
    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Checked)]
    public void Runs_are_counted_while_statistics_are_on(EngineKind engine)
    {
        using var machine = new Machine(new MachineSpec { Cpus = 1, Engine = engine, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(BpfAssembler.ToElf("r0 = 1\nexit", HelperCatalog.Table), "counted");
        obj.Load(machine);
        int fd = obj.Program("main").Fd;
        void Run(uint repeat) => Assert.Equal(0, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = fd, DataIn = new byte[64], Repeat = repeat }));
        var program = (BpfProgram)machine.Bpf.ObjGetInfoByFd(fd)!;
        Run(3);
        Assert.Equal((0ul, 0ul), (program.RunCount, program.RunTimeNs));
        int statistics = machine.Bpf.EnableStats(0);
        Assert.True(statistics > 0);
        Run(1);
        Run(4);
        Assert.Equal(5ul, program.RunCount);
        Assert.True(program.RunTimeNs > 0);
        machine.Bpf.Fds.Close(statistics);
        Run(7);
        Assert.Equal(5ul, program.RunCount);
    }

    /// <summary>A program that the verifier would never let through: pt_regs ends at 168 bytes.</summary>
    [Theory]
    [InlineData(160, RunFault.None)]
    [InlineData(168, RunFault.BadAccess)]
    public unsafe void The_checked_interpreter_knows_where_contexts_end(int offset, RunFault fault)
    {
        using LoadedProgram program = Platform.Engine(EngineKind.Checked).Load(new ExecutableProgram
        {
            Type = ProgramType.Kprobe,
            Insns = BpfAssembler.Insns($"r0 = *(u64 *)(r1 +{offset})\nexit"),
            Verified = true,
        });
        ulong* registers = stackalloc ulong[32];
        new Span<ulong>(registers, 32).Clear();
        RunContext context = new() { RandomState = 1 };
        program.Run(registers, &context);
        Assert.Equal(fault, context.Fault);
        if (fault != RunFault.None) Assert.Contains("outside context (168 bytes)", CheckedProgram.Report, StringComparison.Ordinal);
    }

    [Fact]
    public void Constants_are_set_before_loading()
    {
        using var machine = new Machine(new MachineSpec { Cpus = 2, Engine = EngineKind.Interpreter, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(TestObjects.Features);
        obj.Map(".rodata").SetVariable("limit", 10u);
        obj.Map("ring").MaxEntries = 4096;
        obj.Load(machine);
        Assert.Equal(10u, obj.Map(".rodata").GetVariable<uint>("limit"));
        Assert.Equal(4096u, obj.Map("ring").Live.Spec.MaxEntries);
        var attr = new TestRunAttr { ProgFd = obj.Program("callback").Fd, DataIn = new byte[14] };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(6u + 40, attr.Retval);
        Assert.Throws<InvalidOperationException>(() => obj.Map("ring").MaxEntries = 8192);
        Assert.Throws<KeyNotFoundException>(() => obj.Map("nothing"));
    }

    [Fact]
    public void Wrong_calls_get_the_kernels_errno()
    {
        using var machine = new Machine(new MachineSpec { Cpus = 2, Engine = EngineKind.Interpreter, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(TestObjects.Features);
        obj.Load(machine);
        int socket = obj.Program("jump").Fd, kprobe = obj.Program("symbols").Fd;
        Assert.Equal(-(int)Errno.EBADF, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = 9999 }));
        Assert.Equal(-(int)Errno.EINVAL, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = socket, DataIn = new byte[13] }));
        Assert.Equal(-(int)Errno.ENOTSUPP, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = kprobe, DataIn = new byte[14] }));
        Assert.Equal(-(int)Errno.EINVAL, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = socket, DataIn = new byte[14], CtxIn = [1] }));
        Assert.Equal(-(int)Errno.ENOSPC, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = socket, DataIn = new byte[14], DataSizeOut = 4 }));
    }
}
