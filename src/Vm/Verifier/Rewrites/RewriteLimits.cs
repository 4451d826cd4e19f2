using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>What the kernel refuses after all checks have passed, when it rewrites the program.</summary>
internal static class RewriteLimits
{
    /// <summary>Most tail calls with a constant index, which the JIT turns into jumps (poke_tab_max).</summary>
    private const int MaxDirectTailCalls = 1024;

    /// <summary>Shorter jumps stay short: no instruction becomes more than 32.</summary>
    private const int LongJump = short.MaxValue / 32;

    /// <summary>Whether some jump is so long that replacements in between might be too much for it.</summary>
    public static bool HasLongJumps(Insn[] insns)
    {
        foreach (ref readonly Insn insn in insns.AsSpan())
        {
            if (Math.Abs((int)insn.Off) >= LongJump && KernelFormBuilder.IsShortJump(insn)) return true;
        }

        return false;
    }

    /// <summary>The errno and the log's line for a program that cannot be rewritten; null for one that can.</summary>
    /// <param name="insns">The program as loaded.</param>
    /// <param name="aux">What the walk saw of each instruction.</param>
    /// <param name="form">The kernel's form of the program, if it was made.</param>
    public static (Errno Errno, string Line)? Find(Insn[] insns, InsnAux[] aux, KernelForm? form)
    {
        if (form is { TooLongAt: >= 0 }) return (Errno.ENOMEM, $"insn {form.TooLongAt} cannot be patched due to 16-bit range");
        int direct = 0;
        for (int i = 0; i < insns.Length; i++)
        {
            if (aux[i].MapKey > 0 && aux[i].MapIndex > 0 && insns[i].IsHelperCall && insns[i].Imm == HelperId.TailCall) direct++;
        }

        return direct > MaxDirectTailCalls ? (Errno.ENOSPC, "adding tail call poke descriptor failed") : null;
    }
}
