namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>
/// Where each register was last traced back from, on the way since the last checkpoint. A later trace that comes
/// by such a place with that register has nothing to add before it: what it would mark is marked. Loops, which
/// decide the same comparison in each round, would go back over all rounds again and again without this.
/// </summary>
internal sealed class TracedRegs
{
    private readonly (int History, int InsnIdx, int Frame)[] _last = new (int, int, int)[10];

    /// <summary>A new checkpoint, or another path: nothing was traced from here yet.</summary>
    public void Clear() => Array.Fill(_last, (-1, -1, -1));

    /// <summary>A register of a frame was traced from before an instruction, the history having so many entries there.</summary>
    public void Add(int history, int insnIdx, int frame, int regno) => _last[regno] = (history, insnIdx, frame);

    /// <summary>Whether a register was traced from this place.</summary>
    public bool Has(int history, int insnIdx, int frame, int regno)
    {
        ref (int History, int InsnIdx, int Frame) last = ref _last[regno];
        return last.InsnIdx == insnIdx && last.History == history && last.Frame == frame;
    }
}
