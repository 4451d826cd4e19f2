using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// One argument of a helper call: its type, its memory, and what it means for the call.
internal sealed partial class ProgramVerifier
{
    private void CheckHelperArg(int arg, CallMeta meta, int insnIdx)
    {
        HelperPrototype helper = meta.Helper;
        ArgType argType = helper.Args[arg];
        int regno = arg + 1;
        ref RegisterState reg = ref Regs[regno];
        if (argType == ArgType.DontCare) return;
        CheckRegArg(regno, RegUse.Source);
        if (argType == ArgType.Anything)
        {
            if (!AllowPtrLeaks && reg.Type.IsPointer()) Reject(Errno.EACCES, $"R{regno} leaks addr into helper function");
            return;
        }

        if (reg.Type.IsPacket() && !HelperMayAccessPacket(meta)) Reject(Errno.EACCES, "helper access to the packet is not allowed");
        if ((argType & ArgType.BaseMask) == ArgType.PtrToMapValue) argType = ResolveMapValueArg(meta, argType);
        string? argBtf = arg < helper.ArgBtf.Length ? helper.ArgBtf[arg] : null;
        if (!(reg.IsNull && (argType & ArgType.MaybeNull) != 0))
        {
            CheckArgumentType(regno, argType, argBtf, meta);
            CheckArgumentOffset(regno, (argType & ArgType.ObjRelease) != 0, (argType & ArgType.BaseMask) == ArgType.PtrToDynptr);
        }

        if ((argType & ArgType.ObjRelease) != 0) CheckReleaseArg(arg, argType, meta);
        if (reg.RefObjId != 0 && (argType & ArgType.BaseMask) != ArgType.KptrXchgDest)
        {
            if (meta.RefObjId != 0)
            {
                Verbose($"more than one arg with ref_obj_id R{regno} {reg.RefObjId} {meta.RefObjId}");
                Reject(Errno.EACCES);
            }

            meta.RefObjId = reg.RefObjId;
        }

        CheckHelperArgByKind(arg, argType, meta, insnIdx);
    }

    private void CheckHelperArgByKind(int arg, ArgType argType, CallMeta meta, int insnIdx)
    {
        int regno = arg + 1;
        ref RegisterState reg = ref Regs[regno];
        AccessType access = (argType & ArgType.Write) != 0 ? AccessType.Write : AccessType.Read;
        switch (argType & ArgType.BaseMask)
        {
            case ArgType.ConstMapPtr:
                TakeMapArg(ref reg, meta);
                break;
            case ArgType.PtrToMapKey:
                CheckMapKeyArg(regno, meta);
                break;
            case ArgType.PtrToMapValue:
                if ((argType & ArgType.MaybeNull) != 0 && reg.IsNull) break;
                if (meta.MapIndex < 0) Reject(Errno.EACCES, "invalid map_ptr to access map->value");
                meta.Raw.Allowed = (argType & ArgType.Uninit) != 0;
                CheckHelperMemAccess(regno, (int)Maps[meta.MapIndex].ValueSize, access, false, ref meta.Raw);
                break;
            case ArgType.PtrToPercpuBtfId:
                if (reg.BtfId == 0) Reject(Errno.EACCES, $"Helper has invalid btf_id in R{regno}");
                meta.RetBtf = reg.Btf;
                meta.RetBtfId = reg.BtfId;
                break;
            case ArgType.PtrToSpinLock:
                if (InRbtreeLockRequiredCallback()) Reject(Errno.EACCES, "can't spin_{lock,unlock} in rbtree cb");
                ProcessSpinLock(regno, meta.Helper.Id == HelperId.SpinLock, LockFlavour.Spin);
                break;
            case ArgType.PtrToTimer:
                ProcessTimer(regno, meta);
                break;
            case ArgType.PtrToFunc:
                meta.SubprogNo = reg.SubprogNo;
                break;
            case ArgType.PtrToMem:
                CheckMemArg(arg, argType, access, meta);
                break;
            case ArgType.ConstSize:
                CheckSizeArg(arg, false, meta);
                break;
            case ArgType.ConstSizeOrZero:
                CheckSizeArg(arg, true, meta);
                break;
            case ArgType.PtrToDynptr:
                ProcessDynptrArg(regno, insnIdx, DynptrArgFlags(argType), 0);
                break;
            case ArgType.ConstAllocSizeOrZero:
                if (!reg.IsConst) Reject(Errno.EACCES, $"R{regno} is not a known constant'");
                meta.MemSize = (uint)reg.VarOff.Value;
                MarkChainPrecision(regno);
                break;
            case ArgType.PtrToConstStr:
                CheckConstString(regno);
                break;
            case ArgType.KptrXchgDest:
                ProcessKptrDestination(regno, meta);
                break;
        }
    }

    private void TakeMapArg(ref RegisterState reg, CallMeta meta)
    {
        if (meta.MapIndex >= 0 && (meta.MapIndex != reg.MapIndex || meta.MapUid != reg.MapUid))
        {
            Reject(Errno.EINVAL,
                $"timer pointer in R1 map_uid={meta.MapUid} doesn't match map pointer in R2 map_uid={reg.MapUid}");
        }

        meta.MapIndex = reg.MapIndex;
        meta.MapUid = reg.MapUid;
    }

    private void CheckMapKeyArg(int regno, CallMeta meta)
    {
        if (meta.MapIndex < 0) Reject(Errno.EACCES, "invalid map_ptr to access map->key");
        MapSpec map = Maps[meta.MapIndex];
        var raw = default(RawMemory);
        CheckHelperMemAccess(regno, (int)map.KeySize, AccessType.Read, false, ref raw);
        if (ElidesNullCheck(map)) meta.ConstMapKey = ConstantMapKey(regno, (int)map.KeySize);
    }

    /// <summary>Whether a lookup with a constant key below max_entries always finds a value.</summary>
    private static bool ElidesNullCheck(MapSpec map) => map.Type is MapType.Array or MapType.PercpuArray;

    /// <summary>The number at a stack pointer, if it is known exactly; else -1.</summary>
    private long ConstantMapKey(int regno, int size)
    {
        ref RegisterState key = ref Regs[regno];
        if (!BpfCapable || key.Type != RegType.PtrToStack || !key.IsConst) return -1;
        int off = key.Off + (int)key.VarOff.Value;
        FuncFrame frame = State.Peek(key.FrameNo);
        int slot = -off - 1, spi = slot / 8, first = slot % 8;
        if (slot < 0 || spi >= frame.StackSlots) return -1;
        ref StackSlot stack = ref frame.Stack[spi];
        int zeros = 0, spilled = 0;
        for (int i = first; i >= 0 && stack.Types[i] == SlotType.Zero; i--) zeros++;
        if (zeros >= size) return 0;
        if (!stack.IsSpilledScalar) return -1;
        for (int i = first; i >= 0 && stack.Types[i] == SlotType.Spill; i--) spilled++;
        if (spilled != size || !stack.Spilled.IsConst) return -1;
        long value = (long)stack.Spilled.VarOff.Value;
        MarkChainPrecisionStack(key.FrameNo, spi);
        return value;
    }

    /// <summary>The exact value of a spilled number matters: marks it back through the path.</summary>
    private void MarkChainPrecisionStack(int frame, int spi)
    {
        if (!BpfCapable) return;
        _backtrack.Reset(State.CurFrame);
        _backtrack.SetSlot(frame, spi);
        bool changed = false;
        MarkBack(State, ref changed);
    }

    private ArgType ResolveMapValueArg(CallMeta meta, ArgType argType)
    {
        if (meta.MapIndex < 0) RejectBug("invalid map_ptr to access map->type");
        switch (Maps[meta.MapIndex].Type)
        {
            case MapType.Sockmap or MapType.Sockhash:
                if (argType != ArgType.PtrToMapValue) Reject(Errno.EINVAL, "invalid arg_type for sockmap/sockhash");
                return ArgType.PtrToBtfIdSockCommon;
            case MapType.BloomFilter when meta.Helper.Id == HelperId.MapPeekElem:
                return ArgType.PtrToMapValue;
            default:
                return argType;
        }
    }

    private void CheckReleaseArg(int arg, ArgType argType, CallMeta meta)
    {
        int regno = arg + 1;
        ref RegisterState reg = ref Regs[regno];
        if ((argType & ArgType.BaseMask) == ArgType.PtrToDynptr)
        {
            if (reg.Type != RegType.PtrToStack) Reject(Errno.EINVAL, "cannot release unowned const bpf_dynptr");
            int spi = DynptrSpi(ref reg);
            if (spi < 0 || State.Frames[reg.FrameNo]!.Stack[spi].Spilled.RefObjId == 0)
                Reject(Errno.EINVAL, $"arg {regno} is an unacquired reference");
        }
        else if (reg.RefObjId == 0 && !reg.IsNull)
        {
            Reject(Errno.EINVAL, $"R{regno} must be referenced when passed to release function");
        }

        if (meta.ReleaseRegno != 0) RejectBug($"more than one release argument R{meta.ReleaseRegno} and R{regno}");
        meta.ReleaseRegno = regno;
    }

    private void CheckMemArg(int arg, ArgType argType, AccessType access, CallMeta meta)
    {
        int regno = arg + 1;
        ref RegisterState reg = ref Regs[regno];
        meta.Raw.Allowed = (argType & ArgType.Uninit) != 0;
        if ((argType & ArgType.FixedSize) == 0) return;
        int size = meta.Helper.ArgSizes[arg];
        CheckHelperMemAccess(regno, size, access, false, ref meta.Raw);
        if ((argType & ArgType.Aligned) != 0) CheckPtrAlignment(reg, 0, size, true);
    }

    private void CheckSizeArg(int arg, bool zeroAllowed, CallMeta meta)
    {
        AccessType access = (meta.Helper.Args[arg - 1] & ArgType.Write) != 0 ? AccessType.Write : AccessType.Read;
        meta.SizeMax = (long)Regs[arg + 1].UMax;
        CheckMemSizeReg(arg, arg + 1, access, zeroAllowed, ref meta.Raw);
    }

    /// <summary>Whether the program type and the helper allow packet pointers as arguments.</summary>
    private bool HelperMayAccessPacket(CallMeta meta)
    {
        switch (Input.Attributes.Type)
        {
            case ProgramType.LwtIn or ProgramType.LwtOut or ProgramType.LwtSeg6local or ProgramType.SkReuseport or ProgramType.FlowDissector
                or ProgramType.CgroupSkb or ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.Xdp or ProgramType.LwtXmit or ProgramType.SkSkb
                or ProgramType.SkMsg:
                return meta.Helper.PacketAccess;
            case ProgramType.CgroupSockopt:
                return true;
            default:
                return false;
        }
    }
}
