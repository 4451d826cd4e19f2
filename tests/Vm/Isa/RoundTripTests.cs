using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;

namespace BpfSim.Vm.Tests.Isa;

public sealed class RoundTripTests
{
    public static TheoryData<int, string> Forms
    {
        get
        {
            var data = new TheoryData<int, string>();
            int index = 0;
            foreach (InsnForm form in InsnTable.Forms) data.Add(index++, $"{form.Row.Op} {form.Code:x2}");
            return data;
        }
    }

    /// <summary>What the disassembler prints, with and without the opcode in front, assembles to the same bytes.</summary>
    [Theory, MemberData(nameof(Forms))]
    public void Every_form_round_trips(int index, string name)
    {
        InsnForm form = InsnTable.Forms.ElementAt(index);
        var random = new Random(index);
        for (int round = 0; round < 200; round++)
        {
            Insn[] insns = Sample.Of(form, random);
            foreach (string text in new[] { Disassembler.Text(insns, 0), Disassembler.Line(insns, 0), Disassembler.Dump(insns).First() })
            {
                Insn[] again = BpfAssembler.Insns(text);
                Assert.True(insns.AsSpan().SequenceEqual(again), $"{name}: {text}: {Hex(insns)} became {Hex(again)}");
            }
        }
    }

    [Theory]
    [InlineData("r1=33", "b7 01 00 00 21 00 00 00")]
    [InlineData("  R1 = R2 // copy", "bf 21 00 00 00 00 00 00")]
    [InlineData("r1 += 0x10", "07 01 00 00 10 00 00 00")]
    [InlineData("r1 += 0xffffffff", "07 01 00 00 ff ff ff ff")]
    [InlineData("w1 = 0xffffffff", "b4 01 00 00 ff ff ff ff")]
    [InlineData("r1 = 5 ll", "18 01 00 00 05 00 00 00 00 00 00 00 00 00 00 00")]
    [InlineData("r1 = 0x100000000", "18 01 00 00 00 00 00 00 00 00 00 00 01 00 00 00")]
    [InlineData("r1 = 4294967296", "18 01 00 00 00 00 00 00 00 00 00 00 01 00 00 00")]
    [InlineData("r1 = -1 ll", "18 01 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff")]
    [InlineData("(b7) r1 = 0x21", "b7 01 00 00 21 00 00 00")]
    [InlineData("*(u64*)(r10-8)=r1", "7b 1a f8 ff 00 00 00 00")]
    [InlineData("*(u8 *)(r10 - 1) = 255", "72 0a ff ff ff 00 00 00")]
    [InlineData("w1 = *(u32 *)(r2 + 4)", "61 21 04 00 00 00 00 00")]
    [InlineData("r0 = *(u8 *)skb[r3]", "50 30 00 00 00 00 00 00")]
    [InlineData("r0 = *(u8 *)skb[r3 + -4]", "50 30 00 00 fc ff ff ff")]
    [InlineData("r0 = cmpxchg_64(r1 + 0, r0, r2)", "db 21 00 00 f1 00 00 00")]
    [InlineData("w0 = cmpxchg32_32(r1 + 0, w0, w2)", "c3 21 00 00 f1 00 00 00")]
    [InlineData("r2 = xchg_64(r1 + 8, r2)", "db 21 08 00 e1 00 00 00")]
    [InlineData("r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)", "db 21 00 00 01 00 00 00")]
    [InlineData("lock *(u32 *)(r1 + 0) += w2", "c3 21 00 00 00 00 00 00")]
    [InlineData("w2 = load_acquire((u8 *)(r1 + 0))", "d3 12 00 00 00 01 00 00")]
    [InlineData("if r1 s> -1 goto +3", "65 01 03 00 ff ff ff ff")]
    [InlineData("if w1 != w2 goto pc-1", "5e 21 ff ff 00 00 00 00")]
    [InlineData("call 6", "85 00 00 00 06 00 00 00")]
    [InlineData("call pc+2#bpf_prog_59f4a931744dcdc6_F", "85 10 00 00 02 00 00 00")]
    [InlineData("call unknown#9999", "85 00 00 00 0f 27 00 00")]
    [InlineData("12: (95) exit ; R0=1", "95 00 00 00 00 00 00 00")]
    [InlineData(".insn 0f 00 00 00 07 00 00 00", "0f 00 00 00 07 00 00 00")]
    [InlineData("l: goto l", "05 00 ff ff 00 00 00 00")]
    [InlineData("r1 = map[id:38][0]+4", "18 21 00 00 26 00 00 00 00 00 00 00 04 00 00 00")]
    public void Natural_variants_assemble(string text, string bytes) => Assert.Equal(bytes, Hex(BpfAssembler.Insns(text)));

    [Theory]
    [InlineData("r1 = 1\n  r2 == 3", "x.s:2:6: unexpected", "x.s:2:7: expected a register, number or reference, found '= 3'")]
    [InlineData("r16 = 1", "", "x.s:1:1: no register r16: the highest is r10")]
    [InlineData("r1 += 0x1ffffffff", "", "x.s:1:7: a number 0x1ffffffff is not between -2147483648 and 4294967295")]
    [InlineData("goto nowhere", "", "x.s:1:6: there is no label nowhere in main")]
    [InlineData("r1 = w2", "", "x.s:1:8: both registers must be 64-bit (r) or 32-bit (w)")]
    [InlineData("*(u7 *)(r1 +0) = 1", "", "x.s:1:3: unknown type 'u7': u8, u16, u32, u64, s8, s16 or s32")]
    [InlineData("call bpf_nothing", "", "x.s:1:6: there is no function or helper called bpf_nothing")]
    [InlineData("exit 5", "", "x.s:1:6: unexpected '5' after the end of the statement")]
    [InlineData("(bf) r1 = 5", "", "x.s:1:1: the opcode (bf) does not fit the text, which is (b7)")]
    [InlineData("if r1 == 5", "", "x.s:1:11: expected 'goto', found the end of the line")]
    [InlineData("*(u64 *)(r1 +40000) = r2", "", "x.s:1:13: an offset +40000 is not between -32768 and 32767")]
    [InlineData("frobnicate", "", "x.s:1:1: unknown instruction 'frobnicate'")]
    [InlineData(".map a nothing", "", "x.s:1:8: unknown map type 'nothing'")]
    [InlineData("r1 = map[a]", "", "x.s:1:6: there is no map called a")]
    [InlineData("a: exit\na: exit", "", "x.s:2:1: the label a is there twice")]
    public void Errors_name_file_line_and_column(string text, string _, string message) =>
        Assert.Equal(message, Assert.Throws<AssemblerException>(() => BpfAssembler.Insns(text, file: "x.s")).Message);

    [Fact]
    public void Random_text_is_refused_and_never_crashes()
    {
        var random = new Random(7);
        string[] pieces = ["r1", "w2", " = ", "(", ")", "*", "u64", "[", "]", "+", "-", "0x", "99999999999999999999", "map[", "call", "goto", "if", ":", "\"", ".map", ".u8", "\\", "lock", "s>", "&", "#", "atomic_xchg", "ll", "skb[", ",", "pc", "\n"];
        for (int i = 0; i < 20000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(1, 9)).Select(_ => pieces[random.Next(pieces.Length)]));
            try
            {
                BpfAssembler.ToElf(text);
            }
            catch (AssemblerException e)
            {
                Assert.True(e.Line > 0 && e.Column > 0);
            }
        }
    }

    private static string Hex(Insn[] insns) => string.Join(' ', Insn.ToBytes(insns).Select(b => b.ToString("x2")));
}
