using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Loads, stores, atomics, 64-bit immediates and the legacy packet loads.
internal sealed partial class ProgramVerifier
{
    private void CheckLoad(in Insn insn, bool strict, bool signExtend, bool allowTrustMismatch, string name)
    {
        CheckRegArg(insn.Src, RegUse.Source);
        CheckRegArg(insn.Dst, RegUse.DestinationNoMark);
        RegType pointer = Regs[insn.Src].Type;
        NoteStackAccess(insn.Src);
        CheckMemAccess(InsnIdx, insn.Src, insn.Off, insn.SizeBytes, AccessType.Read, insn.Dst, strict, signExtend);
        SavePointerType(pointer, allowTrustMismatch);
        CheckBoundsSanity(ref Regs[insn.Dst], name);
    }

    private void CheckStore(in Insn insn, bool strict)
    {
        CheckRegArg(insn.Src, RegUse.Source);
        CheckRegArg(insn.Dst, RegUse.Source);
        RegType pointer = Regs[insn.Dst].Type;
        NoteStackAccess(insn.Dst);
        CheckMemAccess(InsnIdx, insn.Dst, insn.Off, insn.SizeBytes, AccessType.Write, insn.Src, strict, false);
        SavePointerType(pointer, false);
    }

    private void CheckStoreImmediate(in Insn insn)
    {
        if (insn.Mode != MemMode.Mem || insn.Src != 0) Reject(Errno.EINVAL, "BPF_ST uses reserved fields");
        CheckRegArg(insn.Dst, RegUse.Source);
        RegType pointer = Regs[insn.Dst].Type;
        NoteStackAccess(insn.Dst);
        CheckMemAccess(InsnIdx, insn.Dst, insn.Off, insn.SizeBytes, AccessType.Write, -1, false, false);
        SavePointerType(pointer, false);
    }

    private void NoteStackAccess(int regno)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type != RegType.PtrToStack || !reg.IsConst || reg.FrameNo != State.CurFrame || regno != 10) Aux[InsnIdx].NotOwnStack = true;
    }

    /// <summary>One instruction must meet one kind of pointer, because the rewrites depend on it.</summary>
    private void SavePointerType(RegType type, bool allowTrustMismatch)
    {
        ref RegType before = ref Aux[InsnIdx].PtrType;
        if (before == RegType.NotInit)
        {
            before = type;
            return;
        }

        if (before == type || !(IsRewritten(type) || IsRewritten(before))) return;
        if (allowTrustMismatch && type.Base() == RegType.PtrToBtfId && before.Base() == RegType.PtrToBtfId)
        {
            // Trusted and untrusted pointers share a load if it survives a fault.
            bool Probed(RegType t) => t.Has(RegType.PtrUntrusted) || (t.Flags() & ~RegType.PtrTrusted) == 0;
            before = Probed(type) || Probed(before) ? RegType.PtrToBtfId | RegType.PtrUntrusted : type;
            return;
        }

        Reject(Errno.EINVAL, "same insn cannot be used with different pointers");
    }

    private static bool IsRewritten(RegType type) => type.Base() is RegType.PtrToCtx or RegType.PtrToSocket
        or RegType.PtrToSockCommon or RegType.PtrToTcpSock or RegType.PtrToXdpSock or RegType.PtrToBtfId or RegType.PtrToArena
        || (type.Base() == RegType.PtrToMem && type.Has(RegType.PtrUntrusted));

    private void CheckAtomic(in Insn insn)
    {
        switch (insn.Imm)
        {
            case 0x00 or 0x01 or 0x50 or 0x51 or 0x40 or 0x41 or 0xa0 or 0xa1 or 0xe1 or 0xf1:
                CheckAtomicReadModifyWrite(insn);
                break;
            case 0x100:
                CheckAtomicLoad(insn);
                break;
            case 0x110:
                CheckAtomicStore(insn);
                break;
            default:
                Reject(Errno.EINVAL, $"BPF_ATOMIC uses invalid atomic opcode {insn.Imm:x2}");
                break;
        }
    }

    private void CheckAtomicReadModifyWrite(in Insn insn)
    {
        bool exchange = insn.Imm == 0xf1, fetch = (insn.Imm & 1) != 0;
        if (insn.Size is not (MemSize.W or MemSize.Dw)) Reject(Errno.EINVAL, "invalid atomic operand size");
        CheckRegArg(insn.Src, RegUse.Source);
        CheckRegArg(insn.Dst, RegUse.Source);
        if (exchange)
        {
            CheckRegArg(0, RegUse.Source);
            if (IsPointerValue(0)) Reject(Errno.EACCES, "R0 leaks addr into mem");
        }

        if (IsPointerValue(insn.Src)) Reject(Errno.EACCES, $"R{insn.Src} leaks addr into mem");
        RejectAtomicOn(insn.Dst, "stores into");
        int loaded = -1;
        if (fetch)
        {
            loaded = exchange ? 0 : insn.Src;
            CheckRegArg(loaded, RegUse.Destination);
        }

        NoteStackAccess(insn.Dst);
        int size = insn.SizeBytes;
        // Once to see whether the memory may be read as a number, once more for what the register gets.
        CheckMemAccess(InsnIdx, insn.Dst, insn.Off, size, AccessType.Read, -1, true, false);
        if (loaded >= 0) CheckMemAccess(InsnIdx, insn.Dst, insn.Off, size, AccessType.Read, loaded, true, false);
        if (Regs[insn.Dst].Type == RegType.PtrToArena) SavePointerType(RegType.PtrToArena, false);
        CheckMemAccess(InsnIdx, insn.Dst, insn.Off, size, AccessType.Write, -1, true, false);
    }

    private void CheckAtomicLoad(in Insn insn)
    {
        CheckLoad(insn, true, false, false, "atomic_load");
        RejectAtomicOn(insn.Src, "loads from");
    }

    private void CheckAtomicStore(in Insn insn)
    {
        CheckStore(insn, true);
        RejectAtomicOn(insn.Dst, "stores into");
    }

    private void RejectAtomicOn(int regno, string what)
    {
        RegType type = Regs[regno].Type;
        if (type == RegType.PtrToCtx || type.IsPacket() || type == RegType.PtrToFlowKeys || (type.IsSock() && !type.MayBeNull()))
            Reject(Errno.EACCES, $"BPF_ATOMIC {what} R{regno} {RegTypeName(type)} is not allowed");
    }

    private void CheckLoadImm64(in Insn insn)
    {
        if (insn.Size != MemSize.Dw) Reject(Errno.EINVAL, "invalid BPF_LD_IMM insn");
        if (insn.Off != 0) Reject(Errno.EINVAL, "BPF_LD_IMM64 uses reserved fields");
        CheckRegArg(insn.Dst, RegUse.DestinationNoMark);
        ref RegisterState dst = ref Regs[insn.Dst];
        ref readonly Insn high = ref Insns[InsnIdx + 1];
        switch ((PseudoSource)insn.Src)
        {
            case PseudoSource.Imm64:
                dst = default;
                dst.Type = RegType.Scalar;
                dst.Bounds = ScalarRange.Const((uint)insn.Imm | ((ulong)(uint)high.Imm << 32));
                break;
            case PseudoSource.MapFd or PseudoSource.MapIdx:
                dst.MarkPointer(RegType.ConstPtrToMap);
                dst.MapIndex = insn.Imm;
                break;
            case PseudoSource.MapValue or PseudoSource.MapIdxValue:
                LoadMapValueAddress(insn, high, ref dst);
                break;
            case PseudoSource.Func:
                int subprog = FindSubprog(InsnIdx + insn.Imm + 1);
                if (subprog >= 0 && Subprogs[subprog].BtfId != 0 && Subprogs[subprog].IsGlobal)
                    Reject(Errno.EINVAL, "callback function not static");
                if (subprog >= 0 && Subprogs[subprog].BtfId == 0) Reject(Errno.EINVAL, "missing btf func_info");
                dst.MarkPointer(RegType.PtrToFunc);
                dst.SubprogNo = subprog;
                break;
            case PseudoSource.BtfId:
                CheckLoadBtfId(insn, ref dst);
                break;
            default:
                Reject(Errno.EINVAL, "unrecognized bpf_ld_imm64 insn");
                break;
        }
    }

    private void LoadMapValueAddress(in Insn insn, in Insn high, ref RegisterState dst)
    {
        MapSpec map = Maps[insn.Imm];
        if (map.Type == MapType.Arena)
        {
            MarkRegUnknown(insn.Dst);
            dst.Type = RegType.PtrToArena;
            dst.MapIndex = insn.Imm;
            return;
        }

        dst.MarkPointer(RegType.PtrToMapValue);
        dst.MapIndex = insn.Imm;
        dst.Off = high.Imm;
    }

    private int CheckLegacyPacketLoad(in Insn insn)
    {
        if (Input.Attributes.Type is not (ProgramType.SocketFilter or ProgramType.SchedCls or ProgramType.SchedAct))
            Reject(Errno.EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
        if (insn.Dst != 0 || insn.Off != 0 || insn.Size == MemSize.Dw || (insn.Mode == MemMode.Abs && insn.Src != 0))
            Reject(Errno.EINVAL, "BPF_LD_[ABS|IND] uses reserved fields");
        CheckRegArg(6, RegUse.Source);
        // A failing load leaves the program at once, like an exit.
        CheckResourceLeak(false, true, "BPF_LD_[ABS|IND]");
        if (Regs[6].Type != RegType.PtrToCtx)
            Reject(Errno.EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
        if (insn.Mode == MemMode.Ind) CheckRegArg(insn.Src, RegUse.Source);
        CheckPtrOffReg(ref Regs[6], 6, fixedOffOk: false);
        ClearCallerSavedRegs();
        MarkRegUnknown(0);
        if (State.CurFrame == 0) return InsnIdx + 1;
        // Behind the packet's end the function returns 0.
        PushState(InsnIdx + 1, InsnIdx, false);
        MarkRegConstZero(0);
        return LeaveEarly();
    }
}
