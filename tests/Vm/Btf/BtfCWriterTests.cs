using System.Diagnostics;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Object;

namespace BpfSim.Vm.Tests.Btf;

/// <summary>Types as a C header, byte for byte as bpftool writes it.</summary>
public sealed class BtfCWriterTests
{
    private const string Head = "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
        + "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n\n";

    private const string Tail = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n#endif /* __VMLINUX_H__ */\n";

    [Fact]
    public void All_kinds_of_types()
    {
        BtfData btf = ObjectFile.ReadBtf(File.ReadAllBytes(Repository.PathOf("tests/data/objects/types.bpf.o")));
        Assert.Equal(File.ReadAllText(Repository.PathOf("tests/data/objects/types.h")), Head + BtfCWriter.Write(btf) + Tail);
    }

    [ToolFact("bpftool")]
    public void The_kernels_own()
    {
        const string vmlinux = "/sys/kernel/btf/vmlinux";
        if (!File.Exists(vmlinux)) return;
        using Process bpftool = Process.Start(new ProcessStartInfo("bpftool", ["btf", "dump", "file", vmlinux, "format", "c"]) { RedirectStandardOutput = true })!;
        string expected = bpftool.StandardOutput.ReadToEnd();
        bpftool.WaitForExit();
        Assert.True(expected == Head + BtfCWriter.Write(BtfData.Parse(File.ReadAllBytes(vmlinux))) + Tail, "the header differs from bpftool's");
    }

    [Fact]
    public void Types_that_contain_themselves_are_refused()
    {
        // [1] struct s { s member; }, and [2] a pointer to itself.
        uint[] loop = [1, 4u << 24 | 1, 8, 1, 1, 0];
        Assert.Throws<BtfException>(() => BtfCWriter.Write(Parse(loop)));
        uint[] pointer = [0, 2u << 24, 1];
        Assert.Throws<BtfException>(() => BtfCWriter.Write(Parse(pointer)));
    }

    private static BtfData Parse(uint[] types)
    {
        uint[] header = [0x0001eb9f, 24, 0, (uint)types.Length * 4, (uint)types.Length * 4, 3];
        return BtfData.Parse([.. header.Concat(types).SelectMany(BitConverter.GetBytes), 0, (byte)'s', 0]);
    }
}
