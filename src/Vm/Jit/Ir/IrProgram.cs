using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit.Ir;

/// <summary>
/// A whole program in intermediate form, with what the passes share. A thread's compiler uses one object again and
/// again: arrays only grow, so that compiling allocates next to nothing, and only their first <see cref="Count"/>
/// places mean anything.
/// </summary>
internal sealed class IrProgram
{
    private const int LeastCapacity = 64;

    private IrInsn[] _other = [];
    private int[] _moved = [];
    private int[] _indexOfSlot = [];
    private ushort[] _atTarget = [];

    /// <summary>The program as it was given.</summary>
    public ExecutableProgram Source { get; private set; } = null!;

    /// <summary>All instructions, function after function.</summary>
    public IrInsn[] Insns { get; private set; } = [];

    /// <summary>How many instructions there are.</summary>
    public int Count { get; private set; }

    /// <summary>The functions in order; the first is main.</summary>
    public IrFunction[] Functions { get; set; } = [];

    /// <summary>Whether a jump leads to the instruction (by index).</summary>
    public bool[] IsTarget { get; private set; } = [];

    /// <summary>Whether a jump from further down leads to the instruction: the head of a loop.</summary>
    public bool[] IsBackTarget { get; private set; } = [];

    /// <summary>Registers live after the instruction, as bit masks; see <see cref="Liveness"/>.</summary>
    public ushort[] LiveAfter { get; private set; } = [];

    /// <summary>Registers whose upper half is clear before the instruction, as bit masks.</summary>
    public ushort[] UpperClear { get; private set; } = [];

    /// <summary>Whether the instruction is the head of an innermost loop.</summary>
    public bool[] LoopHeads { get; private set; } = [];

    /// <summary>What each instruction reads and writes, packed; see <see cref="Liveness"/>.</summary>
    public uint[] Effects { get; private set; } = [];

    /// <summary>Starts on another program of so many instructions.</summary>
    public void Begin(ExecutableProgram source, int count)
    {
        (Source, Count) = (source, count);
        if (Insns.Length < count) Insns = new IrInsn[Capacity(count)];
        MakeRoom();
        Array.Clear(UpperClear, 0, count);
    }

    /// <summary>Lets go of what the program refers to.</summary>
    public void End() => Source = null!;

    /// <summary>Room for the decoder's table of slots.</summary>
    public int[] IndexOfSlot(int count)
    {
        if (_indexOfSlot.Length < count) _indexOfSlot = new int[Capacity(count)];
        return _indexOfSlot;
    }

    /// <summary>Another array for a pass that writes the instructions anew; <see cref="Replace"/> takes it over.</summary>
    public IrInsn[] NewInsns(int count)
    {
        if (_other.Length < count) _other = new IrInsn[Capacity(count)];
        return _other;
    }

    /// <summary>Where each instruction (and the end) has gone to, for the same passes; the content is undefined at first.</summary>
    public int[] Moved()
    {
        if (_moved.Length <= Count) _moved = new int[Capacity(Count + 1)];
        return _moved;
    }

    /// <summary>The array of <see cref="NewInsns"/> becomes the program. Targets still are the old indexes: they are renumbered here.</summary>
    public void Replace(int count, int[] moved)
    {
        (Insns, _other, Count) = (_other, Insns, count);
        foreach (ref IrInsn n in Insns.AsSpan(0, count))
            if (n.HasTarget) n.Target = moved[n.Target];
        MakeRoom();
        FindTargets();
    }

    /// <summary>A mask for each instruction and the end, all the same at first, for data flow.</summary>
    public ushort[] AtTarget(ushort value)
    {
        if (_atTarget.Length <= Count) _atTarget = new ushort[Capacity(Count + 1)];
        _atTarget.AsSpan(0, Count + 1).Fill(value);
        return _atTarget;
    }

    /// <summary>Recomputes <see cref="IsTarget"/> and <see cref="IsBackTarget"/>.</summary>
    public void FindTargets()
    {
        bool[] isTarget = IsTarget, isBackTarget = IsBackTarget;
        Array.Clear(isTarget, 0, Count + 1);
        Array.Clear(isBackTarget, 0, Count + 1);
        ReadOnlySpan<IrInsn> insns = Insns.AsSpan(0, Count);
        for (int i = 0; i < insns.Length; i++)
        {
            ref readonly IrInsn insn = ref insns[i];
            if (!insn.HasTarget) continue;
            isTarget[insn.Target] = true;
            if (insn.Target <= i) isBackTarget[insn.Target] = true;
        }
    }

    /// <summary>The next instruction from <paramref name="index"/> on that is not removed; the function's end if none.</summary>
    public int SkipNops(int index, int end)
    {
        while (index < end && Insns[index].Op == IrOp.Nop) index++;
        return index;
    }

    private void MakeRoom()
    {
        if (IsTarget.Length > Count) return;
        int capacity = Capacity(Count + 1);
        (IsTarget, IsBackTarget, LoopHeads) = (new bool[capacity], new bool[capacity], new bool[capacity]);
        (LiveAfter, UpperClear, Effects) = (new ushort[capacity], new ushort[capacity], new uint[capacity]);
    }

    private static int Capacity(int count) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(count, LeastCapacity));
}
