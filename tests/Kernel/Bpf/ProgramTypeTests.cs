using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Bpf;

public sealed class ProgramTypeTests
{
    [Theory]
    [InlineData("kprobe/do_sys_openat2", ProgramType.Kprobe, "do_sys_openat2")]
    [InlineData("kprobe", ProgramType.Kprobe, null)]
    [InlineData("kprobe.multi/tcp_*", ProgramType.Kprobe, "tcp_*")]
    [InlineData("tracepoint/sched/sched_switch", ProgramType.Tracepoint, "sched/sched_switch")]
    [InlineData("raw_tp.w/x", ProgramType.RawTracepointWritable, "x")]
    [InlineData("xdp.frags/devmap", ProgramType.Xdp, null)]
    [InlineData("tcx/ingress", ProgramType.SchedCls, null)]
    [InlineData("iter.s/task", ProgramType.Tracing, "task")]
    [InlineData("syscall", ProgramType.Syscall, null)]
    public void SectionsAreFound(string section, ProgramType type, string? target)
    {
        Assert.True(SectionTable.TryFind(section, out SectionDefinition definition, out string? found));
        Assert.Equal(type, definition.Type);
        Assert.Equal(target, found);
    }

    [Theory]
    [InlineData("xdp/foo")]
    [InlineData("socket1")]
    [InlineData("")]
    [InlineData("kprob/x")]
    public void OtherSectionsAreNot(string section) => Assert.False(SectionTable.TryFind(section, out _, out _));

    [HostKernelFact]
    public void ContextsAreTheHostKernels()
    {
        var wrong = new List<string>();
        foreach ((ProgramType type, uint attach) in new (ProgramType, uint)[]
        {
            (ProgramType.SocketFilter, 0), (ProgramType.Kprobe, 0), (ProgramType.SchedCls, 0), (ProgramType.Tracepoint, 0),
            (ProgramType.Xdp, 37), (ProgramType.PerfEvent, 0), (ProgramType.RawTracepoint, 0),
        })
        {
            ProgramTypeInfo row = ProgramTypeTable.Find(type)!;
            var attributes = new ProgramAttributes { Type = type, ExpectedAttachType = attach };
            for (int off = 0; off < 200; off++)
            {
                foreach ((int size, int code) in new[] { (1, 0x71), (2, 0x69), (4, 0x61), (8, 0x79) })
                {
                    Insn[] insns = [new(code, 2, 1, off, 0), new(0xb7, 0, 0, 0, 1), new(0x95, 0, 0, 0, 0)];
                    HostProgram program = HostKernel.LoadProgram(new HostProgramSpec
                    {
                        Type = (uint)type,
                        ExpectedAttachType = attach,
                        Insns = Insn.ToBytes(insns),
                        LogLevel = 1,
                    });
                    HostKernel.Close(program.Fd);
                    ContextAccess access = row.CheckContext(new ContextQuery(attributes, off, size, false, false));
                    if (program.Fd >= 0 != (access.Kind != ContextAccessKind.Invalid)) wrong.Add($"{row.Name} off {off} size {size}");
                }
            }
        }

        Assert.Empty(wrong);
    }
}
