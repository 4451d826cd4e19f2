using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>What a pointer argument of a kfunc is, by its BTF, its name and the register given.</summary>
internal enum KfuncArgKind
{
    Ctx, AllocatedObject, RefcountedKptr, Dynptr, Iterator, ListHead, ListNode, BtfPointer, Memory, MemoryWithSize, Callback,
    RbRoot, RbNode, Null, ConstStr, Map, Workqueue, IrqFlag, ResSpinLock, TaskWork,
}

// Arguments of kfunc calls.
internal sealed partial class ProgramVerifier
{
    private void CheckKfuncArgs(KfuncMeta meta, int insnIdx)
    {
        if (meta.Params.Length > 5) Reject(Errno.EINVAL, $"Function {meta.Name} has {meta.Params.Length} > 5 args");
        for (int i = 0; i < meta.Params.Length; i++)
        {
            int regno = i + 1;
            BtfType type = KernelBtf.Resolve(meta.Params[i].TypeId);
            string name = meta.Params[i].Name;
            if (HasSuffix(name, "__ign") || HasSuffix(name, "__prog")) continue;
            if (type.Kind == BtfKind.Int || type.IsAnyEnum)
            {
                CheckKfuncScalar(meta, regno, name);
                continue;
            }

            if (type.Kind != BtfKind.Ptr) Reject(Errno.EINVAL, $"Unrecognized arg#{i} type {KindName(type)}");
            if (CheckKfuncPointer(meta, insnIdx, i, type)) i++;
        }

        if (meta.Has(KfuncFlags.Release) && meta.ReleaseRegno == 0)
            Reject(Errno.EINVAL, $"release kernel function {meta.Name} expects refcounted PTR_TO_BTF_ID");
    }

    private static bool HasSuffix(string name, string suffix) => name.EndsWith(suffix, StringComparison.Ordinal);

    private static bool IsNullable(string name) => name.Contains("__nullable", StringComparison.Ordinal) || HasSuffix(name, "__opt");

    private void CheckKfuncScalar(KfuncMeta meta, int regno, string name)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type != RegType.Scalar) Reject(Errno.EINVAL, $"R{regno} is not a scalar");
        if (HasSuffix(name, "__k"))
        {
            if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} must be a known constant");
            MarkChainPrecision(regno);
            meta.HasConstant = true;
            meta.Constant = reg.VarOff.Value;
        }
        else if (name is "rdonly_buf_size" or "rdwr_buf_size")
        {
            if (!reg.IsConst) Reject(Errno.EINVAL, $"R{regno} is not a const");
            meta.R0ReadOnly = name == "rdonly_buf_size";
            meta.R0Size = (uint)reg.VarOff.Value;
            MarkChainPrecision(regno);
        }
    }

    /// <summary>Returns whether the next argument was checked together with this one.</summary>
    private bool CheckKfuncPointer(KfuncMeta meta, int insnIdx, int i, BtfType type)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        string name = meta.Params[i].Name;
        const KfuncFlags guaranteed = KfuncFlags.TrustedArgs | KfuncFlags.Rcu | KfuncFlags.Release;
        if ((meta.Flags & guaranteed) != 0 && (reg.IsNull || reg.Type.MayBeNull()) && !IsNullable(name))
            Reject(Errno.EACCES, $"Possibly NULL pointer passed to trusted arg{i}");
        if (reg.RefObjId != 0)
        {
            if (meta.Has(KfuncFlags.Release) && meta.RefObjId != 0)
                RejectBug($"more than one arg with ref_obj_id R{regno} {reg.RefObjId} {meta.RefObjId}");
            meta.RefObjId = reg.RefObjId;
            if (meta.Has(KfuncFlags.Release)) meta.ReleaseRegno = regno;
        }

        BtfType target = KernelBtf.Resolve(type.TypeId);
        KfuncArgKind kind = KfuncArgKindOf(meta, i, type, target);
        if (kind == KfuncArgKind.Null) return false;
        if (kind == KfuncArgKind.Map) TakeKfuncMap(meta, regno);
        if (kind is KfuncArgKind.Map or KfuncArgKind.AllocatedObject or KfuncArgKind.BtfPointer) CheckKfuncTrust(meta, regno);
        CheckArgumentOffset(regno, meta.Has(KfuncFlags.Release) && reg.RefObjId != 0, kind == KfuncArgKind.Dynptr);
        return CheckKfuncPointerByKind(meta, insnIdx, i, target, kind);
    }

    private void CheckKfuncTrust(KfuncMeta meta, int regno)
    {
        ref RegisterState reg = ref Regs[regno];
        if (!meta.Has(KfuncFlags.TrustedArgs) && !meta.Has(KfuncFlags.Rcu) && !meta.Has(KfuncFlags.Release)) return;
        if (IsTrusted(reg) || reg.Type.Base() == RegType.ConstPtrToMap) return;
        if (!meta.Has(KfuncFlags.Rcu)) Reject(Errno.EINVAL, $"R{regno} must be referenced or trusted");
        if (!reg.Type.HasAny(RegType.MemRcu)) Reject(Errno.EINVAL, $"R{regno} must be a rcu pointer");
    }

    private void TakeKfuncMap(KfuncMeta meta, int regno)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type.Base() is not (RegType.ConstPtrToMap or RegType.PtrToMapValue or RegType.PtrToMapKey))
            Reject(Errno.EINVAL, $"pointer in R{regno} isn't map pointer");
        // Linux compares only where the map given has such a field itself.
        IReadOnlyList<SpecialField> fields = Maps[reg.MapIndex].SpecialFields;
        bool taskWork = HasField(fields, SpecialFieldKind.TaskWork);
        if (meta.MapIndex >= 0 && (taskWork || HasField(fields, SpecialFieldKind.Workqueue))
            && (meta.MapIndex != reg.MapIndex || meta.MapUid != reg.MapUid))
        {
            Reject(Errno.EINVAL, taskWork
                ? $"bpf_task_work pointer in R2 map_uid={meta.MapUid} doesn't match map pointer in R3 map_uid={reg.MapUid}"
                : $"workqueue pointer in R1 map_uid={meta.MapUid} doesn't match map pointer in R2 map_uid={reg.MapUid}");
        }

        meta.MapIndex = reg.MapIndex;
        meta.MapUid = reg.MapUid;
    }

    private KfuncArgKind KfuncArgKindOf(KfuncMeta meta, int i, BtfType pointer, BtfType target)
    {
        ref RegisterState reg = ref Regs[i + 1];
        string name = meta.Params[i].Name;
        bool sized = i + 1 < meta.Params.Length && Regs[i + 2].Type == RegType.Scalar
            && KernelBtf.Resolve(meta.Params[i + 1].TypeId).Kind == BtfKind.Int
            && (HasSuffix(meta.Params[i + 1].Name, "__sz") || HasSuffix(meta.Params[i + 1].Name, "__szk"));
        if (meta.Name == "bpf_cast_to_kern_ctx" || IsContextPointer(pointer)) return KfuncArgKind.Ctx;
        if (IsNullable(name) && reg.IsNull && !sized) return KfuncArgKind.Null;
        if (HasSuffix(name, "__alloc")) return KfuncArgKind.AllocatedObject;
        if (HasSuffix(name, "__refcounted_kptr")) return KfuncArgKind.RefcountedKptr;
        switch (target.Name)
        {
            case "bpf_dynptr" or "bpf_dynptr_kern":
                return KfuncArgKind.Dynptr;
            case "bpf_list_head":
                return KfuncArgKind.ListHead;
            case "bpf_list_node":
                return KfuncArgKind.ListNode;
            case "bpf_rb_root":
                return KfuncArgKind.RbRoot;
            case "bpf_rb_node":
                return KfuncArgKind.RbNode;
            case "bpf_wq":
                return KfuncArgKind.Workqueue;
            case "bpf_task_work":
                return KfuncArgKind.TaskWork;
            case "bpf_res_spin_lock":
                return KfuncArgKind.ResSpinLock;
        }

        if (IsIteratorArg(meta, i, target)) return KfuncArgKind.Iterator;
        if (HasSuffix(name, "__str")) return KfuncArgKind.ConstStr;
        if (HasSuffix(name, "__map")) return KfuncArgKind.Map;
        if (HasSuffix(name, "__irq_flag")) return KfuncArgKind.IrqFlag;
        RegType kind = reg.Type.Base();
        if (kind is RegType.PtrToBtfId or RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.ConstPtrToMap)
        {
            if (!target.IsComposite)
            {
                Reject(Errno.EINVAL,
                    $"kernel function {meta.Name} args#{i} pointer type {KindName(target)} {target.Name} is not supported");
            }

            return KfuncArgKind.BtfPointer;
        }

        if (target.Kind == BtfKind.FuncProto) return KfuncArgKind.Callback;
        bool scalar = target.Kind == BtfKind.Int || target.IsAnyEnum || IsScalarStruct(target, 0);
        if (!scalar && !(sized && target.IsVoid))
        {
            Reject(Errno.EINVAL, $"arg#{i} pointer type {KindName(target)} {target.Name} must point to "
                + $"{(sized ? "void, " : "")}scalar, or struct with scalar");
        }

        return sized ? KfuncArgKind.MemoryWithSize : KfuncArgKind.Memory;
    }

    private static bool IsIteratorArg(KfuncMeta meta, int i, BtfType target) =>
        (i == 0 && (meta.Flags & (KfuncFlags.IterNew | KfuncFlags.IterNext | KfuncFlags.IterDestroy)) != 0)
        || (HasSuffix(meta.Params[i].Name, "__iter") && target.Kind == BtfKind.Struct);

    private bool CheckKfuncPointerByKind(KfuncMeta meta, int insnIdx, int i, BtfType target, KfuncArgKind kind)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        switch (kind)
        {
            case KfuncArgKind.Ctx:
                if (reg.Type != RegType.PtrToCtx) Reject(Errno.EINVAL, $"arg#{i} expected pointer to ctx, but got {RegTypeName(reg.Type)}");
                if (meta.Name == "bpf_cast_to_kern_ctx") meta.RetBtfId = KernelContextType();
                break;
            case KfuncArgKind.AllocatedObject:
                CheckAllocatedArg(meta, i);
                break;
            case KfuncArgKind.Dynptr:
                CheckKfuncDynptr(meta, insnIdx, regno, meta.Params[i].Name);
                break;
            case KfuncArgKind.Iterator:
                if (meta.Name == "bpf_iter_css_task_new" && !MayIterateCssTasks())
                    Reject(Errno.EINVAL, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs");
                ProcessIteratorArg(meta, insnIdx, regno, target);
                break;
            case KfuncArgKind.ListHead or KfuncArgKind.RbRoot:
                CheckGraphRoot(meta, i, kind == KfuncArgKind.ListHead);
                break;
            case KfuncArgKind.ListNode or KfuncArgKind.RbNode:
                CheckGraphNode(meta, i, kind == KfuncArgKind.ListNode);
                break;
            case KfuncArgKind.Map:
                CheckBtfArg(meta, i, KernelBtf.Find("bpf_map", BtfKind.Struct) ?? target);
                break;
            case KfuncArgKind.BtfPointer:
                CheckBtfArg(meta, i, target);
                break;
            case KfuncArgKind.Memory:
                long size = KernelBtf.SizeOf(target.Id);
                if (size < 0)
                    Reject(Errno.EINVAL, $"arg#{i} reference type('{KindName(target)} {target.Name}') size cannot be determined: -22");
                CheckMemReg(regno, (uint)size);
                break;
            case KfuncArgKind.MemoryWithSize:
                CheckKfuncMemory(meta, i);
                return true;
            case KfuncArgKind.Callback:
                if (reg.Type != RegType.PtrToFunc) Reject(Errno.EINVAL, $"arg{i} expected pointer to func");
                meta.SubprogNo = reg.SubprogNo;
                break;
            case KfuncArgKind.RefcountedKptr:
                CheckRefcounted(meta, i);
                break;
            case KfuncArgKind.ConstStr:
                if (reg.Type != RegType.PtrToMapValue) Reject(Errno.EINVAL, $"arg#{i} doesn't point to a const string");
                CheckConstString(regno);
                break;
            case KfuncArgKind.Workqueue or KfuncArgKind.TaskWork:
                if (reg.Type != RegType.PtrToMapValue) Reject(Errno.EINVAL, $"arg#{i} doesn't point to a map value");
                if (kind == KfuncArgKind.Workqueue) CheckMapFieldPointer(regno, SpecialFieldKind.Workqueue, "bpf_wq");
                else CheckMapFieldPointer(regno, SpecialFieldKind.TaskWork, "bpf_task_work");
                meta.MapIndex = reg.MapIndex;
                meta.MapUid = reg.MapUid;
                break;
            case KfuncArgKind.IrqFlag:
                if (reg.Type != RegType.PtrToStack) Reject(Errno.EINVAL, $"arg#{i} doesn't point to an irq flag on stack");
                ProcessIrqFlag(meta, regno, insnIdx);
                break;
            case KfuncArgKind.ResSpinLock:
                if (reg.Type is not (RegType.PtrToMapValue or (RegType.PtrToBtfId | RegType.MemAlloc)))
                    Reject(Errno.EINVAL, $"arg#{i} doesn't point to map value or allocated object");
                ProcessSpinLock(regno, meta.Name is "bpf_res_spin_lock" or "bpf_res_spin_lock_irqsave",
                    HasSuffix(meta.Name, "_irqsave") || HasSuffix(meta.Name, "_irqrestore") ? LockFlavour.ResilientIrq : LockFlavour.Resilient);
                break;
        }

        return false;
    }

    private bool MayIterateCssTasks() => Input.Attributes.Type == ProgramType.Lsm
        || (Input.Attributes is { Type: ProgramType.Tracing, ExpectedAttachType: 28 }) || InSleepable;

    private void CheckAllocatedArg(KfuncMeta meta, int i)
    {
        ref RegisterState reg = ref Regs[i + 1];
        if (reg.Type == (RegType.PtrToBtfId | RegType.MemAlloc))
        {
            if (meta.Name != "bpf_obj_drop_impl") Reject(Errno.EINVAL, $"arg#{i} expected for bpf_obj_drop_impl()");
        }
        else if (reg.Type == (RegType.PtrToBtfId | RegType.MemAlloc | RegType.MemPercpu))
        {
            if (meta.Name != "bpf_percpu_obj_drop_impl") Reject(Errno.EINVAL, $"arg#{i} expected for bpf_percpu_obj_drop_impl()");
        }
        else
        {
            Reject(Errno.EINVAL, $"arg#{i} expected pointer to allocated object");
        }

        if (reg.RefObjId == 0) Reject(Errno.EINVAL, "allocated object must be referenced");
        meta.ArgBtf = reg.Btf;
        meta.ArgBtfId = reg.BtfId;
    }

    private void CheckKfuncDynptr(KfuncMeta meta, int insnIdx, int regno, string name)
    {
        ref RegisterState reg = ref Regs[regno];
        RegType flags = reg.Type == RegType.ConstPtrToDynptr ? RegType.MemRdonly : 0;
        uint clone = 0;
        bool uninit = HasSuffix(name, "__uninit");
        if (uninit) flags |= RegType.MemUninit;
        switch (meta.Name)
        {
            case "bpf_dynptr_from_skb":
                flags |= RegType.DynptrTypeSkb;
                break;
            case "bpf_dynptr_from_xdp":
                flags |= RegType.DynptrTypeXdp;
                break;
            case "bpf_dynptr_from_skb_meta":
                flags |= RegType.DynptrTypeSkbMeta;
                break;
            case "bpf_dynptr_clone" when uninit:
                flags |= FlagsOfDynptrKind(meta.InitializedDynptr);
                clone = meta.DynptrRefObjId;
                break;
        }

        ProcessDynptrArg(regno, insnIdx, flags, clone);
        if (uninit) return;
        ref RegisterState dynptr = ref DynptrState(regno);
        meta.DynptrId = dynptr.Id;
        meta.InitializedDynptr = dynptr.Dynptr;
        meta.DynptrRefObjId = dynptr.RefObjId;
    }

    private void CheckBtfArg(KfuncMeta meta, int i, BtfType target)
    {
        ref RegisterState reg = ref Regs[i + 1];
        uint id = reg.Type.Base() switch
        {
            RegType.PtrToBtfId => reg.BtfId,
            RegType.PtrToSocket => KernelTypeId("sock"),
            RegType.PtrToSockCommon => KernelTypeId("sock_common"),
            RegType.PtrToTcpSock => KernelTypeId("tcp_sock"),
            RegType.ConstPtrToMap => KernelTypeId("bpf_map"),
            _ => 0,
        };
        bool unsafeFlags = (reg.Type.Flags() & ~TrustedModifiers) != 0;
        if (id == 0 || (reg.Type.Base() == RegType.PtrToBtfId && unsafeFlags && !reg.Type.HasAny(RegType.MemRcu)))
        {
            Reject(Errno.EINVAL, $"arg#{i} is {RegTypeName(reg.Type)} expected "
                + $"{RegTypeName(reg.Type.Base() | (reg.Type.Flags() & TrustedModifiers))} or socket");
        }

        BtfSource source = reg.Type.Base() == RegType.PtrToBtfId ? reg.Btf : BtfSource.Kernel;
        string name = BtfTypeName(source, id);
        bool strict = (meta.Has(KfuncFlags.Release) && reg.RefObjId != 0) || IsNoCastAlias(name, target.Name);
        bool same = BtfTypesMatch(source, id, reg.Off, BtfSource.Kernel, target.Id, strict);
        bool projection = target.Name == "__" + name || (target.Name, name) is ("xdp_md", "xdp_buff") or ("__sk_buff", "sk_buff");
        if (same || projection) return;
        Reject(Errno.EINVAL, $"kernel function {meta.Name} args#{i} expected pointer to {KindName(target)} {target.Name} but "
            + $"R{i + 1} has a pointer to {KindName(BtfOf(source)[id])} {name}");
    }

    private static bool IsNoCastAlias(string a, string b) => a == b + "___init" || b == a + "___init";

    private void CheckKfuncMemory(KfuncMeta meta, int i)
    {
        int regno = i + 1;
        ref RegisterState buffer = ref Regs[regno];
        if (!buffer.IsNull || !IsNullable(meta.Params[i].Name)) CheckSizedMemory(i);
        if (!HasSuffix(meta.Params[i + 1].Name, "__szk")) return;
        ref RegisterState size = ref Regs[regno + 1];
        if (!size.IsConst) Reject(Errno.EINVAL, $"R{regno + 1} must be a known constant");
        meta.HasConstant = true;
        meta.Constant = size.VarOff.Value;
    }

    private void CheckSizedMemory(int i)
    {
        int regno = i + 1;
        RegisterState saved = Regs[regno];
        bool nullable = saved.Type.MayBeNull();
        if (nullable) MarkNotNull(ref Regs[regno]);
        var raw = default(RawMemory);
        try
        {
            CheckMemSizeReg(regno, regno + 1, AccessType.Read, true, ref raw);
            CheckMemSizeReg(regno, regno + 1, AccessType.Write, true, ref raw);
        }
        catch (VerifierReject)
        {
            Verbose($"arg#{i} arg#{i + 1} memory, len pair leads to invalid memory access\n");
            throw;
        }
        finally
        {
            if (nullable) Regs[regno] = saved;
        }
    }

    private void CheckRefcounted(KfuncMeta meta, int i)
    {
        ref RegisterState reg = ref Regs[i + 1];
        if (reg.Type.Base() != RegType.PtrToBtfId || !reg.Type.HasAny(RegType.MemAlloc))
            Reject(Errno.EINVAL, $"arg#{i} is neither owning or non-owning ref");
        if (!reg.Type.HasAny(RegType.NonOwnRef)) meta.ArgOwningRef = true;
        if (!HasField(RecordOf(reg), SpecialFieldKind.Refcount))
            Reject(Errno.EINVAL, $"arg#{i} doesn't point to a type with bpf_refcount field");
        meta.ArgBtf = reg.Btf;
        meta.ArgBtfId = reg.BtfId;
    }
}
