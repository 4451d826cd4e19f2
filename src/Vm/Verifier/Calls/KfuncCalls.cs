using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Calls of kernel functions by BTF: whether the program may make them, their effect on state, and r0 afterwards.
internal sealed partial class ProgramVerifier
{
    /// <summary>Most different kfuncs that a program can call (MAX_KFUNC_DESCS).</summary>
    private const int MaxKfuncs = 256;

    private readonly Dictionary<uint, (string Name, KfuncFlags? Flags)> _kfuncs = [];

    private (string Name, KfuncFlags? Flags) KfuncOf(in Insn insn)
    {
        uint id = (uint)insn.Imm;
        if (_kfuncs.TryGetValue(id, out var known)) return known;
        string name = KernelBtf.Find(id) is { Kind: BtfKind.Func } func ? func.Name : "";
        known = (name, name.Length == 0 ? null : Input.ProgramType.FindKfunc(Input.Attributes, name));
        return _kfuncs[id] = known;
    }

    /// <summary>Rejects calls of functions that are none, or not known to BTF, before anything is walked.</summary>
    private void CheckKfuncReference(in Insn insn)
    {
        if (!Input.Attributes.GplCompatible) Reject(Errno.EINVAL, "cannot call kernel function from non-GPL compatible program");
        // An unresolved weak function is an error only where it can be reached.
        if (insn.Imm == 0 && insn.Off == 0) return;
        if (insn.Off != 0)
        {
            // Functions of modules are named through descriptors of the modules' BTF, and there are no modules.
            bool negative = insn.Off < 0;
            Verbose(negative ? "negative offset disallowed for kernel module function call\n"
                : "kfunc offset > 0 without fd_array is invalid\n");
            Reject(negative ? Errno.EINVAL : Errno.EPROTO, "failed to find BTF for kernel function");
        }

        _ = KfuncOf(insn);
        if (_kfuncs.Count > MaxKfuncs) Reject(Errno.E2BIG, "too many different kernel function calls");
        if (KernelBtf.Find((uint)insn.Imm) is not { Kind: BtfKind.Func } func)
        {
            Reject(Errno.EINVAL, $"kernel btf_id {insn.Imm} is not a function");
            return;
        }

        if (func.Name.StartsWith("bpf_xdp_metadata_rx_", StringComparison.Ordinal))
            Reject(Errno.EINVAL, "metadata kfuncs require device-bound program");
    }

    /// <summary>Checks a kfunc call and sets r0; r1 to r5 are lost.</summary>
    private void CheckKfuncCall(in Insn insn, int insnIdx)
    {
        if (insn.Imm == 0) return;
        (string name, KfuncFlags? flags) = KfuncOf(insn);
        if (flags is not { } known)
        {
            Reject(Errno.EACCES, $"calling kernel function {name} is not allowed");
            return;
        }

        BtfType proto = KernelBtf[(uint)insn.Imm].Target;
        var meta = new KfuncMeta { Name = name, FuncId = (uint)insn.Imm, Flags = known, Proto = proto, Params = [.. proto.Params] };
        Aux[insnIdx].IsIterNext = meta.Has(KfuncFlags.IterNext);
        if (name is "bpf_res_spin_lock" or "bpf_res_spin_lock_irqsave") BranchOnFailedLock(insnIdx);
        if (name == "__bpf_trap") Reject(Errno.EFAULT, "unexpected __bpf_trap() due to uninitialized variable?");
        bool sleepable = meta.Has(KfuncFlags.Sleepable);
        if (sleepable && !InSleepable) Reject(Errno.EACCES, $"program must be sleepable to call sleepable kfunc {name}");
        CheckKfuncArgs(meta, insnIdx);
        CallKfuncCallback(meta, insnIdx);
        TrackSections(meta, sleepable);
        ReleaseKfuncArgument(meta, insnIdx);
        ApplyThrow(meta);
        ClearCallerSavedRegs();
        SetKfuncResult(meta, insnIdx);
        if (name == "bpf_xdp_pull_data") ClearAllPacketPointers();
        if (meta.Has(KfuncFlags.IterNext)) StepIterator(meta, insnIdx);
    }

    private void BranchOnFailedLock(int insnIdx)
    {
        VerifierState failed = PushState(insnIdx + 1, insnIdx, false, Errno.ENOMEM);
        FuncFrame frame = failed.Current;
        ClearRegsOf(frame);
        ref RegisterState r0 = ref frame.Regs[0];
        r0.MarkUnknown(!BpfCapable);
        r0.Bounds.S32Min = (int)-MaxErrno;
        r0.Bounds.S32Max = -1;
        r0.Bounds.SMin = Math.Max(r0.Bounds.SMin, -MaxErrno);
        r0.Bounds.SMax = Math.Min(r0.Bounds.SMax, -1);
        r0.Bounds.Sync();
    }

    private void CallKfuncCallback(KfuncMeta meta, int insnIdx)
    {
        switch (meta.Name)
        {
            case "bpf_rbtree_add_impl":
                CallCallback(insnIdx, meta.SubprogNo, (_, callee) => SetupRbtreeLess(callee, meta.GraphRoot!.Value), false, false);
                break;
            case "bpf_wq_set_callback_impl":
                CallCallback(insnIdx, meta.SubprogNo, SetupTimer, true, true);
                break;
            case "bpf_task_work_schedule_signal_impl" or "bpf_task_work_schedule_resume_impl":
                CallCallback(insnIdx, meta.SubprogNo, (caller, callee) => SetupTaskWork(caller, callee), true, true);
                break;
        }
    }

    private void SetupRbtreeLess(FuncFrame callee, SpecialField root)
    {
        for (int i = 1; i <= 2; i++)
        {
            MarkGraphNode(ref callee.Regs[i], root);
            SetNonOwning(ref callee.Regs[i]);
        }

        EndSetup(callee, 0, 1);
    }

    private static void SetupTaskWork(FuncFrame caller, FuncFrame callee)
    {
        SetMapArguments(callee, in caller.Regs[3]);
        callee.InAsyncCallback = true;
        callee.CallbackReturnRange = (int.MinValue, int.MaxValue);
    }

    /// <summary>RCU, preemption and interrupts: nesting, and what may not happen inside.</summary>
    private void TrackSections(KfuncMeta meta, bool sleepable)
    {
        string name = meta.Name;
        if (name == "bpf_rcu_read_lock")
        {
            if (State.ActiveRcuLocks != 0) Reject(Errno.EINVAL, $"nested rcu read lock (kernel function {name})");
            State.ActiveRcuLocks++;
        }
        else if (name == "bpf_rcu_read_unlock")
        {
            if (State.ActiveRcuLocks == 0) Reject(Errno.EINVAL, $"unmatched rcu read unlock (kernel function {name})");
            if (--State.ActiveRcuLocks == 0) UntrustRcuPointers();
        }
        else if (State.ActiveRcuLocks != 0 && sleepable)
        {
            Reject(Errno.EACCES, $"kernel func {name} is sleepable within rcu_read_lock region");
        }

        if (name == "bpf_preempt_disable")
        {
            State.ActivePreemptLocks++;
        }
        else if (name == "bpf_preempt_enable")
        {
            if (State.ActivePreemptLocks == 0) Reject(Errno.EINVAL, $"unmatched attempt to enable preemption (kernel function {name})");
            State.ActivePreemptLocks--;
        }
        else if (State.ActivePreemptLocks != 0 && sleepable)
        {
            Reject(Errno.EACCES, $"kernel func {name} is sleepable within non-preemptible region");
        }

        if (State.ActiveIrqId != 0 && sleepable) Reject(Errno.EACCES, $"kernel func {name} is sleepable within IRQ-disabled region");
        if (meta.Has(KfuncFlags.RcuProtected) && !InRcuSection)
            Reject(Errno.EACCES, $"kernel func {name} requires RCU critical section protection");
    }

    private void UntrustRcuPointers()
    {
        ForEachReg(UntrustRcuPointer);
        for (int f = 0; f <= State.CurFrame; f++)
        {
            FuncFrame frame = State.Frames[f]!;
            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].Types[0] == SlotType.Iter) UntrustRcuPointer(ref frame.Stack[i].Spilled);
            }
        }
    }

    private static void UntrustRcuPointer(ref RegisterState reg)
    {
        if (!reg.Type.HasAny(RegType.MemRcu)) return;
        reg.Type = (reg.Type & ~(RegType.MemRcu | RegType.PtrMaybeNull)) | RegType.PtrUntrusted;
    }

    private void ReleaseKfuncArgument(KfuncMeta meta, int insnIdx)
    {
        if (meta.ReleaseRegno != 0 && !TryReleaseReference(Regs[meta.ReleaseRegno].RefObjId))
            Reject(Errno.EINVAL, $"kfunc {meta.Name}#{meta.FuncId} reference has not been acquired before");
        if (meta.Name is not ("bpf_list_push_front_impl" or "bpf_list_push_back_impl" or "bpf_rbtree_add_impl")) return;
        Aux[insnIdx].KfuncArg = Regs[2].Off;
        uint id = Regs[2].RefObjId;
        // The list or tree owns the object now; the program may still look at it while it holds the lock.
        ForEachReg((ref RegisterState reg) =>
        {
            if (reg.RefObjId != id) return;
            reg.RefObjId = 0;
            SetNonOwning(ref reg);
        });
        if (!TryReleaseReference(id)) Reject(Errno.EINVAL, $"kfunc {meta.Name}#{meta.FuncId} reference has not been acquired before");
    }

    private void SetNonOwning(ref RegisterState reg)
    {
        reg.Type |= RegType.NonOwnRef;
        if (HasField(RecordOf(reg), SpecialFieldKind.Refcount)) reg.Type |= RegType.MemRcu;
    }

    private void ApplyThrow(KfuncMeta meta)
    {
        if (meta.Name != "bpf_throw") return;
        SeenException = true;
        if (ExceptionCallbackSubprog == 0) CheckReturnCode(1, "R1");
    }

    private void SetKfuncResult(KfuncMeta meta, int insnIdx)
    {
        ref RegisterState r0 = ref Regs[0];
        BtfType type = KernelBtf.Resolve(meta.Proto.TypeId);
        if (type.Kind == BtfKind.Int || type.IsAnyEnum)
        {
            MarkRegUnknown(0);
            if (meta.Name is "bpf_res_spin_lock" or "bpf_res_spin_lock_irqsave") r0.MarkZeroScalar();
            return;
        }

        if (type.Kind != BtfKind.Ptr) return;
        BtfType pointee = KernelBtf.Resolve(type.TypeId);
        SetPointerResult(meta, pointee, insnIdx);
        if (MayReturnNull(meta))
        {
            r0.Type |= RegType.PtrMaybeNull;
            r0.Id = NewId();
        }

        if (meta.Has(KfuncFlags.Acquire))
        {
            uint id = AcquireReference(insnIdx);
            if (MayReturnNull(meta)) r0.Id = id;
            r0.RefObjId = id;
        }
        else if (pointee.Name is "bpf_rb_node" or "bpf_list_node")
        {
            SetNonOwning(ref r0);
        }

        if (r0.Id == 0 && MayPointToSpinLock(r0)) r0.Id = NewId();
    }

    /// <summary>Another reference to an object of one's own cannot fail; to one that a list or tree owns, it can.</summary>
    private static bool MayReturnNull(KfuncMeta meta) =>
        meta.Has(KfuncFlags.RetNull) && !(meta.Name == "bpf_refcount_acquire_impl" && meta.ArgOwningRef);

    private void SetPointerResult(KfuncMeta meta, BtfType pointee, int insnIdx)
    {
        ref RegisterState r0 = ref Regs[0];
        if (SetSpecialResult(meta, pointee, insnIdx)) return;
        if (pointee.IsVoid)
        {
            MarkRegUnknown(0);
            return;
        }

        if (!pointee.IsComposite)
        {
            uint size = meta.R0Size;
            bool readOnly = meta.R0ReadOnly;
            if (size == 0)
            {
                size = (uint)Math.Max(0, KernelBtf.SizeOf(pointee.Id));
                readOnly = true;
            }

            if (size == 0)
                Reject(Errno.EINVAL, $"kernel function {meta.Name} returns pointer type {KindName(pointee)} {pointee.Name} is not supported");
            r0.MarkPointer(RegType.PtrToMem | (readOnly && meta.Name != "bpf_session_cookie" ? RegType.MemRdonly : 0));
            r0.MemSize = size;
            if (meta.RefObjId != 0) r0.RefObjId = meta.RefObjId;
            if (meta.Has(KfuncFlags.RcuProtected)) r0.Type |= RegType.MemRcu;
            return;
        }

        RegType flags = meta.Name == "bpf_get_kmem_cache" ? RegType.PtrUntrusted
            : meta.Has(KfuncFlags.RcuProtected) ? RegType.MemRcu
            : meta.Has(KfuncFlags.IterNext)
                ? IteratorSlot(State, meta).Type.HasAny(RegType.MemRcu) ? RegType.MemRcu : RegType.PtrTrusted
            : 0;
        r0.MarkPointer(RegType.PtrToBtfId | flags);
        r0.Btf = BtfSource.Kernel;
        r0.BtfId = pointee.Id;
    }

    /// <summary>Results whose type the arguments decide; false if the prototype decides it.</summary>
    private bool SetSpecialResult(KfuncMeta meta, BtfType pointee, int insnIdx)
    {
        ref RegisterState r0 = ref Regs[0];
        switch (meta.Name)
        {
            case "bpf_obj_new_impl" or "bpf_percpu_obj_new_impl":
                SetNewObject(meta, ref r0, ref Aux[insnIdx]);
                return true;
            case "bpf_refcount_acquire_impl":
                r0.MarkPointer(RegType.PtrToBtfId | RegType.MemAlloc);
                r0.Btf = meta.ArgBtf;
                r0.BtfId = meta.ArgBtfId;
                return true;
            case "bpf_cast_to_kern_ctx":
                r0.MarkPointer(RegType.PtrToBtfId | RegType.PtrTrusted);
                r0.Btf = BtfSource.Kernel;
                r0.BtfId = meta.RetBtfId;
                return true;
            case "bpf_rdonly_cast":
                SetCast(meta, ref r0);
                return true;
            case "bpf_dynptr_slice" or "bpf_dynptr_slice_rdwr":
                SetSlice(meta, ref r0);
                return true;
            default:
                if (pointee.Name is not ("bpf_list_node" or "bpf_rb_node") || meta.GraphRoot is not { } root) return false;
                MarkGraphNode(ref r0, root);
                return true;
        }
    }

    private const int MaxPercpuObject = 512;

    private void SetNewObject(KfuncMeta meta, ref RegisterState r0, ref InsnAux aux)
    {
        bool percpu = meta.Name == "bpf_percpu_obj_new_impl";
        if (meta.Constant != (uint)meta.Constant) Reject(Errno.EINVAL, "local type ID argument must be in range [0, U32_MAX]");
        if (Input.Btf is null) Reject(Errno.EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
        if (Input.Btf.Find((uint)meta.Constant) is not { Kind: BtfKind.Struct } type)
        {
            Reject(Errno.EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
            return;
        }

        if (percpu)
        {
            if (type.Size > MaxPercpuObject)
                Reject(Errno.EINVAL, $"bpf_percpu_obj_new type size ({type.Size}) is greater than {MaxPercpuObject}");
            if (!IsScalarStruct(type, 0)) Reject(Errno.EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
            if (RecordOf(BtfSource.Program, type.Id).Count > 0)
                Reject(Errno.EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields");
        }

        aux.KfuncArg = (int)type.Size;
        r0.MarkPointer(RegType.PtrToBtfId | RegType.MemAlloc | (percpu ? RegType.MemPercpu : 0));
        r0.Btf = BtfSource.Program;
        r0.BtfId = type.Id;
    }

    private void SetCast(KfuncMeta meta, ref RegisterState r0)
    {
        if (KernelBtf.Find((uint)meta.Constant) is not { } type)
        {
            Reject(Errno.EINVAL, $"Unknown type ID {meta.Constant} passed to kfunc bpf_rdonly_cast");
            return;
        }

        if (type.IsComposite)
        {
            r0.MarkPointer(RegType.PtrToBtfId | RegType.PtrUntrusted);
            r0.Btf = BtfSource.Kernel;
            r0.BtfId = type.Id;
        }
        else if (type.IsVoid)
        {
            r0.MarkPointer(RegType.PtrToMem | RegType.MemRdonly | RegType.PtrUntrusted);
        }
        else
        {
            Reject(Errno.EINVAL, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void");
        }
    }

    private void SetSlice(KfuncMeta meta, ref RegisterState r0)
    {
        r0.MarkPointer(RegType.PtrToMem | FlagsOfDynptrKind(meta.InitializedDynptr));
        r0.MemSize = (uint)meta.Constant;
        if (meta.Name == "bpf_dynptr_slice") r0.Type |= RegType.MemRdonly;
        else if (!MayWritePacket()) Reject(Errno.EINVAL, "the prog does not allow writes to packet data");
        r0.DynptrId = meta.DynptrId;
    }

    private void MarkGraphNode(ref RegisterState reg, SpecialField root)
    {
        reg.MarkPointer(RegType.PtrToBtfId | RegType.MemAlloc);
        reg.Btf = BtfSource.Program;
        reg.BtfId = root.BtfTypeId;
        reg.Off = NodeOffset(root);
    }

    /// <summary>Offset of the node in the objects that a list or tree holds.</summary>
    private int NodeOffset(SpecialField root)
    {
        string contained = root.ContainedName ?? "";
        int colon = contained.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || Input.Btf?.Find(root.BtfTypeId) is not { } type || !type.IsComposite) return 0;
        return type.FindMember(contained[(colon + 1)..]) is { } member ? (int)member.ByteOffset : 0;
    }

    private const int MaxNesting = 3;

    /// <summary>Whether a struct or union holds numbers only, through nested structs and arrays.</summary>
    private bool IsScalarStruct(BtfType type, int depth)
    {
        if (!type.IsComposite) return false;
        foreach (BtfMember member in type.Members)
        {
            BtfType field = type.Btf.Resolve(member.TypeId);
            if (field.IsComposite)
            {
                if (depth >= MaxNesting)
                {
                    Verbose("max struct nesting depth exceeded\n");
                    return false;
                }

                if (!IsScalarStruct(field, depth + 1)) return false;
                continue;
            }

            if (field.Kind == BtfKind.Array)
            {
                if (field.ArrayCount == 0) return false;
                field = type.Btf.Resolve(field.ArrayElementTypeId);
            }

            if (field.Kind != BtfKind.Int && !field.IsAnyEnum) return false;
        }

        return true;
    }
}
