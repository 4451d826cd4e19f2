using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Linked lists and red-black trees of the program's own objects.
internal sealed partial class ProgramVerifier
{
    /// <summary>Whether the running function decides the order of a tree that is locked around it.</summary>
    private bool InRbtreeLockRequiredCallback()
    {
        if (State.ActiveLocks == 0 || !State.Current.InCallback) return false;
        Insn call = Insns[State.Current.CallSite];
        return call.IsKfuncCall && KfuncOf(call).Name == "bpf_rbtree_add_impl";
    }

    private void CheckGraphRoot(KfuncMeta meta, int i, bool list)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type is not (RegType.PtrToMapValue or (RegType.PtrToBtfId | RegType.MemAlloc)))
            Reject(Errno.EINVAL, $"arg#{i} expected pointer to map value or allocated object");
        if (reg.Type != RegType.PtrToMapValue && reg.RefObjId == 0) Reject(Errno.EINVAL, "allocated object must be referenced");
        string name = list ? "bpf_list_head" : "bpf_rb_root";
        if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} doesn't have constant offset. {name} has to be at the constant offset");
        int off = reg.Off + (int)reg.VarOff.Value;
        IReadOnlyList<SpecialField> fields = RecordOf(reg);
        if (FieldAt(fields, off, list ? SpecialFieldKind.ListHead : SpecialFieldKind.RbRoot) is not { } field)
        {
            Reject(Errno.EINVAL, $"{name} not found at offset={off}");
            return;
        }

        if (!IsLocked(reg))
        {
            int lockOff = FirstField(fields, SpecialFieldKind.SpinLock)?.Offset ?? -1;
            Reject(Errno.EINVAL, $"bpf_spin_lock at off={lockOff} must be held for {name}");
        }

        meta.GraphRoot = field;
    }

    private static SpecialField? FieldAt(IReadOnlyList<SpecialField> fields, int off, SpecialFieldKind kind)
    {
        foreach (SpecialField field in fields)
        {
            if (field.Kind == kind && field.Offset == off) return field;
        }

        return null;
    }

    /// <summary>Whether the lock in the same object is held.</summary>
    private bool IsLocked(in RegisterState reg)
    {
        if (State.ActiveLocks == 0) return false;
        uint owner = LockOwnerOf(reg);
        for (int i = 0; i < State.RefCount; i++)
        {
            ReferenceState held = State.Refs[i];
            if (held.Kind is ReferenceKind.Lock or ReferenceKind.ResLock or ReferenceKind.ResLockIrq && held.Id == reg.Id
                && held.LockOwner == owner)
                return true;
        }

        Verbose("held lock and object are not in the same allocation\n");
        return false;
    }

    private void CheckGraphNode(KfuncMeta meta, int i, bool list)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        if (list || meta.Name == "bpf_rbtree_add_impl")
        {
            if (reg.Type != (RegType.PtrToBtfId | RegType.MemAlloc)) Reject(Errno.EINVAL, $"arg#{i} expected pointer to allocated object");
            if (reg.RefObjId == 0) Reject(Errno.EINVAL, "allocated object must be referenced");
        }
        else
        {
            if (!reg.Type.HasAny(RegType.NonOwnRef) && reg.RefObjId == 0)
                Reject(Errno.EINVAL, $"{meta.Name} can only take non-owning or refcounted bpf_rb_node pointer");
            if (InRbtreeLockRequiredCallback()) Reject(Errno.EINVAL, $"{meta.Name} not allowed in rbtree cb");
        }

        string name = list ? "bpf_list_node" : "bpf_rb_node";
        if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} doesn't have constant offset. {name} has to be at the constant offset");
        int off = reg.Off + (int)reg.VarOff.Value;
        if (FieldAt(RecordOf(reg), off, list ? SpecialFieldKind.ListNode : SpecialFieldKind.RbNode) is null)
            Reject(Errno.EINVAL, $"{name} not found at offset={off}");
        if (meta.GraphRoot is not { } root) return;
        int expected = NodeOffset(root);
        string contained = BtfTypeName(BtfSource.Program, root.BtfTypeId);
        if (!BtfTypesMatch(reg.Btf, reg.BtfId, 0, BtfSource.Program, root.BtfTypeId, true))
        {
            Reject(Errno.EINVAL, $"operation on {(list ? "bpf_list_head" : "bpf_rb_root")} expects arg#1 {name} at offset={expected} in "
                + $"struct {contained}, but arg is at offset={off} in struct {BtfTypeName(reg.Btf, reg.BtfId)}");
        }

        meta.ArgBtf = reg.Btf;
        meta.ArgBtfId = reg.BtfId;
        if (off != expected)
            Reject(Errno.EINVAL, $"arg#1 offset={off}, but expected {name} at offset={expected} in struct {contained}");
    }
}
