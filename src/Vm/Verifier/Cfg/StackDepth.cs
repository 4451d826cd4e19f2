using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// How deep the stack gets over all chains of calls.
internal sealed partial class ProgramVerifier
{
    /// <summary>Stack that a function takes on x86-64: a multiple of 16 bytes.</summary>
    private static int RoundDepth(int depth) => (depth + 15) / 16 * 16;

    private void CheckStackDepth()
    {
        var entries = new List<int> { 0 };
        for (int i = 1; i < Subprogs.Count; i++)
        {
            if (Subprogs[i].IsAsyncCallback) entries.Add(i);
        }

        // Last entries first: what a callback that runs later reaches stays on the common stack in main, too.
        var common = new bool[Subprogs.Count];
        bool privateStack = MayUsePrivateStack();
        for (int i = entries.Count - 1; i >= 0; i--) CheckStackDepth(entries[i], privateStack && entries[i] == 0, common);
    }

    /// <summary>Stack from which on a function gets a stack of its own, where the program type has such.</summary>
    private const int PrivateStackMin = 64;


    /// <summary>Program types that never run twice on a CPU at a time give large functions a stack of their own.</summary>
    private bool MayUsePrivateStack()
    {
        foreach (Subprogram subprog in Subprogs)
        {
            if (subprog.HasTailCall) return false;
        }

        return Input.Attributes.Type switch
        {
            Programs.ProgramType.Kprobe or Programs.ProgramType.Tracepoint or Programs.ProgramType.PerfEvent
                or Programs.ProgramType.RawTracepoint => true,
            Programs.ProgramType.Tracing => Input.Attributes.ExpectedAttachType != TraceIter,
            Programs.ProgramType.Lsm => Input.Attributes.ExpectedAttachType != LsmCgroup,
            _ => false,
        };
    }

    private void RejectThrowInCallback(int insnIdx, int subprog, List<(int Subprog, int Insn, int Depth)> path)
    {
        bool callback = Subprogs[subprog].IsCallback;
        foreach ((int caller, _, _) in path) callback |= Subprogs[caller].IsCallback;
        if (callback)
            Reject(Errno.EINVAL, $"bpf_throw kfunc (insn {insnIdx}) cannot be called from callback subprog {subprog}");
    }

    private void CheckStackDepth(int entry, bool privateStack, bool[] common)
    {
        var path = new List<(int Subprog, int Insn, int Depth)>();
        // A function that was fine under more stack and more frames is fine here, too: chains of calls are not tried one by one.
        var walked = new int[Subprogs.Count, VerifierState.MaxFrames + 1, 2];
        int subprog = entry, i = Subprogs[entry].Start, depth = 0, frame = 0;
        bool tailCalls = false;
        while (true)
        {
            if (frame > 0 && Subprogs[subprog].HasTailCall && depth >= 256)
                Reject(Errno.EACCES, $"tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large");
            int own = RoundDepth(Subprogs[subprog].CountedStack);
            if (!privateStack) common[subprog] = true;
            if (common[subprog] || own < PrivateStackMin) depth += own;
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
                    if (IsThrowCall(insn)) RejectThrowInCallback(i, subprog, path);
                    if (!insn.IsLocalCall && !func) continue;
                    int callee = FindSubprog(i + insn.Imm + 1);
                    if (callee < 0) continue;
                    // A callback that runs later starts on a stack of its own.
                    if (Subprogs[callee].IsAsyncCallback)
                    {
                        if (Subprogs[callee].HasTailCall) RejectBug("subprog has tail_call and async cb");
                        if (func) continue;
                        if (Subprogs[callee].IsExceptionCallback)
                        {
                            Verbose($"insn {i} cannot call exception cb directly");
                            Reject(Errno.EINVAL);
                        }
                    }

                    int inCallback = Subprogs[subprog].IsCallback || path.Exists(step => Subprogs[step.Subprog].IsCallback) ? 1 : 0;
                    if (IsWalked(walked, callee, frame + 1, inCallback, depth)) continue;
                    path.Add((subprog, i + 1, depth));
                    subprog = callee;
                    i = Subprogs[callee].Start;
                    tailCalls |= Subprogs[callee].HasTailCall;
                    frame++;
                    if (frame >= VerifierState.MaxFrames) Reject(Errno.E2BIG, $"the call stack of {frame} frames is too deep !");
                    entered = true;
                    break;
                }

                if (entered) break;
                if (tailCalls && path.Exists(p => Subprogs[p.Subprog].IsExceptionCallback))
                    Reject(Errno.EINVAL, "cannot tail call within exception cb");
                if (path.Count == 0) return;
                int left = RoundDepth(Subprogs[subprog].CountedStack);
                if (common[subprog] || left < PrivateStackMin) depth -= left;
                (subprog, i, _) = path[^1];
                path.RemoveAt(path.Count - 1);
                frame--;
            }
        }
    }
    private static bool IsWalked(int[,,] walked, int subprog, int frame, int inCallback, int depth)
    {
        for (int f = frame; f <= VerifierState.MaxFrames; f++)
        {
            if (walked[subprog, f, inCallback] > depth) return true;
        }

        walked[subprog, frame, inCallback] = depth + 1;
        return false;
    }
}
