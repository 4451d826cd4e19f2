using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier.Cfg;

/// <summary>Where an instruction may go on inside its function; calls go on behind themselves.</summary>
internal static class Successors
{
    /// <summary>Writes the successors and returns how many there are: 0 to 2.</summary>
    public static int Of(Insn[] insns, int i, Span<int> next)
    {
        ref readonly Insn insn = ref insns[i];
        int count = 0;
        bool jump = insn.Class is InsnClass.Jmp or InsnClass.Jmp32;
        if (!jump)
        {
            next[0] = i + (insn.IsLdImm64 ? 2 : 1);
            return next[0] < insns.Length ? 1 : 0;
        }

        if (insn.JmpOp == JmpOp.Exit) return 0;
        if (insn.JmpOp != JmpOp.Ja)
        {
            int fallThrough = i + 1;
            if (fallThrough < insns.Length) next[count++] = fallThrough;
        }

        if (insn.JmpOp != JmpOp.Call)
        {
            int target = JumpTarget(insn, i);
            if (target >= 0 && target < insns.Length) next[count++] = target;
        }

        return count;
    }

    /// <summary>Target of a jump that is neither call nor exit. Of the 32-bit jumps only the valid <c>gotol</c> has it in imm.</summary>
    public static int JumpTarget(in Insn insn, int i) =>
        insn.Code == ((byte)InsnClass.Jmp32 | (byte)JmpOp.Ja) ? i + insn.Imm + 1 : i + insn.Off + 1;
}
