using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Open-coded iterators and saved interrupt flags: objects on the program's stack.
internal sealed partial class ProgramVerifier
{
    private void ProcessIteratorArg(KfuncMeta meta, int insnIdx, int regno, BtfType type)
    {
        if (Regs[regno].Type != RegType.PtrToStack) Reject(Errno.EINVAL, $"arg#{regno - 1} expected pointer to an iterator on stack");
        int slots = (int)(type.Size / 8);
        string name = type.Name.StartsWith("bpf_iter_", StringComparison.Ordinal) ? type.Name["bpf_iter_".Length..] : type.Name;
        if (meta.Has(KfuncFlags.IterNew))
        {
            if (!IsUninitializedStackObject(ref Regs[regno], "iter", slots, SlotType.Iter))
                Reject(Errno.EINVAL, $"expected uninitialized iter_{name} as arg #{regno - 1}");
            for (int i = 0; i < slots * 8; i += 8) CheckMemAccess(insnIdx, regno, i, 8, AccessType.Write, -1, false, false);
            MarkIteratorSlots(meta, ref Regs[regno], type.Id, slots, insnIdx);
            return;
        }

        ref RegisterState reg = ref Regs[regno];
        int spi = StackObjectSpi(ref reg, "iter", slots);
        switch (IteratorState(ref reg, spi, type.Id, slots))
        {
            case IteratorCheck.Bad:
                Reject(Errno.EINVAL, $"expected an initialized iter_{name} as arg #{regno - 1}");
                break;
            case IteratorCheck.LostRcu:
                Reject(Errno.EPROTO, $"expected an RCU CS when using {meta.Name}");
                break;
        }

        MarkStackObjectRead(reg.FrameNo, spi, slots);
        meta.IterSpi = spi;
        meta.IterFrame = reg.FrameNo;
        meta.RefObjId = State.Frames[reg.FrameNo]!.Stack[spi].Spilled.RefObjId;
        if (meta.Has(KfuncFlags.IterDestroy)) UnmarkStackObject(State.Frames[reg.FrameNo]!, spi, slots);
    }

    private void MarkStackObjectRead(int frameNo, int spi, int slots)
    {
        for (int i = 0; i < slots; i++)
        {
            MarkStackRead(frameNo, spi - i);
            MarkStackSlotScratched(spi - i);
        }
    }

    private enum IteratorCheck { Good, Bad, LostRcu }

    private bool IsUninitializedStackObject(ref RegisterState reg, string what, int slots, SlotType type)
    {
        int spi = StackObjectSpi(ref reg, what, slots);
        if (spi == SpiOutOfRange) return true;
        if (spi < 0) return false;
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        for (int i = 0; i < slots; i++)
        {
            for (int j = 0; j < 8; j++)
            {
                if (frame.Stack[spi - i].Types[j] == type) return false;
            }
        }

        return true;
    }

    private IteratorCheck IteratorState(ref RegisterState reg, int spi, uint btfId, int slots)
    {
        if (spi < 0) return IteratorCheck.Bad;
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        for (int i = 0; i < slots; i++)
        {
            ref StackSlot slot = ref frame.Stack[spi - i];
            ref RegisterState held = ref slot.Spilled;
            if (slot.Types[0] == SlotType.Iter && held.Type.HasAny(RegType.PtrUntrusted)) return IteratorCheck.LostRcu;
            if ((i == 0) != (held.RefObjId != 0) || held.BtfId != btfId || slot.Types.Word != SlotTypes.All(SlotType.Iter).Word)
                return IteratorCheck.Bad;
        }

        return IteratorCheck.Good;
    }

    private void MarkIteratorSlots(KfuncMeta meta, ref RegisterState reg, uint btfId, int slots, int insnIdx)
    {
        int spi = StackObjectSpi(ref reg, "iter", slots);
        if (spi < 0) Reject(Errno.EINVAL);
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        uint id = AcquireReference(insnIdx);
        RegType protection = !meta.Has(KfuncFlags.RcuProtected) ? 0 : InRcuSection ? RegType.MemRcu : RegType.PtrUntrusted;
        for (int i = 0; i < slots; i++)
        {
            ref StackSlot slot = ref frame.Stack[spi - i];
            slot.Spilled.MarkPointer(RegType.PtrToStack | protection);
            slot.Spilled.RefObjId = i == 0 ? id : 0;
            slot.Spilled.Btf = BtfSource.Kernel;
            slot.Spilled.BtfId = btfId;
            slot.Spilled.Iter = IterState.Active;
            slot.Types = SlotTypes.All(SlotType.Iter);
            MarkStackWrite(frame.FrameNo, spi - i);
            MarkStackSlotScratched(spi - i);
        }
    }

    private void UnmarkStackObject(FuncFrame frame, int spi, int slots)
    {
        TryReleaseReference(frame.Stack[spi].Spilled.RefObjId);
        for (int i = 0; i < slots; i++)
        {
            frame.Stack[spi - i].Spilled.MarkNotInit();
            frame.Stack[spi - i].Types = default;
            MarkStackWrite(frame.FrameNo, spi - i);
            MarkStackSlotScratched(spi - i);
        }
    }

    private static ref RegisterState IteratorSlot(VerifierState state, KfuncMeta meta) =>
        ref state.Frames[meta.IterFrame]!.Stack[meta.IterSpi].Spilled;

    /// <summary>
    /// After a next call: one path has an element and may come back, the other has none. Numbers that nobody needed
    /// exactly are widened on the first, so that loops converge.
    /// </summary>
    private void StepIterator(KfuncMeta meta, int insnIdx)
    {
        ref RegisterState slot = ref IteratorSlot(State, meta);
        if (slot.Iter is not (IterState.Active or IterState.Drained)) RejectBug($"unexpected iterator state {slot.Iter}");
        if (slot.Iter == IterState.Active)
        {
            VerifierState? previous = FindPreviousEntry(State.Parent, insnIdx);
            VerifierState inside = PushState(insnIdx + 1, insnIdx, false, Errno.ENOMEM);
            ref RegisterState active = ref IteratorSlot(inside, meta);
            active.Iter = IterState.Active;
            active.IterDepth++;
            if (previous is not null) WidenImpreciseScalars(previous, inside);
            MarkNotNull(ref inside.Current.Regs[0]);
        }

        IteratorSlot(State, meta).Iter = IterState.Drained;
        Regs[0].MarkZeroScalar();
    }

    private void ProcessIrqFlag(KfuncMeta meta, int regno, int insnIdx)
    {
        bool save = meta.Name is "bpf_local_irq_save" or "bpf_res_spin_lock_irqsave";
        byte lockClass = meta.Name.Contains("res_spin", StringComparison.Ordinal) ? (byte)1 : (byte)0;
        if (save)
        {
            if (!IsUninitializedStackObject(ref Regs[regno], "irq_flag", 1, SlotType.IrqFlag))
                Reject(Errno.EINVAL, $"expected uninitialized irq flag as arg#{regno - 1}");
            CheckMemAccess(insnIdx, regno, 0, 8, AccessType.Write, -1, false, false);
            SaveIrqFlag(ref Regs[regno], insnIdx, lockClass);
            return;
        }

        ref RegisterState reg = ref Regs[regno];
        int spi = StackObjectSpi(ref reg, "irq_flag", 1);
        if (spi < 0 || State.Frames[reg.FrameNo]!.Stack[spi].Types.Word != SlotTypes.All(SlotType.IrqFlag).Word
            || State.Frames[reg.FrameNo]!.Stack[spi].Spilled.RefObjId == 0)
            Reject(Errno.EINVAL, $"expected an initialized irq flag as arg#{regno - 1}");
        MarkStackObjectRead(reg.FrameNo, spi, 1);
        RestoreIrqFlag(State.Frames[reg.FrameNo]!, spi, lockClass);
    }

    private void SaveIrqFlag(ref RegisterState reg, int insnIdx, byte lockClass)
    {
        int spi = StackObjectSpi(ref reg, "irq_flag", 1);
        if (spi < 0) Reject(Errno.EINVAL);
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        uint id = NewId();
        State.AddRef(new ReferenceState { Kind = ReferenceKind.Irq, Id = id, InsnIdx = insnIdx });
        State.ActiveIrqId = id;
        ref StackSlot slot = ref frame.Stack[spi];
        slot.Spilled.MarkPointer(RegType.PtrToStack);
        slot.Spilled.RefObjId = id;
        slot.Spilled.IrqClass = lockClass;
        slot.Types = SlotTypes.All(SlotType.IrqFlag);
        MarkStackWrite(frame.FrameNo, spi);
        MarkStackSlotScratched(spi);
    }

    private void RestoreIrqFlag(FuncFrame frame, int spi, byte lockClass)
    {
        ref RegisterState held = ref frame.Stack[spi].Spilled;
        if (held.IrqClass != lockClass)
        {
            Reject(Errno.EINVAL, $"irq flag acquired by {ClassName(held.IrqClass)} kfuncs cannot be restored with "
                + $"{ClassName(lockClass)} kfuncs");
        }

        if (held.RefObjId != State.ActiveIrqId)
        {
            int at = FindReference(State, ReferenceKind.Irq, State.ActiveIrqId);
            Reject(Errno.EACCES, $"cannot restore irq state out of order, expected id={State.ActiveIrqId} "
                + $"acquired at insn_idx={(at < 0 ? -1 : State.Refs[at].InsnIdx)}");
        }

        State.RemoveRefAt(FindReference(State, ReferenceKind.Irq, held.RefObjId));
        State.ActiveIrqId = 0;
        for (int i = 0; i < State.RefCount; i++)
        {
            if (State.Refs[i].Kind == ReferenceKind.Irq) State.ActiveIrqId = State.Refs[i].Id;
        }

        held.MarkNotInit();
        frame.Stack[spi].Types = default;
        MarkStackWrite(frame.FrameNo, spi);
        MarkStackSlotScratched(spi);
    }

    private static string ClassName(byte lockClass) => lockClass == 0 ? "native" : "lock";
}
