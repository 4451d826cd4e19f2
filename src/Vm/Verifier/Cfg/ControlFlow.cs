using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Cfg;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// The shape of the program before any value is looked at: functions, jumps, reachability, prune points.
internal sealed partial class ProgramVerifier
{
    private const int MaxSubprogs = 256;

    private void FindSubprogs()
    {
        var starts = new SortedSet<int> { 0 };
        for (int i = 0; i < Insns.Length; i++)
        {
            ref readonly Insn insn = ref Insns[i];
            bool func = insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func;
            bool call = insn.IsLocalCall, kfunc = insn.IsKfuncCall;
            if (!func && !call && !kfunc) continue;
            if (!BpfCapable)
            {
                Reject(Errno.EPERM,
                    "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN");
            }

            if (kfunc)
            {
                CheckKfuncReference(insn);
                continue;
            }

            long start = i + (long)insn.Imm + 1;
            if (start < 0 || start >= Insns.Length) Reject(Errno.EINVAL, "call to invalid destination");
            starts.Add((int)start);
            if (starts.Count > MaxSubprogs) Reject(Errno.E2BIG, "too many subprograms");
        }

        AddFunctionsOfBtf(starts);
        int[] sorted = [.. starts];
        for (int i = 0; i < sorted.Length; i++)
        {
            Subprogs.Add(new Subprogram { Start = sorted[i], End = i + 1 < sorted.Length ? sorted[i + 1] : Insns.Length });
            if (Log.Detailed) Verbose($"func#{i} @{sorted[i]}\n");
        }
    }

    private void CheckSubprogs()
    {
        int current = 0;
        Subprogram subprog = Subprogs[0];
        for (int i = 0; i < Insns.Length; i++)
        {
            ref readonly Insn insn = ref Insns[i];
            if (insn.IsHelperCall && insn.Imm == 12) subprog.HasTailCall = subprog.TailCallReachable = true;
            if (insn.Class == InsnClass.Ld && insn.Mode is MemMode.Abs or MemMode.Ind && insn.Class == InsnClass.Ld) subprog.HasLdAbs = true;
            if (insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not (JmpOp.Exit or JmpOp.Call))
            {
                int target = Successors.JumpTarget(insn, i);
                if (target < subprog.Start || target >= subprog.End)
                    Reject(Errno.EINVAL, $"jump out of range from insn {i} to {target}");
            }

            if (i != subprog.End - 1) continue;
            bool ends = insn.Code is ((byte)InsnClass.Jmp | (byte)JmpOp.Exit) or ((byte)InsnClass.Jmp | (byte)JmpOp.Ja)
                or ((byte)InsnClass.Jmp32 | (byte)JmpOp.Ja);
            if (!ends) Reject(Errno.EINVAL, "last insn is not an exit or jmp");
            if (++current < Subprogs.Count) subprog = Subprogs[current];
        }
    }

    private enum Visit : byte { None = 0, Discovered = 0x10, Explored = 0x20, FallThrough = 1, Branch = 2 }

    /// <summary>Depth first over all edges: finds unreachable instructions and marks where states are compared.</summary>
    private void CheckCfg()
    {
        var state = new byte[Insns.Length];
        var stack = new int[Insns.Length];
        int depth = 0;
        state[0] = (byte)Visit.Discovered;
        stack[depth++] = 0;
        Walk();
        foreach (Subprogram subprog in Subprogs)
        {
            if (!subprog.IsExceptionCallback || state[subprog.Start] != 0) continue;
            state[subprog.Start] = (byte)Visit.Discovered;
            stack[depth++] = subprog.Start;
            Walk();
        }

        for (int i = 0; i < Insns.Length; i++)
        {
            if (state[i] != (byte)Visit.Explored) Reject(Errno.EINVAL, $"unreachable insn {i}");
            if (!Insns[i].IsLdImm64) continue;
            if (state[i + 1] != 0) Reject(Errno.EINVAL, $"jump into the middle of ldimm64 insn {i}");
            i++;
        }

        void Walk()
        {
            while (depth > 0)
            {
                int t = stack[depth - 1];
                if (VisitInsn(t)) continue;
                state[t] = (byte)Visit.Explored;
                depth--;
            }
        }

        // True: an edge to a new instruction was found, which is on the stack now.
        bool VisitInsn(int t)
        {
            ref readonly Insn insn = ref Insns[t];
            if (insn.Class is not (InsnClass.Jmp or InsnClass.Jmp32))
            {
                if (insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func) return VisitCall(t, callee: true);
                return Push(t, t + (insn.IsLdImm64 ? 2 : 1), Visit.FallThrough);
            }

            switch (insn.JmpOp)
            {
                case JmpOp.Exit:
                    return false;
                case JmpOp.Call:
                    MarkCall(t);
                    return VisitCall(t, insn.Src == (int)CallKind.Local);
                case JmpOp.Ja:
                    if (insn.Source != OperandSource.K) Reject(Errno.EINVAL);
                    int target = Successors.JumpTarget(insn, t);
                    bool more = Push(t, target, Visit.FallThrough);
                    Aux[target].PrunePoint = Aux[target].JumpPoint = true;
                    return more;
                default:
                    Aux[t].PrunePoint = true;
                    if (insn.JmpOp == JmpOp.Jcond && insn.Src == 0) Aux[t].ForceCheckpoint = true;
                    return Push(t, t + 1, Visit.FallThrough) || Push(t, t + insn.Off + 1, Visit.Branch);
            }
        }

        bool VisitCall(int t, bool callee)
        {
            int next = t + (Insns[t].IsLdImm64 ? 2 : 1);
            bool more = Push(t, next, Visit.FallThrough);
            if (next < Insns.Length) Aux[next].PrunePoint = Aux[next].JumpPoint = true;
            if (!callee) return more;
            Aux[t].PrunePoint = true;
            int target = t + Insns[t].Imm + 1;
            MergeCalleeEffects(t, target);
            return more || Push(t, target, Visit.Branch);
        }

        bool Push(int t, int w, Visit edge)
        {
            if (edge == Visit.FallThrough && state[t] >= (byte)(Visit.Discovered | Visit.FallThrough)) return false;
            if (edge == Visit.Branch && state[t] >= (byte)(Visit.Discovered | Visit.Branch)) return false;
            if (w < 0 || w >= Insns.Length)
            {
                LogSourceLine(t, $"{t}: ");
                Reject(Errno.EINVAL, $"jump out of range from insn {t} to {w}");
            }

            if (edge == Visit.Branch) Aux[w].PrunePoint = Aux[w].JumpPoint = true;
            byte target = state[w];
            if (target == 0)
            {
                state[t] = (byte)(Visit.Discovered | edge);
                state[w] = (byte)Visit.Discovered;
                stack[depth++] = w;
                return true;
            }

            if ((target & 0xf0) == (byte)Visit.Discovered)
            {
                if (BpfCapable) return false;
                LogSourceLine(t, $"{t}: ");
                LogSourceLine(w, $"{w}: ");
                Reject(Errno.EINVAL, $"back-edge from insn {t} to {w}");
            }

            state[t] = (byte)(Visit.Discovered | edge);
            return false;
        }
    }

    private void MarkCall(int t)
    {
        ref readonly Insn insn = ref Insns[t];
        if (IsAsyncCallbackCall(insn)) Aux[t].PrunePoint = true;
        if (IsSyncCallbackCall(insn))
            Aux[t].CallsCallback = Aux[t].ForceCheckpoint = Aux[t].PrunePoint = Aux[t].JumpPoint = true;
        if (insn.IsKfuncCall && IsIterNextCall(insn))
            Aux[t].IsIterNext = Aux[t].PrunePoint = Aux[t].ForceCheckpoint = true;
        if (insn.Src == (int)CallKind.Local) return;
        Subprogram subprog = Subprogs[ContainingSubprog(t)];
        subprog.ChangesPacketData |= ChangesPacketData(insn);
        subprog.MightSleep |= MightSleep(insn);
    }

    // A callee is walked before its caller is left, so its effects are known when the caller needs them.
    private void MergeCalleeEffects(int t, int target)
    {
        Subprogram caller = Subprogs[ContainingSubprog(t)], callee = Subprogs[ContainingSubprog(target)];
        caller.ChangesPacketData |= callee.ChangesPacketData;
        caller.MightSleep |= callee.MightSleep;
    }
}
