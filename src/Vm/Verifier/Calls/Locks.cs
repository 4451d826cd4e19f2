using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>The two kinds of locks that programs can hold.</summary>
internal enum LockFlavour
{
    /// <summary>bpf_spin_lock: one at a time.</summary>
    Spin,
    /// <summary>bpf_res_spin_lock: may nest, may fail.</summary>
    Resilient,
    /// <summary>bpf_res_spin_lock_irqsave.</summary>
    ResilientIrq,
}

// Spin locks, timers and other special fields of map values and allocated objects.
internal sealed partial class ProgramVerifier
{
    private const uint LockOwnerProgramBtf = 1u << 31;

    private static bool HasLock(MapSpec map) =>
        HasField(map.SpecialFields, SpecialFieldKind.SpinLock) || HasField(map.SpecialFields, SpecialFieldKind.ResSpinLock);

    private static bool HasField(IReadOnlyList<SpecialField> fields, SpecialFieldKind kind)
    {
        foreach (SpecialField field in fields)
        {
            if (field.Kind == kind) return true;
        }

        return false;
    }

    private static SpecialField? FirstField(IReadOnlyList<SpecialField> fields, SpecialFieldKind kind)
    {
        foreach (SpecialField field in fields)
        {
            if (field.Kind == kind) return field;
        }

        return null;
    }

    private readonly Dictionary<uint, IReadOnlyList<SpecialField>> _records = [];

    /// <summary>Special fields of a type of the program's own BTF.</summary>
    private IReadOnlyList<SpecialField> RecordOf(BtfSource source, uint id)
    {
        if (source != BtfSource.Program || Input.Btf?.Find(id) is not { } type || !type.IsComposite) return [];
        if (!_records.TryGetValue(id, out var fields)) _records[id] = fields = SpecialFieldFinder.Find(type);
        return fields;
    }

    /// <summary>Special fields of what a register points to.</summary>
    private IReadOnlyList<SpecialField> RecordOf(in RegisterState reg) => reg.Type.Base() switch
    {
        RegType.PtrToMapValue => Maps[reg.MapIndex].SpecialFields,
        RegType.PtrToBtfId when reg.Type.HasAny(RegType.MemAlloc) => RecordOf(reg.Btf, reg.BtfId),
        _ => [],
    };

    private static uint LockOwnerOf(in RegisterState reg) =>
        reg.Type.Base() == RegType.PtrToMapValue ? (uint)reg.MapIndex + 1 : LockOwnerProgramBtf;

    private static ReferenceKind LockKind(LockFlavour flavour) => flavour switch
    {
        LockFlavour.Spin => ReferenceKind.Lock,
        LockFlavour.Resilient => ReferenceKind.ResLock,
        _ => ReferenceKind.ResLockIrq,
    };

    /// <summary>bpf_spin_lock and bpf_spin_unlock, and their resilient relatives, on the lock that a register points to.</summary>
    private void ProcessSpinLock(int regno, bool isLock, LockFlavour flavour)
    {
        ref RegisterState reg = ref Regs[regno];
        string name = flavour == LockFlavour.Spin ? "bpf_spin" : "bpf_res_spin";
        bool isMap = reg.Type.Base() == RegType.PtrToMapValue;
        if (!reg.IsConst)
            Reject(Errno.EINVAL, $"R{regno} doesn't have constant offset. {name}_lock has to be at the constant offset");
        if (isMap && Maps[reg.MapIndex].Btf is null)
            Reject(Errno.EINVAL, $"map '{Maps[reg.MapIndex].Name}' has to have BTF in order to use {name}_lock");
        SpecialFieldKind kind = flavour == LockFlavour.Spin ? SpecialFieldKind.SpinLock : SpecialFieldKind.ResSpinLock;
        if (FirstField(RecordOf(reg), kind) is not { } field)
        {
            Reject(Errno.EINVAL,
                $"{(isMap ? "map" : "local")} '{(isMap ? Maps[reg.MapIndex].Name : "kptr")}' has no valid {name}_lock");
            return;
        }

        long off = (long)reg.VarOff.Value + reg.Off;
        if (field.Offset != off)
            Reject(Errno.EINVAL, $"off {off} doesn't point to 'struct {name}_lock' that is at {field.Offset}");
        if (isLock) TakeLock(ref reg, flavour);
        else DropLock(ref reg, flavour, name);
    }

    private void TakeLock(ref RegisterState reg, LockFlavour flavour)
    {
        uint owner = LockOwnerOf(reg);
        if (State.ActiveLocks != 0)
        {
            for (int i = 0; i < State.RefCount; i++)
            {
                ReferenceState held = State.Refs[i];
                if (flavour != LockFlavour.Spin && held.Kind is ReferenceKind.ResLock or ReferenceKind.ResLockIrq && held.Id == reg.Id
                    && held.LockOwner == owner)
                    Reject(Errno.EINVAL, "Acquiring the same lock again, AA deadlock detected");
            }
        }

        State.AddRef(new ReferenceState { Kind = LockKind(flavour), Id = reg.Id, InsnIdx = InsnIdx, LockOwner = owner });
        State.ActiveLocks++;
        State.ActiveLockId = reg.Id;
        State.ActiveLockOwner = owner;
    }

    private void DropLock(ref RegisterState reg, LockFlavour flavour, string name)
    {
        uint owner = LockOwnerOf(reg);
        if (State.ActiveLocks == 0) Reject(Errno.EINVAL, $"{name}_unlock without taking a lock");
        ReferenceKind kind = LockKind(flavour);
        int found = -1;
        (uint Id, uint Owner) previous = default;
        for (int i = 0; i < State.RefCount; i++)
        {
            ReferenceState held = State.Refs[i];
            if (held.Kind == kind && held.Id == reg.Id && held.LockOwner == owner)
            {
                found = i;
                break;
            }

            if (held.Kind is ReferenceKind.Lock or ReferenceKind.ResLock or ReferenceKind.ResLockIrq) previous = (held.Id, held.LockOwner);
        }

        if (found < 0) Reject(Errno.EINVAL, $"{name}_unlock of different lock");
        if (reg.Id != State.ActiveLockId || owner != State.ActiveLockOwner) Reject(Errno.EINVAL, $"{name}_unlock cannot be out of order");
        State.RemoveRefAt(found);
        State.ActiveLocks--;
        (State.ActiveLockId, State.ActiveLockOwner) = previous;
        InvalidateNonOwningRefs();
    }

    /// <summary>Objects in lists and trees may be freed by others once the lock is gone.</summary>
    private void InvalidateNonOwningRefs() => ForEachReg((ref RegisterState reg) =>
    {
        if (reg.Type.Base() == RegType.PtrToBtfId && reg.Type.HasAny(RegType.NonOwnRef)) MarkInvalid(ref reg);
    });

    /// <summary>A timer, workqueue or task work at its place in a map value.</summary>
    private void CheckMapFieldPointer(int regno, SpecialFieldKind kind, string name)
    {
        ref RegisterState reg = ref Regs[regno];
        MapSpec map = Maps[reg.MapIndex];
        if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} doesn't have constant offset. {name} has to be at the constant offset");
        if (map.Btf is null) Reject(Errno.EINVAL, $"map '{map.Name}' has to have BTF in order to use {name}");
        if (FirstField(map.SpecialFields, kind) is not { } field)
        {
            Reject(Errno.EINVAL, $"map '{map.Name}' has no valid {name}");
            return;
        }

        long off = (long)reg.VarOff.Value + reg.Off;
        if (field.Offset != off) Reject(Errno.EINVAL, $"off {off} doesn't point to 'struct {name}' that is at {field.Offset}");
    }

    private void ProcessTimer(int regno, CallMeta meta)
    {
        CheckMapFieldPointer(regno, SpecialFieldKind.Timer, "bpf_timer");
        meta.MapUid = Regs[regno].MapUid;
        meta.MapIndex = Regs[regno].MapIndex;
    }

    private void ProcessKptrDestination(int regno, CallMeta meta)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type.Base() == RegType.PtrToMapValue)
        {
            MapSpec map = Maps[reg.MapIndex];
            if (map.Btf is null) Reject(Errno.EINVAL, $"map '{map.Name}' has to have BTF in order to use bpf_kptr_xchg");
            meta.MapIndex = reg.MapIndex;
        }

        IReadOnlyList<SpecialField> fields = RecordOf(reg);
        if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} doesn't have constant offset. kptr has to be at the constant offset");
        if (!fields.Any(f => IsKptr(f.Kind))) Reject(Errno.EINVAL, $"R{regno} has no valid kptr");
        int off = reg.Off + (int)reg.VarOff.Value;
        SpecialField? found = null;
        foreach (SpecialField field in fields)
        {
            if (IsKptr(field.Kind) && field.Offset == off) found = field;
        }

        if (found is not { } kptr)
        {
            Reject(Errno.EACCES, $"off={off} doesn't point to kptr");
            return;
        }

        if (kptr.Kind is not (SpecialFieldKind.KptrRef or SpecialFieldKind.KptrPercpu))
            Reject(Errno.EACCES, $"off={off} kptr isn't referenced kptr");
        meta.KptrField = ResolveKptr(kptr);
        meta.HasKptrField = true;
    }

    private static bool IsKptr(SpecialFieldKind kind) => kind is SpecialFieldKind.KptrRef or SpecialFieldKind.KptrUnref
        or SpecialFieldKind.KptrPercpu or SpecialFieldKind.Uptr;

    /// <summary>The pointee of a kptr field: a type of the kernel by name, else the program's own.</summary>
    private Kptr ResolveKptr(SpecialField field)
    {
        if (Input.Btf?.Find(field.BtfTypeId) is { } local && field.Kind != SpecialFieldKind.Uptr)
        {
            uint kernel = KernelBtf.FindId(local.Name, local.Kind);
            if (kernel != 0) return new Kptr(field.Kind, BtfSource.Kernel, kernel);
        }

        return new Kptr(field.Kind, BtfSource.Program, field.BtfTypeId);
    }

    /// <summary>Whether a register may be stored in a kptr field; says why not.</summary>
    private bool KptrMatches(in Kptr field, ref RegisterState reg, int regno)
    {
        bool kernel = reg.Btf == BtfSource.Kernel;
        RegType allowed = kernel ? RegType.PtrMaybeNull | RegType.PtrTrusted | RegType.MemRcu : RegType.PtrMaybeNull | RegType.MemAlloc;
        if (kernel && field.Kind == SpecialFieldKind.KptrUnref) allowed |= RegType.PtrUntrusted;
        if (!kernel && field.Kind == SpecialFieldKind.KptrPercpu) allowed |= RegType.MemPercpu;
        string target = BtfTypeName(field.Btf, field.BtfId), name = "";
        if (reg.Type.Base() == RegType.PtrToBtfId && (reg.Type.Flags() & ~allowed) == 0)
        {
            name = BtfTypeName(reg.Btf, reg.BtfId);
            CheckPtrOffReg(ref reg, regno, true);
            if (BtfTypesMatch(reg.Btf, reg.BtfId, reg.Off, field.Btf, field.BtfId, field.Kind != SpecialFieldKind.KptrUnref)) return true;
        }

        string other = field.Kind == SpecialFieldKind.KptrUnref ? $" or {RegTypeName(RegType.PtrToBtfId | RegType.PtrUntrusted)}{target}" : "";
        Verbose($"invalid kptr access, R{regno} type={RegTypeName(reg.Type)}{name} expected={RegTypeName(RegType.PtrToBtfId)}{target}{other}\n");
        return false;
    }
}
