using System.Globalization;
using System.Text;

namespace BpfSim.Vm.Verifier.Exploration;

// What level 2 of the log says of the slots' liveness: every change, in the order in which the kernel solves for them.
internal sealed partial class StackLiveness
{
    /// <summary>Takes the lines of the log; null if nobody wants them.</summary>
    public Action<string>? Trace { get; init; }

    /// <summary>Whether states are compared at an instruction.</summary>
    public Func<int, bool> IsPrunePoint { get; init; } = _ => false;

    // Whole sweeps, frame by frame, as the number of rounds is part of the log; the solution is that of Solve.
    private void SolveTraced(Instance instance)
    {
        if (instance.WriteDropped)
        {
            foreach (Masks[]? masks in instance.Frames)
            {
                for (int i = 0; masks != null && i < masks.Length; i++) masks[i].MustWriteBelow = 0;
            }
        }

        int rounds = 0;
        bool changed = true;
        while (changed)
        {
            changed = false;
            rounds++;
            for (int f = 0; f <= instance.Depth; f++)
            {
                if (instance.Frames[f] == null) continue;
                foreach (int insn in instance.Subprog.Postorder) changed |= SolveAt(instance, f, insn);
            }
        }

        Trace!(string.Create(CultureInfo.InvariantCulture, $"{ChainText(instance)} live stack update done in {rounds} iterations\n"));
        instance.Updated = instance.WriteDropped = false;
    }

    private void TraceChange(Instance instance, int frame, int insn, in Masks old, ulong live, ulong written)
    {
        if (old.MayRead == 0 && old.MustWrite == 0 && insn != instance.Subprog.Start && !IsPrunePoint(insn)) return;
        TraceMask(instance, "live", frame, insn, old.LiveBefore, live);
        TraceMask(instance, "written", frame, insn, old.MustWriteBelow, written);
    }

    private void TraceMask(Instance instance, string what, int frame, int insn, ulong old, ulong now)
    {
        if (old == now) return;
        var line = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $"{ChainText(instance)} frame {frame} insn {insn} "));
        if ((now & ~old) != 0) line.Append('+').Append(what).Append(' ').Append(SlotsText(now & ~old)).Append(' ');
        if ((old & ~now) != 0) line.Append('-').Append(what).Append(' ').Append(SlotsText(old & ~now));
        Trace!(line.Append('\n').ToString());
    }

    private static string ChainText(Instance instance) => $"({string.Join(',', instance.Chain.Take(instance.Depth + 1))})";

    private static string SlotsText(ulong slots) =>
        string.Join(',', Enumerable.Range(0, 64).Where(i => (slots >> i & 1) != 0).Select(i => ((i + 1) * -8).ToString(CultureInfo.InvariantCulture)));
}
