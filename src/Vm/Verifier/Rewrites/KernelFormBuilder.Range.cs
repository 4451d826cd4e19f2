using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Cfg;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>Jumps have 16 bits for their distance, and the kernel gives up where what it puts in between makes one longer.</summary>
internal sealed partial class KernelFormBuilder
{
    /// <summary>The kernel's passes over the program, in their order.</summary>
    private enum Pass { Loops, Contexts, Calls }

    private readonly List<(Pass Pass, int Slot, int Growth)> _growths = [];

    private void NoteGrowth(in Insn insn, int slot, int length)
    {
        if (length == 1) return;
        Pass pass = insn.IsHelperCall && insn.Imm == Helpers.HelperId.Loop ? Pass.Loops
            : insn.Class is InsnClass.Ldx or InsnClass.Stx or InsnClass.St ? Pass.Contexts : Pass.Calls;
        _growths.Add((pass, slot, length - 1));
    }

    /// <summary>The first instruction whose replacement, in the kernel's order, makes some jump too long: its slot in the loaded program; -1 if none does.</summary>
    private int FindTooLong(Insn[] insns, List<int> verbatim, int[] moved)
    {
        List<(Pass Pass, int Slot, int Growth)>? ordered = null;
        int first = int.MaxValue;
        foreach (int i in verbatim)
        {
            if (!IsShortJump(insns[i])) continue;
            int target = Successors.JumpTarget(insns[i], i), distance = moved[target] - moved[i] - 1;
            if (distance is >= short.MinValue and <= short.MaxValue) continue;
            ordered ??= [.. _growths.OrderBy(g => g.Pass)];
            int from = Math.Min(i, target), to = Math.Max(i, target);
            // Back from where it ends up, over what lies in between.
            int excess = distance > 0 ? distance - short.MaxValue : short.MinValue - distance;
            for (int g = ordered.Count - 1; g >= 0 && excess > 0; g--)
            {
                if (ordered[g].Slot < from || ordered[g].Slot >= to || ordered[g].Slot == i) continue;
                excess -= ordered[g].Growth;
                if (excess <= 0) first = Math.Min(first, g);
            }
        }

        return first == int.MaxValue ? -1 : program.OriginalSlots[ordered![first].Slot];
    }

    /// <summary>Whether an instruction is a jump with 16 bits of distance.</summary>
    internal static bool IsShortJump(in Insn insn) =>
        insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not (JmpOp.Call or JmpOp.Exit)
        && !(insn.Class == InsnClass.Jmp32 && insn.JmpOp == JmpOp.Ja);
}
