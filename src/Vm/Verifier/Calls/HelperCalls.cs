using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Helper calls: whether the program may make them, their effect on state, and what r0 holds afterwards.
internal sealed partial class ProgramVerifier
{
    private const long MaxErrno = 4095;

    /// <summary>Highest CPU number + 1 that bpf_get_smp_processor_id may return.</summary>
    private const uint CpuNumberLimit = 8192;

    /// <summary>BPF_F_RDONLY_PROG.</summary>
    private const uint MapRdonlyProg = 1u << 7;

    /// <summary>BPF_F_WRONLY_PROG.</summary>
    private const uint MapWronlyProg = 1u << 8;

    private HelperPrototype? FindHelper(int id) =>
        Input.Helpers.Find(id) is { } general ? Input.ProgramType.HelperVariant(Input.Attributes, general) : null;

    private static string HelperName(HelperPrototype helper) => $"{helper.Name}#{helper.Id}";

    /// <summary>Whether the code may sleep here.</summary>
    private bool InSleepable => State.InSleepable;

    private string? NonSleepableRegion =>
        State.ActiveRcuLocks != 0 ? "rcu_read_lock region"
        : State.ActivePreemptLocks != 0 ? "non-preemptible region"
        : State.ActiveIrqId != 0 ? "IRQ-disabled region" : null;

    /// <summary>Checks a helper call and sets r0; r1 to r5 are lost. Returns the next instruction.</summary>
    private int CheckHelperCall(in Insn insn, int insnIdx)
    {
        HelperPrototype helper = CheckHelperAllowed(insn.Imm);
        var meta = new CallMeta { Helper = helper };
        for (int arg = 0; arg < helper.Args.Length; arg++) CheckHelperArg(arg, meta, insnIdx);
        RecordCallMap(meta, insnIdx);
        if (meta.Raw.Regno != 0)
        {
            // The helper fills this memory: the stack behind it holds data from now on.
            for (int i = 0; i < meta.Raw.Size; i++) CheckMemAccess(insnIdx, meta.Raw.Regno, i, 1, AccessType.Write, -1, false, false);
        }

        if (meta.ReleaseRegno != 0) ReleaseHelperArgument(meta);
        bool changesData = helper.ChangesPacketData;
        bool percpuAllocation = ApplyHelperSpecifics(meta, insnIdx, ref changesData);
        ClearCallerSavedRegs();
        SetHelperResult(meta, insnIdx, percpuAllocation);
        RefineHelperResult(meta);
        CheckMapHelperCompatible(meta);
        if (helper.Id == HelperId.GetFuncIp) CheckGetFuncIp(helper);
        if (helper.Id == HelperId.TailCall) return FollowTailCall();
        if (changesData) ClearAllPacketPointers();
        return insnIdx + 1;
    }

    /// <summary>
    /// A tail call that works out ends the function with whatever the other program returns, and with packets
    /// that it may have changed; the path on which it fails goes on behind it and changed nothing.
    /// </summary>
    private int FollowTailCall()
    {
        if (State.CurFrame == 0) return InsnIdx + 1;
        PushState(InsnIdx + 1, InsnIdx, false);
        ClearAllPacketPointers();
        MarkRegUnknown(0);
        return LeaveEarly();
    }

    /// <summary>Leaves a function in the middle, with the result in r0; returns the next instruction.</summary>
    private int LeaveEarly()
    {
        _scratchedRegs |= 1;
        _stackLiveness.EndInsn(State, InsnIdx);
        _stackLiveness.Update(State);
        int next = PrepareFuncExit(InsnIdx);
        _stackLiveness.ResetChain();
        return next;
    }

    private HelperPrototype CheckHelperAllowed(int id)
    {
        if (id < 0 || FindHelper(id) is not { } helper)
        {
            // Number 0 is a helper by name only.
            if (id == 0) Reject(Errno.EINVAL, "program of this type cannot use helper bpf_unspec#0");
            Reject(Errno.EINVAL, $"invalid func unknown#{id}");
            return null!;
        }

        ProgramAttributes program = Input.Attributes;
        if (!Input.ProgramType.AllowsHelper(program, id)) Reject(Errno.EINVAL, $"program of this type cannot use helper {HelperName(helper)}");
        if (!program.GplCompatible && helper.GplOnly)
            Reject(Errno.EINVAL, "cannot call GPL-restricted function from non-GPL compatible program");
        if (!Input.ProgramType.AllowsHelperAtTarget(program, id)) Reject(Errno.EINVAL, "helper call is not allowed in probe");
        if (!InSleepable && helper.MightSleep) Reject(Errno.EINVAL, "helper call might sleep in a non-sleepable prog");
        if (helper.MightSleep && NonSleepableRegion is { } region) Reject(Errno.EINVAL, $"sleepable helper {HelperName(helper)} in {region}");
        return helper;
    }

    /// <summary>The address of the traced function is known where a trampoline or a kprobe calls the program.</summary>
    private void CheckGetFuncIp(HelperPrototype helper)
    {
        ProgramAttributes program = Input.Attributes;
        if (program.Type == ProgramType.Kprobe) return;
        if (program.Type != ProgramType.Tracing)
            Reject(Errno.ENOTSUPP, $"func {HelperName(helper)} not supported for program type {(int)program.Type}");
        if (program.ExpectedAttachType is not (TraceFentry or TraceFexit or ModifyReturn))
            Reject(Errno.ENOTSUPP, $"func {HelperName(helper)} supported only for fentry/fexit/fmod_ret programs");
    }

    private void ReleaseHelperArgument(CallMeta meta)
    {
        HelperPrototype helper = meta.Helper;
        ref RegisterState reg = ref Regs[meta.ReleaseRegno];
        bool released = true;
        if ((helper.Args[meta.ReleaseRegno - 1] & ArgType.BaseMask) == ArgType.PtrToDynptr) UnmarkDynptrSlots(ref reg);
        else if (helper.Id == HelperId.KptrXchg && meta.RefObjId != 0) ReleaseIntoKptr(meta.RefObjId);
        else if (meta.RefObjId != 0) released = TryReleaseReference(meta.RefObjId);
        else released = reg.IsNull;
        if (!released) Reject(Errno.EINVAL, $"func {HelperName(helper)} reference has not been acquired before");
    }

    /// <summary>What single helpers do beyond their prototype; returns whether r0 is this CPU's copy of an allocated object.</summary>
    private bool ApplyHelperSpecifics(CallMeta meta, int insnIdx, ref bool changesData)
    {
        switch (meta.Helper.Id)
        {
            case HelperId.TailCall:
                CheckResourceLeak(false, true, "tail_call");
                break;
            case HelperId.GetLocalStorage when !Regs[2].IsNull:
                Reject(Errno.EINVAL, "get_local_storage() doesn't support non-zero flags");
                break;
            case HelperId.ForEachMapElem or HelperId.TimerSetCallback or HelperId.FindVma or HelperId.UserRingbufDrain:
                CallCallback(insnIdx, meta.SubprogNo, meta.Helper.Id);
                break;
            case HelperId.Snprintf:
                CheckSnprintf();
                break;
            case HelperId.Loop:
                CheckLoop(meta, insnIdx);
                break;
            case HelperId.DynptrFromMem when Regs[1].Type != RegType.PtrToMapValue:
                Reject(Errno.EACCES, $"Unsupported reg type {RegTypeName(Regs[1].Type)} for bpf_dynptr_from_mem data");
                break;
            case HelperId.DynptrData:
                (meta.DynptrId, meta.RefObjId) = DynptrIds(DynptrArgument(meta.Helper));
                break;
            case HelperId.DynptrWrite when DynptrKindOf(DynptrArgument(meta.Helper)) is DynptrKind.Skb or DynptrKind.SkbMeta:
                changesData = true;
                break;
            case HelperId.PerCpuPtr or HelperId.ThisCpuPtr:
                Aux[insnIdx].PercpuObject = Regs[1].Type.Has(RegType.MemRcu);
                return Aux[insnIdx].PercpuObject;
        }

        return false;
    }

    private void CheckLoop(CallMeta meta, int insnIdx)
    {
        ref InsnAux aux = ref Aux[insnIdx];
        // Once the call cannot be inlined, its flags no longer matter.
        bool simple = aux.LoopCallback != -1 && Regs[4].IsNull;
        int callback = simple ? meta.SubprogNo + 1 : -1;
        aux.LoopCallback = aux.LoopCallback == 0 || aux.LoopCallback == callback ? callback : -1;
        if (simple) MarkChainPrecision(4);
        MarkChainPrecision(1);
        FuncFrame frame = State.Current;
        if (frame.CallbackDepth < Regs[1].UMax)
        {
            CallCallback(insnIdx, meta.SubprogNo, meta.Helper.Id);
        }
        else
        {
            frame.CallbackDepth = 0;
            if (Log.Detailed) Verbose($"frame{frame.FrameNo} bpf_loop iteration limit reached\n");
        }
    }

    private void SetHelperResult(CallMeta meta, int insnIdx, bool percpuAllocation)
    {
        HelperPrototype helper = meta.Helper;
        ref RegisterState r0 = ref Regs[0];
        RegType flags = ResultFlags(helper.Return);
        switch (helper.Return & ReturnType.BaseMask)
        {
            case ReturnType.Integer:
                MarkRegUnknown(0);
                break;
            case ReturnType.Void:
                r0.MarkNotInit();
                break;
            case ReturnType.PtrToMapValue:
                SetMapValueResult(meta, ref r0, flags);
                break;
            case ReturnType.PtrToSocket:
                r0.MarkPointer(RegType.PtrToSocket | flags);
                break;
            case ReturnType.PtrToSockCommon:
                r0.MarkPointer(RegType.PtrToSockCommon | flags);
                break;
            case ReturnType.PtrToTcpSock:
                r0.MarkPointer(RegType.PtrToTcpSock | flags);
                break;
            case ReturnType.PtrToMem:
                r0.MarkPointer(RegType.PtrToMem | flags);
                r0.MemSize = meta.MemSize;
                break;
            case ReturnType.PtrToMemOrBtfId:
                SetPercpuResult(meta, ref r0, flags, percpuAllocation);
                break;
            case ReturnType.PtrToBtfId:
                SetBtfResult(meta, ref r0, flags);
                break;
        }

        if (r0.Type.MayBeNull()) r0.Id = NewId();
        if (helper.Id == HelperId.DynptrData) r0.DynptrId = meta.DynptrId;
        if (HelperId.IsPointerCast(helper.Id) || helper.Id == HelperId.DynptrData)
        {
            r0.RefObjId = meta.RefObjId;
        }
        else if (AcquiresReference(meta))
        {
            uint id = AcquireReference(insnIdx);
            r0.Id = id;
            r0.RefObjId = id;
        }
    }

    private static RegType ResultFlags(ReturnType type)
    {
        RegType flags = 0;
        if ((type & ReturnType.MaybeNull) != 0) flags |= RegType.PtrMaybeNull;
        if ((type & ReturnType.Trusted) != 0) flags |= RegType.PtrTrusted;
        if ((type & ReturnType.Rdonly) != 0) flags |= RegType.MemRdonly;
        if ((type & ReturnType.Ringbuf) != 0) flags |= RegType.MemRingbuf;
        return flags;
    }

    private void SetMapValueResult(CallMeta meta, ref RegisterState r0, RegType flags)
    {
        if (meta.MapIndex < 0) RejectBug("unexpected null map_ptr");
        MapSpec map = Maps[meta.MapIndex];
        ref InsnAux aux = ref Aux[InsnIdx];
        long key = meta.ConstMapKey >= 0 ? meta.ConstMapKey + 1 : -1;
        aux.MapKey = aux.MapKey == 0 || aux.MapKey == key ? key : -1;
        bool always = meta.Helper.Id == HelperId.MapLookupElem && ElidesNullCheck(map) && meta.ConstMapKey >= 0
            && meta.ConstMapKey < map.MaxEntries;
        if (always) flags &= ~RegType.PtrMaybeNull;
        r0.MarkPointer(RegType.PtrToMapValue | flags);
        r0.MapIndex = meta.MapIndex;
        r0.MapUid = meta.MapUid;
        if ((flags & RegType.PtrMaybeNull) == 0 && HasLock(map)) r0.Id = NewId();
    }

    private void SetPercpuResult(CallMeta meta, ref RegisterState r0, RegType flags, bool percpuAllocation)
    {
        Btf.BtfData btf = BtfOf(meta.RetBtf);
        Btf.BtfType type = btf.Resolve(meta.RetBtfId);
        if (!type.IsComposite)
        {
            long size = btf.SizeOf(type.Id);
            if (size < 0) Reject(Errno.EINVAL, $"unable to resolve the size of type '{type.Name}'");
            r0.MarkPointer(RegType.PtrToMem | flags);
            r0.MemSize = (uint)size;
            return;
        }

        r0.MarkPointer(percpuAllocation
            ? RegType.PtrToBtfId | RegType.MemAlloc | RegType.MemRcu : RegType.PtrToBtfId | (flags & ~RegType.MemRdonly));
        r0.Btf = meta.RetBtf;
        r0.BtfId = meta.RetBtfId;
    }

    private void SetBtfResult(CallMeta meta, ref RegisterState r0, RegType flags)
    {
        r0.MarkPointer(RegType.PtrToBtfId | flags);
        if (meta.Helper.Id == HelperId.KptrXchg)
        {
            if (meta.KptrField.Btf == BtfSource.Program) r0.Type |= RegType.MemAlloc;
            if (meta.KptrField.Kind == SpecialFieldKind.KptrPercpu) r0.Type |= RegType.MemPercpu;
            r0.Btf = meta.KptrField.Btf;
            r0.BtfId = meta.KptrField.BtfId;
            return;
        }

        r0.Btf = BtfSource.Kernel;
        r0.BtfId = KernelTypeId(meta.Helper.ReturnBtf ?? "");
        if (r0.BtfId == 0) Reject(Errno.EINVAL, $"invalid return type {(int)ReturnType.PtrToBtfId} of func {HelperName(meta.Helper)}");
    }

    private void RefineHelperResult(CallMeta meta)
    {
        if ((meta.Helper.Return & ReturnType.BaseMask) != ReturnType.Integer) return;
        ref ScalarRange bounds = ref Regs[0].Bounds;
        switch (meta.Helper.Id)
        {
            case HelperId.GetStack or HelperId.GetTaskStack or HelperId.ProbeReadStr or HelperId.ProbeReadKernelStr or HelperId.ProbeReadUserStr:
                bounds.SMax = meta.SizeMax;
                bounds.S32Max = (int)meta.SizeMax;
                bounds.SMin = -MaxErrno;
                bounds.S32Min = (int)-MaxErrno;
                bounds.Sync();
                break;
            case HelperId.GetSmpProcessorId:
                uint last = (Input.CpuCount ?? CpuNumberLimit) - 1;
                bounds.UMax = bounds.U32Max = last;
                bounds.SMax = bounds.S32Max = (int)last;
                bounds.UMin = bounds.U32Min = 0;
                bounds.SMin = bounds.S32Min = 0;
                bounds.Sync();
                break;
        }
    }

    private bool AcquiresReference(CallMeta meta) =>
        meta.Helper.Id is HelperId.SkLookupTcp or HelperId.SkLookupUdp or HelperId.SkcLookupTcp or HelperId.RingbufReserve or HelperId.KptrXchg
        || (meta.Helper.Id == HelperId.MapLookupElem && meta.MapIndex >= 0 && Maps[meta.MapIndex].Type is MapType.Sockmap or MapType.Sockhash);

    /// <summary>No packet pointer is valid any more, nor a slice of the packet.</summary>
    private void ClearAllPacketPointers() => ForEachReg((ref RegisterState reg) =>
    {
        if (reg.Type.IsPacketAny() || IsPacketSlice(reg)) MarkInvalid(ref reg);
    });

    private static bool IsPacketSlice(in RegisterState reg) =>
        reg.Type.Base() == RegType.PtrToMem
        && reg.Type.HasAny(RegType.DynptrTypeSkb | RegType.DynptrTypeXdp | RegType.DynptrTypeSkbMeta);

    /// <summary>A privileged program may still look at the number that a lost pointer was; another may not.</summary>
    private void MarkInvalid(ref RegisterState reg)
    {
        if (!AllowPtrLeaks) reg.MarkNotInit();
        else reg.MarkUnknown(!BpfCapable);
    }

    /// <summary>Remembers the one map, and the one constant key, that a call is always made with.</summary>
    private void RecordCallMap(CallMeta meta, int insnIdx)
    {
        if (meta.MapIndex < 0) return;
        int id = meta.Helper.Id;
        if (id is not (HelperId.TailCall or HelperId.MapLookupElem or HelperId.MapUpdateElem or HelperId.MapDeleteElem or HelperId.MapPushElem
            or HelperId.MapPopElem or HelperId.MapPeekElem or HelperId.ForEachMapElem or HelperId.RedirectMap or HelperId.MapLookupPercpuElem))
            return;
        MapSpec map = Maps[meta.MapIndex];
        if ((map.Flags & MapRdonlyProg) != 0
            && id is HelperId.MapDeleteElem or HelperId.MapUpdateElem or HelperId.MapPushElem or HelperId.MapPopElem)
            Reject(Errno.EACCES, "write into map forbidden");
        ref InsnAux aux = ref Aux[insnIdx];
        aux.MapIndex = aux.MapIndex == 0 || aux.MapIndex == meta.MapIndex + 1 ? meta.MapIndex + 1 : -1;
        if (id == HelperId.TailCall) RecordTailCallKey(map, ref aux);
    }

    private void RecordTailCallKey(MapSpec map, ref InsnAux aux)
    {
        if (map.Type != MapType.ProgArray)
        {
            Verbose("expected prog array map for tail call");
            Reject(Errno.EINVAL);
        }

        ref RegisterState key = ref Regs[3];
        bool known = key.IsScalar && key.IsConst && key.UMin < map.MaxEntries;
        if (!known)
        {
            aux.MapKey = -1;
            return;
        }

        MarkChainPrecision(3);
        long value = (long)key.UMin + 1;
        aux.MapKey = aux.MapKey == 0 || aux.MapKey == value ? value : -1;
    }
}
