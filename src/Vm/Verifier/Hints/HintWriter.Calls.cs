using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Hints;

// What calls acquire, hold and need.
internal sealed partial class HintWriter
{
    private static string ReleaseOf(string acquired) => acquired switch
    {
        "bpf_ringbuf_reserve" => "bpf_ringbuf_submit() or bpf_ringbuf_discard()",
        "bpf_ringbuf_reserve_dynptr" => "bpf_ringbuf_submit_dynptr() or bpf_ringbuf_discard_dynptr()",
        "bpf_sk_lookup_tcp" or "bpf_sk_lookup_udp" or "bpf_skc_lookup_tcp" => "bpf_sk_release()",
        "bpf_task_acquire" or "bpf_task_from_pid" or "bpf_task_from_vpid" => "bpf_task_release()",
        "bpf_cgroup_acquire" or "bpf_cgroup_from_id" or "bpf_cgroup_ancestor" or "bpf_task_get_cgroup1" => "bpf_cgroup_release()",
        "bpf_cpumask_create" or "bpf_cpumask_acquire" => "bpf_cpumask_release()",
        "bpf_obj_new_impl" or "bpf_list_pop_front" or "bpf_list_pop_back" or "bpf_rbtree_remove" => "bpf_obj_drop(), or insert it into a list or tree",
        "bpf_kptr_xchg" => "the release function of its type, or move it back with bpf_kptr_xchg()",
        _ when acquired.StartsWith("bpf_iter_", StringComparison.Ordinal) && acquired.EndsWith("_new", StringComparison.Ordinal)
            => $"{acquired[..^"new".Length]}destroy()",
        _ => "the function that releases it",
    };

    private string? Unreleased()
    {
        VerifierState state = _verifier.State;
        for (int i = 0; i < state.RefCount; i++)
        {
            if (state.Refs[i].Kind != ReferenceKind.Pointer) continue;
            int acquired = state.Refs[i].InsnIdx;
            if ((uint)acquired >= (uint)_verifier.Insns.Length) continue;
            string name = CallName(acquired);
            string branch = LastBranch(StepOf(acquired)) is { } last ? $", on the path {last}" : "";
            return $"what {name} acquired at {Place(acquired)} is still held at {Here}{branch}: "
                + $"call {ReleaseOf(name)} on every way out, those of errors included";
        }

        return null;
    }

    private string? NotHeld() =>
        $"{Here} releases something that is not held on this path: a reference is given back once, through a pointer that still is the one that was acquired, and not NULL";

    private string? Locked()
    {
        VerifierState state = _verifier.State;
        for (int i = state.RefCount - 1; i >= 0; i--)
        {
            if (state.Refs[i].Kind is not (ReferenceKind.Lock or ReferenceKind.ResLock or ReferenceKind.ResLockIrq)) continue;
            int taken = state.Refs[i].InsnIdx;
            return $"the lock taken at {Place(taken)} is held at {Here}, where only plain instructions and the unlock may stand: "
                + "do calls before the lock or behind the unlock, and unlock on every way out";
        }

        return $"a lock is held at {Here}: only plain instructions and the unlock may stand between lock and unlock";
    }

    private string? InsideRegion()
    {
        (string what, string end) = _message switch
        {
            _ when _message.Contains("rcu_read_lock", StringComparison.Ordinal) => ("an RCU read section", "bpf_rcu_read_unlock()"),
            _ when _message.Contains("preempt_disable", StringComparison.Ordinal) => ("a section with preemption disabled", "bpf_preempt_enable()"),
            _ when _message.Contains("local_irq_save", StringComparison.Ordinal) => ("a section with interrupts disabled", "bpf_local_irq_restore()"),
            _ => ("", ""),
        };
        return what.Length == 0 ? Locked() : $"{what} is still open at {Here}: call {end} on every way out";
    }

    private string? Untrusted()
    {
        ValueHistory? history = History(MessageReg);
        string story = history == null || history.Origin == ValueOrigin.Nowhere ? "" : $" (it is {OriginText(history)})";
        return $"the kernel does not guarantee that the object behind r{MessageReg} still exists at {Here}{story}: take it from an argument of the traced function, "
            + "acquire a reference, or stay within bpf_rcu_read_lock() and bpf_rcu_read_unlock()";
    }

    private string? Helper()
    {
        ProgramAttributes program = _verifier.Input.Attributes;
        Isa.Insn insn = _verifier.Insns[_insn];
        string type = _verifier.Input.ProgramType.Name;
        if (insn.IsHelperCall && program.Capabilities != Capabilities.All
            && _verifier.Input.ProgramType.AllowsHelper(program with { Capabilities = Capabilities.All }, insn.Imm))
        {
            string missing = _verifier.Input.ProgramType.AllowsHelper(program with { Capabilities = program.Capabilities | Capabilities.Bpf }, insn.Imm)
                ? "CAP_BPF" : "CAP_PERFMON";
            return $"{CallName(_insn)} at {Here} takes a loader with {missing}";
        }

        return _message.Contains("unknown", StringComparison.Ordinal)
            ? $"{Here} calls a helper that this kernel, or this type of program ({type}), does not have"
            : $"{CallName(_insn)} at {Here} exists, but not for programs of type {type}: put the call into a program of another type (another SEC()), or use another helper";
    }

    private string? Licence() =>
        $"{CallName(_insn)} at {Here} is for GPL-compatible programs only: declare char LICENSE[] SEC(\"license\") = \"GPL\";";

    private string? Sleeps()
    {
        VerifierState state = _verifier.State;
        string name = _verifier.Insns[_insn] is { Class: Isa.InsnClass.Jmp, JmpOp: Isa.JmpOp.Call } ? CallName(_insn) : "the instruction";
        if (state.ActiveRcuLocks != 0) return $"{name} at {Here} may sleep, which an RCU read section must not: end it with bpf_rcu_read_unlock() first";
        if (state.ActivePreemptLocks != 0) return $"{name} at {Here} may sleep, which code with preemption disabled must not: call bpf_preempt_enable() first";
        return state.ActiveIrqId != 0
            ? $"{name} at {Here} may sleep, which code with interrupts disabled must not: call bpf_local_irq_restore() first"
            : $"{name} at {Here} may sleep: load the program as sleepable (SEC(\"fentry.s/…\"), SEC(\"lsm.s/…\"), SEC(\"syscall\")), or use a variant that does not sleep (bpf_probe_read_user() for bpf_copy_from_user())";
    }

    private string? Kfunc() =>
        $"{CallName(_insn)} at {Here} is a kernel function that programs of type {_verifier.Input.ProgramType.Name} may not call: use a helper, or another type of program";

    private string? Context()
    {
        int[] numbers = Numbers;
        if (numbers.Length < 2) return null;
        string how = _verifier.Insns[_insn].Class == Isa.InsnClass.Ldx ? "read" : "written";
        return $"programs of type {_verifier.Input.ProgramType.Name} have no field of {numbers[^1]} bytes at offset {numbers[^2]} of their context that may be {how} (at {Here}): "
            + "check the context's type against the SEC(), the field, and the width of the access";
    }
}
