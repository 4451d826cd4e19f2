using BpfSim.Kernel.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Libbpf;

public sealed class ObjectFeatureTests
{
    private static readonly ObjectSpec s_spec = TestObjects.Open(TestObjects.Features);

    [Fact]
    public void Maps_are_as_the_source_defines_them()
    {
        Assert.Equal("features", s_spec.Name);
        Assert.Equal(["entries", "first", "second", "outer", "jumps", "perf", "ring", "pinned", "features.data", "features.rodata", "features.bss", ".data.custom", "feature.kconfig"],
            s_spec.Maps.Select(m => m.Name).OrderBy(n => Array.IndexOf(s_order, n)));
        MapSpec entries = s_spec.FindMap("entries")!;
        Assert.Equal((MapType.Hash, 4u, 24u, 128u, 1u), (entries.Type, entries.KeySize, entries.ValueSize, entries.MaxEntries, entries.Flags));
        Assert.Equal([(SpecialFieldKind.SpinLock, 0, 4), (SpecialFieldKind.Timer, 8, 16)], entries.SpecialFields.Select(f => (f.Kind, f.Offset, f.Size)));
        MapSpec outer = s_spec.FindMap("outer")!;
        Assert.Equal((MapType.Array, 4u), (outer.InnerMap!.Type, outer.InnerMap.MaxEntries));
        Assert.Equal([new(0, "first"), new(2, "second")], outer.InitialReferences.OrderBy(r => r.Key));
        Assert.Equal([new(1, "tail")], s_spec.FindMap("jumps")!.InitialReferences);
        Assert.True(s_spec.FindMap("pinned")!.PinByName);
        MapSpec rodata = s_spec.FindMap(".rodata")!;
        Assert.True(rodata.FreezeAfterLoad);
        Assert.Equal((1u << 7) | (1u << 10), rodata.Flags);
        Assert.Equal((1u, 4u), (rodata.MaxEntries, rodata.KeySize));
        Assert.Empty(s_spec.FindMap(".bss")!.InitialValues);
        Assert.Equal("Dual MIT/GPL", s_spec.License);
    }

    private static readonly string[] s_order =
        ["entries", "first", "second", "outer", "jumps", "perf", "ring", "pinned", "features.data", "features.rodata", "features.bss", ".data.custom", "feature.kconfig"];

    [Fact]
    public void Subprograms_follow_at_their_first_call_and_bring_their_records()
    {
        ProgramSpec globals = s_spec.FindProgram("globals")!;
        Assert.Equal(["globals", "twice", "add"], globals.FuncInfos.Select(f => s_spec.Btf![f.TypeId].Name));
        foreach (FuncInfo function in globals.FuncInfos.Skip(1))
            Assert.Contains(globals.Insns.Select((insn, slot) => (insn, slot)), c => c.insn.IsLocalCall && c.slot + 1 + c.insn.Imm == function.InsnOff);
        Assert.Equal(globals.LineInfos.OrderBy(l => l.InsnOff), globals.LineInfos);
        ProgramSpec callback = s_spec.FindProgram("callback")!;
        int load = Array.FindIndex(callback.Insns, i => i.IsLdImm64 && i.Src == (int)PseudoSource.Func);
        Assert.Equal(callback.FuncInfos[1].InsnOff, load + 1 + callback.Insns[load].Imm);
        Assert.Null(s_spec.FindProgram("twice"));
    }

    [Fact]
    public void Sections_name_type_and_target()
    {
        ProgramSpec symbols = s_spec.FindProgram("symbols")!;
        Assert.Equal((ProgramType.Kprobe, "do_sys_openat2", true), (symbols.Type, symbols.AttachTarget, symbols.AutoLoad));
        ProgramSpec guarded = s_spec.FindProgram("guarded")!;
        Assert.Equal((ProgramType.RawTracepoint, "sched_switch", false), (guarded.Type, guarded.AttachTarget, guarded.AutoLoad));
    }

    [Fact]
    public void All_but_the_unguarded_program_are_accepted()
    {
        Dictionary<string, ProgramVerdict> verdicts = TestObjects.Verify(s_spec);
        Assert.All(verdicts.Where(v => v.Key != "unguarded"), v => Assert.Null(v.Value.Message));
        ProgramVerdict unguarded = verdicts["unguarded"];
        Assert.Equal(Errno.EINVAL, unguarded.Errno);
        Assert.Matches(@"^failed to resolve CO-RE relocation <byte_off> \[\d+\] struct task_struct___gone\.no_such_field \(0:0 @ offset 0\)$", unguarded.Message);
        Assert.Contains("0: <invalid CO-RE relocation>\n", unguarded.Log);
    }

    [Fact]
    public void Own_tools_are_accepted()
    {
        string[] objects = Directory.GetFiles(Path.Combine(TestObjects.Root, "programs"), "*.bpf.o");
        Assert.True(objects.Length >= 6);
        foreach (string path in objects)
            Assert.All(TestObjects.Verify(TestObjects.Open(path)), v => Assert.True(v.Value.Accepted, $"{path}: {v.Key}: {v.Value.Message}"));
    }
}
