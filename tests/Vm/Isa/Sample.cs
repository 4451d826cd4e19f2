using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Tests.Isa;

/// <summary>Instructions of a form with random fields that its rules allow.</summary>
internal static class Sample
{
    private static readonly int[] s_numbers = [0, 1, -1, 2, 7, 16, 31, 32, 63, 64, 255, 0x7fff, -0x8000, int.MaxValue, int.MinValue];

    public static Insn[] Of(InsnForm form, Random random)
    {
        int Field(FieldRule rule, int bits) => rule.Use switch
        {
            FieldUse.Zero or FieldUse.Ignored => 0,
            FieldUse.Read or FieldUse.Base => random.Next(0, 11),
            FieldUse.Write or FieldUse.ReadWrite => random.Next(0, 10),
            FieldUse.Selector => rule.Values[random.Next(rule.Values.Length)],
            FieldUse.Shift => random.Next(0, form.Bits),
            FieldUse.Divisor => random.Next(1, int.MaxValue),
            _ => bits == 16 ? random.Next(short.MinValue, short.MaxValue + 1)
                : random.Next(2) == 0 ? s_numbers[random.Next(s_numbers.Length)] : random.Next(int.MinValue, int.MaxValue),
        };
        // The index of a kfunc's BTF has no place in the kernel's syntax.
        int off = form.Row.Op == InsnOp.CallKfunc ? 0 : Field(form.Off, 16);
        var first = new Insn(form.Code, Field(form.Dst, 4), Field(form.Src, 4), off, Field(form.Imm, 32));
        if (!first.IsLdImm64) return [first];
        bool plain = first.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapIdx or (int)PseudoSource.Func;
        int high = plain ? 0 : random.Next(int.MinValue, int.MaxValue);
        if (first.Src == (int)PseudoSource.Func) first = first with { Imm = first.Imm & 0xffff };
        return [first, new Insn(0, 0, 0, 0, high)];
    }
}
