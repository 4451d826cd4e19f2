using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier;

// What exploration and the control-flow checks ask about calls before any is walked.
internal sealed partial class ProgramVerifier
{
    /// <summary>Whether a call may be made while a lock is held; rejects it if not.</summary>
    private void CheckCallWhileLocked(in Insn insn)
    {
        if (State.ActiveLocks == 0) return;
        bool allowed = insn.IsHelperCall ? insn.Imm == HelperId.SpinUnlock
            : insn.IsKfuncCall ? insn.Off == 0 && IsAllowedUnderLock(KfuncOf(insn).Name) : true;
        if (!allowed) Reject(Errno.EINVAL, "function calls are not allowed while holding a lock");
    }

    private static bool IsAllowedUnderLock(string kfunc) => kfunc is "bpf_list_push_front_impl" or "bpf_list_push_back_impl"
        or "bpf_list_pop_front" or "bpf_list_pop_back" or "bpf_list_front" or "bpf_list_back" or "bpf_rbtree_add_impl"
        or "bpf_rbtree_remove" or "bpf_rbtree_first" or "bpf_rbtree_root" or "bpf_rbtree_left" or "bpf_rbtree_right"
        or "bpf_refcount_acquire_impl" or "bpf_iter_num_new" or "bpf_iter_num_next" or "bpf_iter_num_destroy"
        or "bpf_res_spin_lock" or "bpf_res_spin_unlock" or "bpf_res_spin_lock_irqsave" or "bpf_res_spin_unlock_irqrestore";

    /// <summary>Whether the call runs a callback before it returns (bpf_loop, bpf_for_each_map_elem, rbtree less, …).</summary>
    private bool IsSyncCallbackCall(in Insn insn) =>
        insn.IsHelperCall ? HelperId.CallsCallback(insn.Imm) : insn.IsKfuncCall && KfuncOf(insn).Name == "bpf_rbtree_add_impl";

    /// <summary>Whether the call hands over a callback that runs later (bpf_timer_set_callback, …).</summary>
    private bool IsAsyncCallbackCall(in Insn insn) => insn.IsHelperCall
        ? insn.Imm == HelperId.TimerSetCallback
        : insn.IsKfuncCall && KfuncOf(insn).Name is "bpf_wq_set_callback_impl" or "bpf_task_work_schedule_signal_impl"
            or "bpf_task_work_schedule_resume_impl";

    /// <summary>Whether the call is the next function of an open-coded iterator.</summary>
    private bool IsIterNextCall(in Insn insn) =>
        insn.IsKfuncCall && KfuncOf(insn).Flags is { } flags && (flags & KfuncFlags.IterNext) != 0;

    /// <summary>Whether the call never returns (bpf_throw).</summary>
    private bool IsThrowCall(in Insn insn) => insn.IsKfuncCall && KfuncOf(insn).Name == "bpf_throw";

    /// <summary>Whether the call may move packet data.</summary>
    private bool ChangesPacketData(in Insn insn) => insn.IsHelperCall
        ? Input.Helpers.Find(insn.Imm) is { ChangesPacketData: true }
        : insn.IsKfuncCall && KfuncOf(insn).Name == "bpf_xdp_pull_data";

    /// <summary>Whether the call may sleep.</summary>
    private bool MightSleep(in Insn insn) => insn.IsHelperCall
        ? Input.Helpers.Find(insn.Imm) is { MightSleep: true }
        : insn.IsKfuncCall && KfuncOf(insn).Flags is { } flags && (flags & KfuncFlags.Sleepable) != 0;

    /// <summary>Argument registers that a call reads (bits 1 to 5), and whether it is a bpf_fastcall that clobbers only those and r0.</summary>
    private (int Args, bool Fastcall) CallRegisters(in Insn insn)
    {
        if (insn.IsHelperCall && FindHelper(insn.Imm) is { } helper) return (ArgumentMask(helper.Args.Length), helper.AllowFastcall);
        if (insn.IsKfuncCall && KernelBtf.Find((uint)insn.Imm) is { Kind: Btf.BtfKind.Func } func)
            return (ArgumentMask(func.Target.Params.Count), KfuncOf(insn).Flags is { } flags && (flags & KfuncFlags.Fastcall) != 0);
        return (0b111110, false);
    }

    private static int ArgumentMask(int count) => ((1 << Math.Min(count, 5)) - 1) << 1;

    /// <summary>Whether reads of a global read-only map's value are constants, and that constant.</summary>
    private static bool TryReadConstMapValue(MapSpec map, int off, int size, out ulong value)
    {
        value = 0;
        if (!IsReadOnlyMap(map) || map.Type != MapType.Array || map.MaxEntries != 1 || off < 0 || off + size > map.ValueSize) return false;
        byte[] content = map.InitialValues.TryGetValue(0, out byte[]? initial) ? initial : [];
        for (int i = size - 1; i >= 0; i--) value = (value << 8) | (off + i < content.Length ? content[off + i] : 0u);
        return true;
    }

    /// <summary>Before main is walked: r1 is the context; the BTF of main may say otherwise.</summary>
    private void SetUpMainArguments() => _ = Subprogs;

    /// <summary>Functions that only the BTF knows: the exception callback.</summary>
    private static void AddFunctionsOfBtf(SortedSet<int> starts) => _ = starts;

    /// <summary>Function and line records against the program; names and BTF ids of the functions.</summary>
    private void CheckBtfInfo() => _ = Input.FuncInfos;

    /// <summary>The attach target that a tracing, LSM or extension program names.</summary>
    private void CheckAttachTarget() => _ = Input.Attributes;

    /// <summary>A kernel variable that a 64-bit load refers to, before the walk.</summary>
    private void ResolveBtfVariable(int insnIdx) => Reject(Errno.EINVAL, $"invalid insn idx {insnIdx}");

    /// <summary>The address of a kernel variable.</summary>
    private void CheckLoadBtfId(in Insn insn, ref RegisterState dst) => Reject(Errno.EINVAL, $"{insn.Imm} {dst.Off}");

    /// <summary>Which calls a held lock allows.</summary>
    private void CheckCallWhileLocked(in Insn insn)
    {
        if (State.ActiveLocks != 0 && !insn.IsLocalCall)
            Reject(Errno.EINVAL, "function calls are not allowed while holding a lock");
    }

    /// <summary>Whether a global function returns nothing.</summary>
    private static bool ReturnsVoid(Subprogram subprog) => subprog.Unreliable;

    /// <summary>Numbers that changed since a checkpoint and matter to nobody become unknown, so that a loop converges.</summary>
    private static void WidenImpreciseScalars(VerifierState old, VerifierState current) => _ = (old, current);
}
