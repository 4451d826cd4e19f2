using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Bpf;

public class TestRunTests
{
    private static int Load(Machine machine, ProgramType type, params Insn[] insns)
    {
        var attr = new ProgLoadAttr { ProgType = type, Insns = insns, License = "GPL", ProgName = "t", LogLevel = 1, LogSize = 65536 };
        int fd = machine.Bpf.ProgLoad(attr);
        Assert.True(fd > 0, attr.LogBuf);
        return fd;
    }

    private static readonly Insn s_exit = new(0x95, 0, 0, 0, 0);

    [Theory]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Interpreter)]
    public void XdpReadsThePacketThroughItsContext(EngineKind engine)
    {
        using var machine = new Machine(new MachineSpec { Engine = engine });
        // r2 = data; r3 = data_end; if data + 14 > data_end return 0; return packet[12]
        int fd = Load(machine, ProgramType.Xdp, new(0x61, 2, 1, 0, 0), new(0x61, 3, 1, 4, 0), new(0xbf, 4, 2, 0, 0), new(0x07, 4, 0, 0, 14),
            new(0xb7, 0, 0, 0, 0), new(0x2d, 4, 3, 1, 0), new(0x71, 0, 2, 12, 0), s_exit);
        var packet = new byte[64];
        packet[12] = 0x86;
        var attr = new TestRunAttr { ProgFd = fd, DataIn = packet, DataSizeOut = 100 };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(0x86u, attr.Retval);
        Assert.Equal(packet, attr.DataOut);
        Assert.Equal(64u, attr.DataSizeOut);
    }

    [Fact]
    public void SocketFilterSeesThePacketBehindTheLinkHeader()
    {
        using var machine = new Machine(new MachineSpec());
        // return skb->len
        int fd = Load(machine, ProgramType.SocketFilter, new(0x61, 0, 1, 0, 0), s_exit);
        var attr = new TestRunAttr { ProgFd = fd, DataIn = new byte[64] };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(50u, attr.Retval);
    }

    [Fact]
    public void LegacyLoadsReadThePacketInNetworkOrder()
    {
        using var machine = new Machine(new MachineSpec());
        // r6 = ctx; r0 = ntohl(packet[0..4])
        int fd = Load(machine, ProgramType.SocketFilter, new(0xbf, 6, 1, 0, 0), new(0x20, 0, 0, 0, 0), s_exit);
        byte[] packet = [.. new byte[14], 1, 2, 3, 4];
        var attr = new TestRunAttr { ProgFd = fd, DataIn = packet };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(0x01020304u, attr.Retval);
    }

    [Fact]
    public void TooLittleRoomForThePacketIsEnospcWithTheFullSize()
    {
        using var machine = new Machine(new MachineSpec());
        int fd = Load(machine, ProgramType.SchedCls, new(0xb7, 0, 0, 0, 0), s_exit);
        var attr = new TestRunAttr { ProgFd = fd, DataIn = new byte[60], DataSizeOut = 20 };
        Assert.Equal(-(int)Errno.ENOSPC, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(60u, attr.DataSizeOut);
        Assert.Equal(20, attr.DataOut.Length);
    }

    [Theory]
    [InlineData(ProgramType.SocketFilter, 13, Errno.EINVAL)]
    [InlineData(ProgramType.Kprobe, 64, Errno.ENOTSUPP)]
    [InlineData(ProgramType.Tracepoint, 64, Errno.ENOTSUPP)]
    public void WrongRunsAreRefused(ProgramType type, int bytes, Errno expected)
    {
        using var machine = new Machine(new MachineSpec());
        int fd = Load(machine, type, new(0xb7, 0, 0, 0, 0), s_exit);
        Assert.Equal(-(int)expected, machine.Bpf.ProgTestRun(new TestRunAttr { ProgFd = fd, DataIn = new byte[bytes] }));
    }

    [Fact]
    public void RawTracepointGetsItsArguments()
    {
        using var machine = new Machine(new MachineSpec());
        int fd = Load(machine, ProgramType.RawTracepoint, new(0x79, 0, 1, 8, 0), s_exit);
        var attr = new TestRunAttr { ProgFd = fd, CtxIn = [.. new byte[8], 77, 0, 0, 0, 0, 0, 0, 0] };
        Assert.Equal(0, machine.Bpf.ProgTestRun(attr));
        Assert.Equal(77u, attr.Retval);
        Assert.Equal(-(int)Errno.EINVAL, machine.Bpf.ProgTestRun(attr with { CtxIn = new byte[8] }));
    }
}
