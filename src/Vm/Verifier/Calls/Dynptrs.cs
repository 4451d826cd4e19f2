using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Dynptrs: two stack slots that describe memory, and the slices taken from them.
internal sealed partial class ProgramVerifier
{
    /// <summary>A stack object lies outside the touched stack.</summary>
    private const int SpiOutOfRange = -34;

    /// <summary>A stack object lies where none can lie; the reason is logged.</summary>
    private const int SpiInvalid = -22;

    /// <summary>The slot at a stack pointer that an object of so many slots starts at, or why there is none.</summary>
    private int StackObjectSpi(ref RegisterState reg, string what, int slots)
    {
        if (!reg.IsConst)
        {
            Verbose($"{what} has to be at a constant offset\n");
            return SpiInvalid;
        }

        int off = reg.Off + (int)reg.VarOff.Value;
        int spi = (-off - 1) / 8;
        if (off % 8 != 0 || spi + 1 < slots)
        {
            Verbose($"cannot pass in {what} at an offset={off}\n");
            return SpiInvalid;
        }

        FuncFrame frame = State.Frames[reg.FrameNo]!;
        return spi - slots + 1 >= 0 && spi < frame.StackSlots ? spi : SpiOutOfRange;
    }

    private int DynptrSpi(ref RegisterState reg) => StackObjectSpi(ref reg, "dynptr", 2);

    private static bool IsRefcounted(DynptrKind kind) => kind == DynptrKind.Ringbuf;

    private static DynptrKind DynptrKindOfFlags(RegType flags) => (flags & RegType.DynptrTypeMask) switch
    {
        RegType.DynptrTypeLocal => DynptrKind.Local,
        RegType.DynptrTypeRingbuf => DynptrKind.Ringbuf,
        RegType.DynptrTypeSkb => DynptrKind.Skb,
        RegType.DynptrTypeXdp => DynptrKind.Xdp,
        RegType.DynptrTypeSkbMeta => DynptrKind.SkbMeta,
        RegType.DynptrTypeFile => DynptrKind.File,
        _ => DynptrKind.Invalid,
    };

    private static RegType FlagsOfDynptrKind(DynptrKind kind) => kind switch
    {
        DynptrKind.Local => RegType.DynptrTypeLocal,
        DynptrKind.Ringbuf => RegType.DynptrTypeRingbuf,
        DynptrKind.Skb => RegType.DynptrTypeSkb,
        DynptrKind.Xdp => RegType.DynptrTypeXdp,
        DynptrKind.SkbMeta => RegType.DynptrTypeSkbMeta,
        DynptrKind.File => RegType.DynptrTypeFile,
        _ => 0,
    };

    private static string DynptrKindName(DynptrKind kind) => kind switch
    {
        DynptrKind.Local => "local",
        DynptrKind.Ringbuf => "ringbuf",
        DynptrKind.Skb => "skb",
        DynptrKind.Xdp => "xdp",
        DynptrKind.SkbMeta => "skb_meta",
        DynptrKind.File => "file",
        _ => "invalid",
    };

    private static RegType DynptrArgFlags(ArgType type)
    {
        RegType flags = 0;
        if ((type & ArgType.Uninit) != 0) flags |= RegType.MemUninit;
        if ((type & ArgType.Rdonly) != 0) flags |= RegType.MemRdonly;
        if ((type & ArgType.ObjRelease) != 0) flags |= RegType.ObjRelease;
        if ((type & ArgType.DynptrLocal) != 0) flags |= RegType.DynptrTypeLocal;
        if ((type & ArgType.DynptrRingbuf) != 0) flags |= RegType.DynptrTypeRingbuf;
        if ((type & ArgType.DynptrSkb) != 0) flags |= RegType.DynptrTypeSkb;
        if ((type & ArgType.DynptrXdp) != 0) flags |= RegType.DynptrTypeXdp;
        return flags;
    }

    /// <summary>Checks a dynptr argument, and creates the dynptr if the call initialises it.</summary>
    private void ProcessDynptrArg(int regno, int insnIdx, RegType flags, uint cloneRefObjId)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type is not (RegType.PtrToStack or RegType.ConstPtrToDynptr))
            Reject(Errno.EINVAL, $"arg#{regno - 1} expected pointer to stack or const struct bpf_dynptr");
        if (flags.HasAny(RegType.MemUninit))
        {
            int spi = reg.Type == RegType.ConstPtrToDynptr ? SpiInvalid : DynptrSpi(ref reg);
            if (spi is < 0 and not SpiOutOfRange) Reject(Errno.EINVAL, "Dynptr has to be an uninitialized dynptr");
            for (int i = 0; i < 16; i += 8) CheckMemAccess(insnIdx, regno, i, 8, AccessType.Write, -1, false, false);
            MarkDynptrSlots(ref Regs[regno], flags, insnIdx, cloneRefObjId);
            return;
        }

        if (reg.Type == RegType.ConstPtrToDynptr && !flags.HasAny(RegType.MemRdonly))
            Reject(Errno.EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it");
        if (!IsInitializedDynptr(ref reg)) Reject(Errno.EINVAL, $"Expected an initialized dynptr as arg #{regno - 1}");
        DynptrKind wanted = DynptrKindOfFlags(flags);
        if (wanted != DynptrKind.Invalid && DynptrKindOf(regno) != wanted)
            Reject(Errno.EINVAL, $"Expected a dynptr of type {DynptrKindName(wanted)} as arg #{regno - 1}");
        if (reg.Type != RegType.PtrToStack) return;
        int at = DynptrSpi(ref reg);
        MarkStackObjectRead(reg.FrameNo, at, 2);
    }

    private bool IsInitializedDynptr(ref RegisterState reg)
    {
        if (reg.Type == RegType.ConstPtrToDynptr) return true;
        int spi = DynptrSpi(ref reg);
        if (spi < 0) return false;
        StackSlot[] stack = State.Frames[reg.FrameNo]!.Stack;
        uint whole = SlotTypes.All(SlotType.Dynptr).Word;
        return stack[spi].Spilled.DynptrFirstSlot && stack[spi].Types.Word == whole && stack[spi - 1].Types.Word == whole;
    }

    private void MarkDynptrSlots(ref RegisterState reg, RegType flags, int insnIdx, uint cloneRefObjId)
    {
        int spi = DynptrSpi(ref reg);
        if (spi < 0) Reject(Errno.EINVAL);
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        DestroyIfDynptrSlot(frame, spi);
        DestroyIfDynptrSlot(frame, spi - 1);
        DynptrKind kind = DynptrKindOfFlags(flags);
        if (kind == DynptrKind.Invalid) Reject(Errno.EINVAL);
        uint id = NewId();
        uint refObjId = 0;
        if (IsRefcounted(kind)) refObjId = cloneRefObjId != 0 ? cloneRefObjId : AcquireReference(insnIdx);
        for (int i = 0; i < 2; i++)
        {
            ref StackSlot slot = ref frame.Stack[spi - i];
            slot.Types = SlotTypes.All(SlotType.Dynptr);
            MarkDynptrRegister(ref slot.Spilled, kind, i == 0, id);
            slot.Spilled.RefObjId = refObjId;
            MarkStackWrite(reg.FrameNo, spi - i);
        }
    }

    private static void MarkDynptrRegister(ref RegisterState reg, DynptrKind kind, bool firstSlot, uint id)
    {
        reg.MarkPointer(RegType.ConstPtrToDynptr);
        reg.Id = id;
        reg.Dynptr = kind;
        reg.DynptrFirstSlot = firstSlot;
    }

    /// <summary>The call gives the dynptr back: it, its clones and its slices are gone.</summary>
    private void UnmarkDynptrSlots(ref RegisterState reg)
    {
        int spi = DynptrSpi(ref reg);
        if (spi < 0) Reject(Errno.EINVAL);
        FuncFrame frame = State.Frames[reg.FrameNo]!;
        if (!IsRefcounted(frame.Stack[spi].Spilled.Dynptr))
        {
            InvalidateDynptr(frame, spi);
            return;
        }

        uint refObjId = frame.Stack[spi].Spilled.RefObjId;
        TryReleaseReference(refObjId);
        for (int i = 1; i < frame.StackSlots; i++)
        {
            ref RegisterState held = ref frame.Stack[i].Spilled;
            if (held.RefObjId != refObjId || frame.Stack[i].Types[0] != SlotType.Dynptr) continue;
            if (held.DynptrFirstSlot) InvalidateDynptr(frame, i);
        }
    }

    private void InvalidateDynptr(FuncFrame frame, int spi)
    {
        for (int i = 0; i < 2; i++)
        {
            frame.Stack[spi - i].Types = default;
            frame.Stack[spi - i].Spilled.MarkNotInit();
            MarkStackWrite(frame.FrameNo, spi - i);
        }
    }

    /// <summary>A store overwrites a stack slot that belongs to a dynptr: forget it, or reject if it is referenced.</summary>
    private void DestroyIfDynptrSlot(FuncFrame frame, int spi)
    {
        if (spi < 0 || spi >= frame.StackSlots || frame.Stack[spi].Types[0] != SlotType.Dynptr) return;
        if (!frame.Stack[spi].Spilled.DynptrFirstSlot) spi++;
        if (IsRefcounted(frame.Stack[spi].Spilled.Dynptr)) Reject(Errno.EINVAL, "cannot overwrite referenced dynptr");
        MarkStackSlotScratched(spi);
        MarkStackSlotScratched(spi - 1);
        uint id = frame.Stack[spi].Spilled.Id;
        ForEachReg((ref RegisterState reg) =>
        {
            if (reg.Type is RegType.PtrToMem or (RegType.PtrToMem | RegType.PtrMaybeNull) && reg.DynptrId == id) MarkInvalid(ref reg);
        });
        InvalidateDynptr(frame, spi);
    }

    /// <summary>The register that is a helper's dynptr argument.</summary>
    private static int DynptrArgument(HelperPrototype helper)
    {
        for (int i = 0; i < helper.Args.Length; i++)
        {
            if ((helper.Args[i] & ArgType.BaseMask) == ArgType.PtrToDynptr) return i + 1;
        }

        return 0;
    }

    private ref RegisterState DynptrState(int regno)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type == RegType.ConstPtrToDynptr) return ref reg;
        return ref State.Frames[reg.FrameNo]!.Stack[DynptrSpi(ref reg)].Spilled;
    }

    private (uint Id, uint RefObjId) DynptrIds(int regno)
    {
        ref RegisterState dynptr = ref DynptrState(regno);
        return (dynptr.Id, dynptr.RefObjId);
    }

    private DynptrKind DynptrKindOf(int regno) => DynptrState(regno).Dynptr;
}
