using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Isa;

/// <summary>Whole texts: linked in memory, written as ELF, read back, and printed again.</summary>
public sealed class ObjectTests
{
    private static readonly SectionDefinition[] s_sections =
        [new("kprobe+", ProgramType.Kprobe, 0), new("socket", ProgramType.SocketFilter, 0)];

    private static string Source => File.ReadAllText(Path.Combine(InsnCase.Folder, "../asm/pipeline.s"));

    [Fact]
    public void The_object_holds_what_the_text_says()
    {
        ObjectSpec spec = ObjectFile.Parse(BpfAssembler.ToElf(Source, file: "pipeline.s"), "pipeline", s_sections);
        Assert.Equal("GPL", spec.License);
        Assert.Equal(["count", "first"], spec.Programs.Select(p => p.Name));
        Assert.Equal("kprobe/do_sys_openat2", spec.Programs[0].Section);
        MapSpec counts = spec.FindMap("counts")!;
        Assert.Equal((MapType.Hash, 4u, 8u, 1024u), (counts.Type, counts.KeySize, counts.ValueSize, counts.MaxEntries));
        Assert.Equal(MapType.Array, spec.FindMap("outer")!.InnerMap!.Type);
        Assert.Equal(MapType.PercpuArray, spec.FindMap("slots")!.Type);
        Assert.Equal(16u, spec.FindMap(".data")!.ValueSize);
        Assert.Equal("total %d\n\0"u8.ToArray(), spec.FindMap(".rodata")!.InitialValues[0]);
        Assert.Null(spec.Programs[0].LoadError);
        Assert.Contains(spec.Programs[0].LineInfos, line => line.Line.StartsWith("call double", StringComparison.Ordinal));
        Assert.Equal(3, spec.Programs[0].FuncInfos.Count);
    }

    [Fact]
    public void Settings_and_kernel_functions_are_externs_of_the_object()
    {
        const string Text = """
            .license "GPL"
            .kconfig CONFIG_HZ s32 weak
            .kconfig LINUX_KERNEL_VERSION u32
            .kconfig CONFIG_NAME char[16] weak
            .kfunc u64 bpf_first(struct cpumask *, s32, void **) weak
            .kfunc void bpf_rcu_read_lock()

            .section "socket"
            .func main
                call bpf_rcu_read_lock
                call bpf_first
                r1 = &CONFIG_HZ
                r1 = *(u32 *)(r1 +0)
                r2 = &CONFIG_NAME
                r0 = *(u8 *)(r2 +0)
                exit

            """;
        ObjectSpec spec = ObjectFile.Parse(BpfAssembler.ToElf(Text), "externs", s_sections);
        Assert.Null(spec.Programs[0].LoadError);
        Assert.Equal(
            [("CONFIG_HZ", 4, KconfigType.Int, true), ("LINUX_KERNEL_VERSION", 4, KconfigType.Int, false), ("CONFIG_NAME", 16, KconfigType.CharArray, true)],
            spec.Kconfig.Select(k => (k.Name, k.Size, k.Type, k.Weak)));
        Assert.Equal(
            [(0, "bpf_rcu_read_lock", ExternKind.Kfunc, false), (1, "bpf_first", ExternKind.Kfunc, true)],
            spec.Programs[0].Externs.Select(e => (e.InsnOff, e.Name, e.Kind, e.Weak)));
        string printed = ProgramText.Of(spec);
        Assert.Equal(Text.Split('\n').Order(), printed.Split('\n').Order());
        Assert.Equal(printed, ProgramText.Of(ObjectFile.Parse(BpfAssembler.ToElf(printed), "externs", s_sections)));
    }

    [Theory]
    [InlineData(".kconfig CONFIG_HZ q32", "<text>:1:20: unknown type 'q32': void, bool, char, tristate, u8 to u64, s8 to s64, or struct NAME")]
    [InlineData(".kconfig", "<text>:1:9: expected the name of a setting, such as CONFIG_HZ")]
    [InlineData(".kfunc void f(", "<text>:1:15: expected a type")]
    [InlineData(".kfunc void f()\n.kfunc void f()", "<text>:2:1: the name f is there twice")]
    [InlineData("r1 = 0\ncall nothing", "<text>:2:6: there is no function or helper called nothing")]
    public void Bad_externs_are_named_with_their_place(string text, string message) =>
        Assert.Equal(message, Assert.Throws<AssemblerException>(() => BpfAssembler.ToElf(text, file: "<text>")).Message);

    [Fact]
    public void Linking_in_memory_gives_the_program_of_the_object()
    {
        ObjectSpec spec = ObjectFile.Parse(BpfAssembler.ToElf(Source, file: "pipeline.s"), "pipeline", s_sections);
        AssembledProgram first = BpfAssembler.Program(Source, name: "first"), count = BpfAssembler.Program(Source, name: "count");
        Assert.Equal(Disassembler.Dump(first.Insns), Disassembler.Dump(spec.FindProgram("first")!.Insns));
        Assert.Equal(count.Insns.Length, spec.FindProgram("count")!.Insns.Length);
        Assert.Equal(count.MapReferences.Keys.Order(), spec.FindProgram("count")!.MapReferences.Keys.Order());
    }

    [Fact]
    public void The_printed_object_assembles_to_the_same_programs()
    {
        ObjectSpec spec = ObjectFile.Parse(BpfAssembler.ToElf(Source), "pipeline", s_sections);
        ObjectSpec again = ObjectFile.Parse(BpfAssembler.ToElf(ProgramText.Of(spec)), "pipeline", s_sections);
        foreach ((ProgramSpec one, ProgramSpec two) in spec.Programs.Zip(again.Programs))
        {
            Assert.Equal((one.Name, one.Section), (two.Name, two.Section));
            Assert.Equal(Disassembler.Dump(one.Insns), Disassembler.Dump(two.Insns));
            Assert.Equal(one.MapReferences.OrderBy(m => m.Key), two.MapReferences.OrderBy(m => m.Key));
        }

        Assert.Equal(
            spec.Maps.Select(m => (m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)).Order(),
            again.Maps.Where(m => !m.Name.EndsWith("_inner", StringComparison.Ordinal)).Select(m => (m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)).Order());
    }

    [Fact]
    public void Random_instructions_survive_printing_a_whole_program()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Insn[] insns = Interpreter.RandomProgram.Create(seed);
            Assert.Equal(Insn.ToBytes(insns), Insn.ToBytes(BpfAssembler.Insns(ProgramText.Of(insns))));
        }
    }

    [Fact]
    public void Reserved_fields_survive_as_bytes()
    {
        foreach (Insn insn in EncodingTests.Encodings().Where(i => !i.IsLdImm64 && InsnChecks.Target(i, 0) is null))
            Assert.Equal(Insn.ToBytes([insn]), Insn.ToBytes(BpfAssembler.Insns(ProgramText.Of([insn]))));
    }

    /// <summary>The object without maps of its programs loads on the host as it is.</summary>
    [HostKernelFact]
    public void The_host_takes_a_linked_program()
    {
        AssembledProgram program = BpfAssembler.Program(Source, name: "first");
        HostProgram loaded = HostKernel.LoadProgram(new HostProgramSpec { Type = (uint)ProgramType.SocketFilter, Insns = Insn.ToBytes(program.Insns), LogLevel = 1 });
        Assert.True(loaded.Fd >= 0, loaded.Log);
        HostKernel.Close(loaded.Fd);
    }
}
