using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Tests;

public sealed class InsnTests
{
    [Fact]
    public void Fields_are_where_the_RFC_puts_them()
    {
        Insn insn = Insn.FromBytes([0x6b, 0x1a, 0xfc, 0xff, 0x00, 0x00, 0x00, 0x00])[0];
        Assert.Equal((InsnClass.Stx, MemSize.H, MemMode.Mem, 10, 1, -4), (insn.Class, insn.Size, insn.Mode, insn.Dst, insn.Src, insn.Off));
    }
}
