using BpfSim.Maps;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Acquired references and other resources: taking, giving back, and not leaving with them.
internal sealed partial class ProgramVerifier
{
    /// <summary>A new reference, acquired at this instruction; returns its id.</summary>
    private uint AcquireReference(int insnIdx)
    {
        uint id = NewId();
        State.AddRef(new ReferenceState { Kind = ReferenceKind.Pointer, Id = id, InsnIdx = insnIdx });
        return id;
    }

    private static int FindReference(VerifierState state, ReferenceKind kind, uint id)
    {
        for (int i = 0; i < state.RefCount; i++)
        {
            if (state.Refs[i].Kind == kind && state.Refs[i].Id == id) return i;
        }

        return -1;
    }

    /// <summary>Gives a reference back and forgets every register that holds it; false if it is not held.</summary>
    private bool TryReleaseReference(uint refObjId)
    {
        int index = FindReference(State, ReferenceKind.Pointer, refObjId);
        if (index < 0) return false;
        State.RemoveRefAt(index);
        ForEachReg((ref RegisterState reg) =>
        {
            if (reg.RefObjId == refObjId) MarkInvalid(ref reg);
        });
        return true;
    }

    /// <summary>
    /// The reference went into a kptr: under RCU a per-CPU object stays readable, everything else is forgotten.
    /// </summary>
    private void ReleaseIntoKptr(uint refObjId)
    {
        int index = FindReference(State, ReferenceKind.Pointer, refObjId);
        if (index < 0) return;
        State.RemoveRefAt(index);
        bool rcu = InRcuSection;
        ForEachReg((ref RegisterState reg) =>
        {
            if (reg.RefObjId != refObjId) return;
            if (rcu && reg.Type.Has(RegType.MemAlloc | RegType.MemPercpu))
            {
                reg.RefObjId = 0;
                reg.Type = (reg.Type & ~RegType.MemAlloc) | RegType.MemRcu;
                return;
            }

            MarkInvalid(ref reg);
        });
    }

    /// <summary>Whether pointers under RCU stay valid here: inside a section, under a lock, or in code that cannot sleep.</summary>
    private bool InRcuSection => State.ActiveRcuLocks != 0 || State.ActiveLocks != 0 || !InSleepable;

    /// <summary>Rejects leaving with references, locks, RCU sections or saved IRQ flags still held.</summary>
    /// <param name="exceptionExit">Leaving by bpf_throw: references of all frames count.</param>
    /// <param name="checkLock">Whether held locks and sections matter here.</param>
    /// <param name="prefix">What is done, as the messages name it: <c>BPF_EXIT instruction in main prog</c>.</param>
    private void CheckResourceLeak(bool exceptionExit, bool checkLock, string prefix)
    {
        if (checkLock && State.ActiveLocks != 0) Reject(Errno.EINVAL, $"{prefix} cannot be used inside bpf_spin_lock-ed region");
        if (HasLeak(exceptionExit)) Reject(Errno.EINVAL, $"{prefix} would lead to reference leak");
        if (!checkLock) return;
        if (State.ActiveIrqId != 0) Reject(Errno.EINVAL, $"{prefix} cannot be used inside bpf_local_irq_save-ed region");
        if (State.ActiveRcuLocks != 0) Reject(Errno.EINVAL, $"{prefix} cannot be used inside bpf_rcu_read_lock-ed region");
        if (State.ActivePreemptLocks != 0) Reject(Errno.EINVAL, $"{prefix} cannot be used inside bpf_preempt_disable-ed region");
    }

    private bool HasLeak(bool exceptionExit)
    {
        if (!exceptionExit && State.Current.FrameNo != 0) return false;
        bool leak = false;
        ref RegisterState r0 = ref Regs[0];
        for (int i = 0; i < State.RefCount; i++)
        {
            ReferenceState held = State.Refs[i];
            if (held.Kind != ReferenceKind.Pointer) continue;
            // A struct_ops program may hand a reference back to the kernel as its result.
            if (Input.Attributes.Type == ProgramType.StructOps && r0.RefObjId == held.Id && held.Id != 0) continue;
            Verbose($"Unreleased reference id={held.Id} alloc_insn={held.InsnIdx}\n");
            leak = true;
        }

        return leak;
    }
}
