using System.Text;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>bpf_trace_printk: formats, results (taken from Linux 6.18 by BPF_PROG_TEST_RUN) and the text.</summary>
public class PrintkTests
{
    private static readonly Machine s_machine = new(new MachineSpec());

    // Arguments of every row: a1, 7, -8.
    [Theory]
    [InlineData("Hello, World!", 0, 13, "Hello, World!")]
    [InlineData("nl\n", 0, 3, "nl")]
    [InlineData("%d %u %x", -5, 13, "-5 7 fffffff8")]
    [InlineData("%ld %lu %lx", -5, 21, "-5 7 fffffffffffffff8")]
    [InlineData("%5d|%-5d|%05d", 42, 17, "   42|7    |-0008")]
    [InlineData("%p", 0x1234, 16, null)]
    [InlineData("%px", 0x1234, 16, "0000000000001234")]
    [InlineData("%c%c", 65, 2, "A\a")]
    [InlineData("%q", 1, -22, null)]
    [InlineData("%d %d %d %d", 1, -22, null)]
    [InlineData("%s", 0, 0, "")]
    [InlineData("%pK", 0x1234, 16, null)]
    [InlineData("%pi4", 0, 15, "000.000.000.000")]
    [InlineData("%+d % d", 5, 5, "+5  7")]
    [InlineData("%X %lld", 255, 4, "FF 7")]
    [InlineData("100%%", 0, 4, "100%")]
    [InlineData("%ps", 0x1234, 6, "0x1234")]
    [InlineData("%s|", 0x10, 1, "|")]
    public void FormatsAsTheKernelDoes(string format, long argument, int result, string? text)
    {
        Assert.Equal((uint)result, Run(format, argument, format.Length + 1));
        IReadOnlyList<TraceLine> lines = s_machine.Trace.Read();
        if (result < 0) Assert.Empty(lines);
        else if (text != null) Assert.Equal(text, Assert.Single(lines).Message);
    }

    [Fact]
    public void AFormatWithoutItsNulIsRefused() => Assert.Equal(unchecked((uint)-22), Run("noterm", 1, 6));

    private static uint Run(string format, long argument, int size)
    {
        var bytes = new byte[32];
        Encoding.ASCII.GetBytes(format, bytes);
        var insns = new List<Insn>();
        for (int i = 0; i < 4; i++)
        {
            long word = BitConverter.ToInt64(bytes, 8 * i);
            insns.AddRange([new(0x18, 1, 0, 0, (int)word), new(0, 0, 0, 0, (int)(word >> 32)), new(0x7b, 10, 1, -32 + 8 * i, 0)]);
        }
        insns.AddRange(
        [
            new(0xbf, 1, 10, 0, 0), new(0x07, 1, 0, 0, -32), new(0xb7, 2, 0, 0, size), new(0x18, 3, 0, 0, (int)argument),
            new(0, 0, 0, 0, (int)(argument >> 32)), new(0xb7, 4, 0, 0, 7), new(0xb7, 5, 0, 0, -8), new(0x85, 0, 0, 0, 6), new(0x95, 0, 0, 0, 0),
        ]);
        var load = new ProgLoadAttr { ProgType = ProgramType.RawTracepoint, Insns = [.. insns], License = "GPL", ProgName = "printk", LogLevel = 1, LogSize = 65536 };
        int fd = s_machine.Bpf.ProgLoad(load);
        Assert.True(fd > 0, load.LogBuf);
        var run = new TestRunAttr { ProgFd = fd };
        Assert.Equal(0, s_machine.Bpf.ProgTestRun(run));
        s_machine.Bpf.Fds.Close(fd);
        return run.Retval;
    }
}
