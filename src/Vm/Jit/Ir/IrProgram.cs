using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>A whole program in intermediate form, with what the passes share.</summary>
internal sealed class IrProgram(ExecutableProgram program)
{
    /// <summary>The program as it was given.</summary>
    public ExecutableProgram Source { get; } = program;

    /// <summary>All instructions, function after function.</summary>
    public IrInsn[] Insns { get; set; } = [];

    /// <summary>The functions in order; the first is main.</summary>
    public IrFunction[] Functions { get; set; } = [];

    /// <summary>Whether a jump leads to the instruction (by index).</summary>
    public bool[] IsTarget { get; set; } = [];

    /// <summary>Whether a jump from further down leads to the instruction: the head of a loop.</summary>
    public bool[] IsBackTarget { get; set; } = [];

    /// <summary>Registers live after the instruction, as bit masks; see <see cref="Liveness"/>.</summary>
    public ushort[] LiveAfter { get; set; } = [];

    /// <summary>Registers whose upper half is clear before the instruction, as bit masks; empty if nobody has looked.</summary>
    public ushort[] UpperClear { get; set; } = [];

    /// <summary>Whether the instruction is the head of an innermost loop; empty if nobody has looked.</summary>
    public bool[] LoopHeads { get; set; } = [];

    /// <summary>Recomputes <see cref="IsTarget"/> and <see cref="IsBackTarget"/>.</summary>
    public void FindTargets()
    {
        if (IsTarget.Length != Insns.Length + 1)
        {
            IsTarget = new bool[Insns.Length + 1];
            IsBackTarget = new bool[Insns.Length + 1];
        }
        Array.Clear(IsTarget);
        Array.Clear(IsBackTarget);
        for (int i = 0; i < Insns.Length; i++)
        {
            ref readonly IrInsn insn = ref Insns[i];
            if (!insn.HasTarget) continue;
            IsTarget[insn.Target] = true;
            if (insn.Target <= i) IsBackTarget[insn.Target] = true;
        }
    }

    /// <summary>The next instruction from <paramref name="index"/> on that is not removed; the function's end if none.</summary>
    public int SkipNops(int index, int end)
    {
        while (index < end && Insns[index].Op == IrOp.Nop) index++;
        return index;
    }
}
