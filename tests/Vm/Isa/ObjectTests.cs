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
