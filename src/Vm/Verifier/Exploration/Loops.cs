using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Loops by shape: what is precise at a loop's closure is only known when the whole loop was explored, so
// closures wait and are then propagated until nothing changes.
internal sealed partial class ProgramVerifier
{
    private const int MaxBackEdgeRounds = 64;

    /// <summary>One loop as entered through one chain of calls.</summary>
    private sealed class LoopVisit
    {
        public VerifierState? Entry;
        public readonly List<VerifierState> BackEdges = [];
        public long Bytes;
    }

    private readonly Dictionary<LoopKey, LoopVisit> _loops = [];

    /// <summary>The outermost loop of a state, and the calls outside it.</summary>
    private readonly record struct LoopKey(int Scc, int Depth, int Site0, int Site1, int Site2, long Rest)
    {
        public override string ToString()
        {
            string sites = Depth switch
            {
                0 => "",
                1 => $"{Site0},",
                2 => $"{Site0},{Site1},",
                _ => $"{Site0},{Site1},{Site2},",
            };
            return $"({sites}{Scc})";
        }
    }

    private bool TryGetLoop(VerifierState st, out LoopKey key)
    {
        Span<int> sites = stackalloc int[VerifierState.MaxFrames];
        key = default;
        for (int f = 0; f <= st.CurFrame; f++)
        {
            int insn = f == st.CurFrame ? st.InsnIdx : st.Peek(f + 1).CallSite;
            if (Aux[insn].Scc != 0)
            {
                long rest = 0;
                for (int i = 3; i < f; i++) rest = (rest * 1_000_003) + sites[i] + 1;
                key = new LoopKey(Aux[insn].Scc, f, f > 0 ? sites[0] : 0, f > 1 ? sites[1] : 0, f > 2 ? sites[2] : 0, rest);
                return true;
            }

            if (f == st.CurFrame) return false;
            sites[f] = insn;
        }

        return false;
    }

    private bool IsLoopOpen(VerifierState st) =>
        _loops.Count > 0 && TryGetLoop(st, out LoopKey key) && _loops.TryGetValue(key, out LoopVisit? visit) && visit.BackEdges.Count > 0;

    private void EnterLoop(VerifierState st)
    {
        if (!TryGetLoop(st, out LoopKey key)) return;
        if (!_loops.TryGetValue(key, out LoopVisit? visit)) _loops.Add(key, visit = new LoopVisit());
        if (visit.Entry != null) return;
        visit.Entry = st;
        if (Log.Detailed) Verbose($"SCC enter {key}\n");
    }

    private void ExitLoop(VerifierState st)
    {
        if (_loops.Count == 0 || !TryGetLoop(st, out LoopKey key)) return;
        if (!_loops.TryGetValue(key, out LoopVisit? visit) || visit.Entry != st) return;
        visit.Entry = null;
        if (Log.Detailed) Verbose($"SCC exit {key}\n");
        _explored.RemoveBackEdges(visit.BackEdges.Count, visit.Bytes);
        visit.Bytes = 0;
        PropagateBackEdges(visit);
        visit.BackEdges.Clear();
    }

    private void AddBackEdge(VerifierState old, VerifierState cur, int insnIdx)
    {
        if (!TryGetLoop(old, out LoopKey key) || !_loops.TryGetValue(key, out LoopVisit? visit))
        {
            RejectBug($"add_scc_backedge: no scc visit for insn {insnIdx}");
            return;
        }

        VerifierState copy = _pool.RentState();
        copy.CopyFrom(cur, _pool);
        copy.History.CopyFrom(cur.History);
        copy.EqualState = old;
        copy.InsnIdx = insnIdx;
        if (Log.Detailed) Verbose($"SCC backedge {key}\n");
        visit.BackEdges.Add(copy);
        visit.Bytes += _explored.AddBackEdge(copy);
        _explored.UpdatePeak(_waitingBytes);
    }

    private void PropagateBackEdges(LoopVisit visit)
    {
        bool changed = visit.BackEdges.Count > 0;
        for (int round = 0; changed; round++)
        {
            if (round > MaxBackEdgeRounds)
            {
                foreach (VerifierState edge in visit.BackEdges) MarkAllPrecise(edge);
                return;
            }

            changed = false;
            for (int i = visit.BackEdges.Count - 1; i >= 0; i--)
                PropagatePrecision(visit.BackEdges[i].EqualState!, visit.BackEdges[i], ref changed);
        }
    }
}
