using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Isa;

/// <summary>The table against everything that derives from it.</summary>
public sealed class InsnTableTests
{
    [Fact]
    public void Every_operation_has_exactly_one_row() =>
        Assert.Equal(
            Enum.GetValues<InsnOp>().Except([InsnOp.Unknown, InsnOp.MovPercpu]).Order(),
            InsnTable.Rows.Select(row => row.Op).Order());

    [Fact]
    public void No_instruction_has_two_forms()
    {
        foreach (Insn insn in EncodingTests.Encodings())
            Assert.True(InsnTable.WithCode(insn.Code).ToArray().Count(form => form.Selects(insn)) <= 1, $"{insn}");
    }

    [Fact]
    public void Every_form_builds_an_instruction_that_finds_it_again()
    {
        foreach (InsnForm form in InsnTable.Forms)
        {
            Insn insn = Sample.Of(form, new Random(1))[0];
            Assert.Same(form, InsnTable.Find(insn));
            Assert.True(form.FieldsAllowed(insn));
            Assert.NotEqual(ConformanceGroup.None, form.Group(insn));
        }
    }

    [Fact]
    public void The_interpreter_has_code_for_every_form()
    {
        foreach (InsnForm form in InsnTable.Forms)
        {
            using LoadedProgram loaded = new InterpreterEngine().Load(new ExecutableProgram { Insns = Sample.Of(form, new Random(1)), Verified = true });
            Assert.NotNull(loaded);
        }
    }

    [Theory]
    [InlineData("r1 += r2", 0b110, 0b10)]
    [InlineData("r1 = r2", 0b100, 0b10)]
    [InlineData("r3 = *(u8 *)(r4 +0)", 1 << 4, 1 << 3)]
    [InlineData("*(u8 *)(r4 +0) = r5", 0b110000, 0)]
    [InlineData("r5 = atomic64_fetch_add((u64 *)(r4 +0), r5)", 0b110000, 1 << 5)]
    [InlineData("r0 = atomic64_cmpxchg((u64 *)(r4 +0), r0, r5)", 0b110001, 1)]
    [InlineData("r5 = load_acquire((u64 *)(r4 +0))", 1 << 4, 1 << 5)]
    [InlineData("call 6", 0b111110, 0b111111)]
    [InlineData("exit", 1, 0)]
    [InlineData("r0 = *(u8 *)skb[r7 + 3]", 1 << 6 | 1 << 7, 0b111111)]
    [InlineData("if r1 > r2 goto pc+0", 0b110, 0)]
    [InlineData("r4 = be16 r4", 1 << 4, 1 << 4)]
    public void Registers_read_and_written(string text, int reads, int writes)
    {
        Insn insn = BpfSim.Vm.Isa.Assembler.BpfAssembler.Insns(text)[0];
        InsnForm form = InsnTable.Find(insn)!;
        Assert.Equal((reads, writes), (form.Reads(insn), form.Writes(insn)));
    }

    [Theory]
    [InlineData("w1 += 1", ConformanceGroup.Base32)]
    [InlineData("r1 += 1", ConformanceGroup.Base64)]
    [InlineData("w1 *= 2", ConformanceGroup.Divmul32)]
    [InlineData("r1 s%= r2", ConformanceGroup.Divmul64)]
    [InlineData("lock *(u32 *)(r1 +0) += r2", ConformanceGroup.Atomic32)]
    [InlineData("r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", ConformanceGroup.Atomic64)]
    [InlineData("r0 = *(u8 *)skb[0]", ConformanceGroup.Packet)]
    [InlineData("exit", ConformanceGroup.Base32)]
    [InlineData("goto pc+0", ConformanceGroup.Base32)]
    [InlineData("r1 = be64 r1", ConformanceGroup.Base64)]
    [InlineData("r1 = be16 r1", ConformanceGroup.Base32)]
    [InlineData("r1 = *(u32 *)(r2 +0)", ConformanceGroup.Base32)]
    [InlineData("r1 = *(u64 *)(r2 +0)", ConformanceGroup.Base64)]
    [InlineData("may_goto pc+0", ConformanceGroup.Linux)]
    public void Conformance_groups(string text, ConformanceGroup group)
    {
        Insn insn = BpfSim.Vm.Isa.Assembler.BpfAssembler.Insns(text)[0];
        Assert.Equal(group, InsnTable.Find(insn)!.Group(insn));
    }
}
