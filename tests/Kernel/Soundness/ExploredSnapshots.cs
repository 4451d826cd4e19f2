using BpfSim.Vm.Verifier;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>One state that the verifier explored, as it was before its instruction.</summary>
internal sealed class Snapshot
{
    /// <summary>The state.</summary>
    public VerifierState State { get; } = new();

    /// <summary>The checkpoint made here, whose precision marks say which numbers must be exact; null if none was.</summary>
    public VerifierState? Checkpoint { get; set; }

    /// <summary>By frame, the stack slots that somebody behind it may still read.</summary>
    public ulong[] LiveSlots { get; } = new ulong[VerifierState.MaxFrames];
}

/// <summary>All states that a verification explored, by instruction.</summary>
internal sealed class ExploredSnapshots : IExplorationObserver
{
    private readonly StatePool _pool = new();
    private readonly Stack<Snapshot> _free = new();
    private readonly List<Snapshot> _all = [];
    private readonly Stack<(Snapshot Snapshot, int Waiting)> _open = new();
    private readonly Dictionary<int, List<Snapshot>> _at = [];
    private ProgramVerifier? _verifier;

    /// <summary>How many there are.</summary>
    public int Count => _all.Count;

    /// <summary>Whether more were explored than are kept: then nothing can be said.</summary>
    public bool Overflowed { get; private set; }

    /// <summary>The most that are kept.</summary>
    public int Limit { get; init; } = 6000;

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        foreach (Snapshot snapshot in _all) _free.Push(snapshot);
        _all.Clear();
        _open.Clear();
        _at.Clear();
        _verifier = null;
        Overflowed = false;
    }

    /// <inheritdoc/>
    public void Visit(int insnIdx, VerifierState state, int waiting)
    {
        if (_all.Count == Limit)
        {
            Overflowed = true;
            return;
        }

        Snapshot snapshot = _free.Count > 0 ? _free.Pop() : new Snapshot();
        snapshot.State.CopyFrom(state, _pool);
        // A checkpoint is made right before the visit: the path begins anew, with at most this instruction in its history.
        snapshot.Checkpoint = state.Parent is { } parent && state.FirstInsnIdx == insnIdx && parent.InsnIdx == insnIdx && state.History.Count <= 1 ? parent : null;
        _all.Add(snapshot);
        _open.Push((snapshot, waiting));
        if (!_at.TryGetValue(insnIdx, out List<Snapshot>? list)) _at.Add(insnIdx, list = []);
        list.Add(snapshot);
    }

    /// <inheritdoc/>
    public void PathEnded(ProgramVerifier verifier, int waiting)
    {
        // Slots that only other paths read do not matter to those that end here, and pruning leaves them out.
        while (_open.TryPeek(out (Snapshot Snapshot, int Waiting) last) && last.Waiting >= waiting)
        {
            VerifierState state = _open.Pop().Snapshot.State;
            for (int f = 0; f <= state.CurFrame; f++) last.Snapshot.LiveSlots[f] = verifier.LiveSlots(state, f);
        }
    }

    /// <inheritdoc/>
    public void Accepted(ProgramVerifier verifier) => _verifier = verifier;

    /// <summary>The states at an instruction; empty if no path came there.</summary>
    public IReadOnlyList<Snapshot> At(int insnIdx) => _at.TryGetValue(insnIdx, out List<Snapshot>? list) ? list : [];

    /// <summary>Registers that matter before an instruction, as bits.</summary>
    public int LiveRegs(int insnIdx) => _verifier!.LiveRegs(insnIdx);
}
