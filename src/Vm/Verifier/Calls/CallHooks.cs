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
        if (insn.IsHelperCall && FindHelper(insn.Imm) is { } helper) return (ArgumentMask(helper.Args.Length), helper.AllowFastcall && !IsRawCpuId(insn));
        if (insn.IsKfuncCall && KernelBtf.Find((uint)insn.Imm) is { Kind: Btf.BtfKind.Func } func)
            return (ArgumentMask(func.Target.Params.Count), KfuncOf(insn).Flags is { } flags && (flags & KfuncFlags.Fastcall) != 0);
        return (0b111110, false);
    }

    // Socket filters get another function under this number, which keeps no registers.
    private bool IsRawCpuId(in Insn insn) =>
        insn.Imm == HelperId.GetSmpProcessorId && Input.Attributes.Type is Programs.ProgramType.SocketFilter or Programs.ProgramType.CgroupSkb;

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
}
