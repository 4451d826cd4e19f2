using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// How deep the stack gets over all chains of calls.
internal sealed partial class ProgramVerifier
{
    /// <summary>Stack that a function needs at least on x86-64, and what its size is rounded to.</summary>
    private static int RoundDepth(int depth) => (Math.Max(depth, 1) + 15) / 16 * 16;

    private void CheckStackDepth()
    {
        var entries = new List<int> { 0 };
        for (int i = 1; i < Subprogs.Count; i++)
        {
            if (Subprogs[i].IsAsyncCallback) entries.Add(i);
        }

        foreach (int entry in entries) CheckStackDepth(entry);
    }

    private void CheckStackDepth(int entry)
    {
        var path = new List<(int Subprog, int Insn, int Depth)>();
        int subprog = entry, i = Subprogs[entry].Start, depth = 0, frame = 0;
        bool tailCall = Subprogs[entry].HasTailCall;
        while (true)
        {
            if (frame > 0 && tailCall && depth >= 256)
                Reject(Errno.EACCES, $"tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large");
            depth += RoundDepth(Subprogs[subprog].StackDepth);
            if (depth > MaxStack)
                Reject(Errno.EACCES, $"combined stack size of {frame + 1} calls is {depth}. Too large");
            bool entered = false;
            while (!entered)
            {
                int end = Subprogs[subprog].End;
                for (; i < end; i++)
                {
                    ref readonly Insn insn = ref Insns[i];
                    bool func = insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func;
                    if (!insn.IsLocalCall && !func) continue;
                    int callee = FindSubprog(i + insn.Imm + 1);
                    if (callee < 0) continue;
                    // A callback that runs later starts on a stack of its own.
                    if (func && Subprogs[callee].IsAsyncCallback)
                    {
                        if (Subprogs[callee].HasTailCall) RejectBug("subprog has tail_call and async cb");
                        continue;
                    }

                    path.Add((subprog, i + 1, depth));
                    subprog = callee;
                    i = Subprogs[callee].Start;
                    frame++;
                    if (frame >= VerifierState.MaxFrames) Reject(Errno.E2BIG, $"the call stack of {frame} frames is too deep !");
                    tailCall |= Subprogs[callee].HasTailCall;
                    entered = true;
                    break;
                }

                if (entered) break;
                if (path.Count == 0) return;
                depth -= RoundDepth(Subprogs[subprog].StackDepth);
                (subprog, i, _) = path[^1];
                path.RemoveAt(path.Count - 1);
                frame--;
            }
        }
    }
}
