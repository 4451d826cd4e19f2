using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>
/// Divisors that cannot be zero by the instructions right before the division, whatever the paths. What the walk
/// knew of a number is no proof after pruning: where its value did not matter to safety, a pruned path may have
/// brought another.
/// </summary>
internal static class Divisors
{
    /// <summary>Whether the divisor register of the division at an instruction was made nonzero in the same basic block.</summary>
    public static bool IsNonZero(Insn[] insns, InsnAux[] aux, int division)
    {
        int register = insns[division].Src;
        bool wide = insns[division].Class == InsnClass.Alu64;
        // Nobody jumps between the instruction looked at and the division.
        for (int i = division; i > 0 && !aux[i].JumpPoint;)
        {
            i -= i > 1 && insns[i - 2].IsLdImm64 && insns[i - 1].Code == 0 ? 2 : 1;
            ref readonly Insn insn = ref insns[i];
            switch (insn.Class)
            {
                case InsnClass.Alu or InsnClass.Alu64:
                    if (insn.Dst != register) continue;
                    return insn.Source == OperandSource.K && insn.Imm != 0 && insn.AluOp is (AluOp.Mov or AluOp.Or);
                case InsnClass.Jmp or InsnClass.Jmp32:
                    if (insn.JmpOp is JmpOp.Ja or JmpOp.Exit) return false;
                    if (insn.JmpOp == JmpOp.Call)
                    {
                        if (register <= 5) return false;
                        continue;
                    }

                    bool comparesZero = insn.Dst == register && insn.Source == OperandSource.K && insn.Imm == 0;
                    if (comparesZero && insn.JmpOp == JmpOp.Jeq && (wide || insn.Class == InsnClass.Jmp32)) return true;
                    continue;
                case InsnClass.St:
                    continue;
                case InsnClass.Stx:
                    if (insn.Mode == MemMode.Atomic && (insn.Src == register || insn.Dst == register || register == 0)) return false;
                    continue;
                default:
                    if (insn.Dst == register || register == 0) return false;
                    continue;
            }
        }

        return false;
    }
}
