using System.Numerics;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// The stack: bounds, stores and spills, loads and fills, at fixed and variable offsets.
internal sealed partial class ProgramVerifier
{
    private FuncFrame FrameOf(in RegisterState reg) => State.Frames[reg.FrameNo]!;

    private static HistoryFlags StackAccessFlags(int frameNo, int spi) =>
        HistoryFlags.StackAccess | (HistoryFlags)(frameNo | (spi << (int)HistoryFlags.SlotShift));

    private void CheckStackAccessWithinBounds(int regno, int off, int accessSize, AccessType type)
    {
        ref RegisterState reg = ref Regs[regno];
        FuncFrame frame = FrameOf(reg);
        string direction = type == AccessType.Read ? " read from" : " write to";
        long min, max;
        if (reg.IsConst)
        {
            min = (long)reg.VarOff.Value + off;
            max = min + accessSize;
        }
        else
        {
            if (reg.SMax >= MaxVarOff || reg.SMin <= -MaxVarOff)
                Reject(Errno.EACCES, $"invalid unbounded variable-offset{direction} stack R{regno}");
            min = reg.SMin + off;
            max = reg.SMax + off + accessSize;
        }

        long lowest = type == AccessType.Write || AllowUninitStack ? -MaxStack : -frame.AllocatedStack;
        Errno error = min < lowest || min > -1 ? Errno.EACCES : max > 0 ? Errno.EINVAL : accessSize < 0 ? Errno.EFAULT : Errno.None;
        if (error != Errno.None)
        {
            Reject(error, reg.IsConst
                ? $"invalid{direction} stack R{regno} off={min} size={accessSize}"
                : $"invalid variable-offset{direction} stack R{regno} var_off={reg.VarOff} off={off} size={accessSize}");
        }

        GrowStack(frame, (int)-min);
    }

    private void GrowStack(FuncFrame frame, int bytes)
    {
        int slots = (bytes + 7) / 8;
        frame.GrowStack(slots);
        Subprogram subprog = Subprogs[frame.SubprogNo];
        if (slots * 8 > subprog.StackDepth) subprog.StackDepth = slots * 8;
    }

    private void CheckStackRead(int regno, int off, int size, int dst)
    {
        ref RegisterState reg = ref Regs[regno];
        FuncFrame frame = FrameOf(reg);
        if (reg.IsConst)
        {
            CheckStackReadFixed(frame, (int)((long)reg.VarOff.Value + off), size, dst);
            return;
        }

        // A read that does not go to a register could leak pointers, so its place must be known.
        if (dst < 0)
        {
            Reject(Errno.EACCES,
                $"variable offset stack pointer cannot be passed into helper function; var_off={reg.VarOff} off={off} size={size}");
        }

        RawMemory none = default;
        CheckStackRange(regno, off, size, false, AccessType.Read, ref none);
        long min = Regs[regno].SMin + off, max = Regs[regno].SMax + off;
        MarkRegStackRead(frame, (int)min, (int)max + size, dst);
        CheckFastcallStack(frame, InsnIdx, (int)min);
    }

    // Zeros stay zeros; anything else is some number.
    private void MarkRegStackRead(FuncFrame frame, int min, int max, int dst)
    {
        for (int i = min; i < max; i++)
        {
            int slot = -i - 1;
            MarkStackSlotScratched(slot / 8);
            if (frame.Stack[slot / 8].Types[slot % 8] == SlotType.Zero) continue;
            MarkRegUnknown(dst);
            return;
        }

        MarkRegConstZero(dst);
    }

    private void MarkRegConstZero(int regno)
    {
        // A frame number that the register had as a stack pointer outlives this, see TakeOver.
        int frame = Regs[regno].FrameNo;
        Regs[regno].MarkZeroScalar();
        Regs[regno].FrameNo = frame;
    }

    private static int WidthOf(in RegisterState reg) => 64 - BitOperations.LeadingZeroCount(reg.UMax);

    private void CheckStackReadFixed(FuncFrame frame, int off, int size, int dst)
    {
        int slot = -off - 1, spi = slot / 8;
        ref StackSlot cell = ref frame.Stack[spi];
        ref RegisterState spilled = ref cell.Spilled;
        MarkStackSlotScratched(spi);
        CheckFastcallStack(frame, InsnIdx, off);
        MarkStackRead(frame.FrameNo, spi);

        if (!cell.IsSpilled)
        {
            CheckBytesReadable(cell.Types, slot, off, size);
            if (dst >= 0) MarkRegStackRead(frame, off, off + size, dst);
            return;
        }

        int spillSize = 1;
        for (int i = 7; i > 0 && cell.Types[i - 1] == SlotType.Spill; i--) spillSize++;
        bool restores = true;
        if (size != 8 || spillSize != 8)
        {
            if (spilled.Type != RegType.Scalar)
            {
                LogSourceLine(InsnIdx, "; ");
                Reject(Errno.EACCES, "invalid size of register fill");
            }

            if (dst < 0) return;
            restores = FillPartly(ref cell, off, size, spillSize, dst);
        }
        else if (dst >= 0)
        {
            // Unlike a move or a narrow fill this gives no id: a slot whose pointer was lost is not linked to its fills.
            Regs[dst] = spilled;
        }
        else if (!AllowPtrLeaks && spilled.Type != RegType.Scalar)
        {
            Reject(Errno.EACCES, $"leaking pointer from stack off {off}");
        }

        if (restores) PushHistory(StackAccessFlags(frame.FrameNo, spi), 0);
    }

    private bool FillPartly(ref StackSlot cell, int off, int size, int spillSize, int dst)
    {
        ref RegisterState spilled = ref cell.Spilled;
        int slot = -off - 1;
        if (size <= spillSize && off % 8 == 0)
        {
            if (BpfCapable && size == 4 && spillSize == 4 && WidthOf(spilled) <= 32) AssignScalarId(ref spilled);
            Regs[dst] = spilled;
            if (WidthOf(spilled) > size * 8) ClearScalarId(ref Regs[dst]);
            return true;
        }

        int spills = 0, zeros = 0;
        for (int i = 0; i < size; i++)
        {
            switch (cell.Types[(slot - i) & 7])
            {
                case SlotType.Spill: spills++; break;
                case SlotType.Misc: break;
                case SlotType.Zero: zeros++; break;
                case SlotType.Invalid when AllowUninitStack: ReadsUninitStack = true; break;
                default: Reject(Errno.EACCES, $"invalid read from stack off {off}+{i} size {size}"); break;
            }
        }

        if (spills == size && spilled.IsConst && spilled.VarOff.Value == 0)
        {
            MarkRegConstZero(dst);
            return true;
        }

        if (zeros == size) MarkRegConstZero(dst);
        else MarkRegUnknown(dst);
        return false;
    }

    private void CheckBytesReadable(SlotTypes types, int slot, int off, int size)
    {
        for (int i = 0; i < size; i++)
        {
            SlotType type = types[(slot - i) & 7];
            ReadsUninitStack |= type == SlotType.Invalid;
            if (type is SlotType.Misc or SlotType.Zero || (type == SlotType.Invalid && AllowUninitStack)) continue;
            Reject(Errno.EACCES, $"invalid read from stack off {off}+{i} size {size}");
        }
    }

    private void CheckStackWrite(int regno, int off, int size, int valueRegno, int insnIdx)
    {
        ref RegisterState reg = ref Regs[regno];
        FuncFrame frame = FrameOf(reg);
        if (reg.IsConst) CheckStackWriteFixed(frame, (int)((long)reg.VarOff.Value + off), size, valueRegno, insnIdx);
        else CheckStackWriteVariable(frame, regno, off, size, valueRegno, insnIdx);
    }

    private static bool IsStoreImmediate(in Insn insn) => insn.Class == InsnClass.St && insn.Mode == MemMode.Mem;

    /// <summary>Kinds of registers that may be spilled whole.</summary>
    private static bool IsSpillable(RegType type) => type.Base() is RegType.PtrToMapValue or RegType.PtrToStack or RegType.PtrToCtx
        or RegType.PtrToPacket or RegType.PtrToPacketMeta or RegType.PtrToPacketEnd or RegType.PtrToFlowKeys
        or RegType.ConstPtrToMap or RegType.PtrToSocket or RegType.PtrToSockCommon or RegType.PtrToTcpSock
        or RegType.PtrToXdpSock or RegType.PtrToBtfId or RegType.PtrToBuf or RegType.PtrToMem or RegType.PtrToFunc
        or RegType.PtrToMapKey or RegType.PtrToArena;

    private void CheckStackWriteFixed(FuncFrame frame, int off, int size, int valueRegno, int insnIdx)
    {
        int slot = -off - 1, spi = slot / 8;
        ref StackSlot cell = ref frame.Stack[spi];
        ref readonly Insn insn = ref Insns[insnIdx];
        if (!AllowPtrLeaks && cell.IsSpilled && !cell.IsSpilledScalar && size != 8)
            Reject(Errno.EACCES, "attempt to corrupt spilled pointer on stack");

        NoteBypassableStore(cell, size, valueRegno, insnIdx);
        CheckFastcallStack(frame, insnIdx, off);
        DestroyIfDynptrSlot(frame, spi);
        bool aligned = off % 8 == 0;
        if (aligned && size == 8) MarkStackWrite(frame.FrameNo, spi);
        MarkStackSlotScratched(spi);

        if (valueRegno >= 0 && aligned && Regs[valueRegno].Type == RegType.Scalar && BpfCapable)
        {
            ref RegisterState value = ref Regs[valueRegno];
            bool fits = WidthOf(value) <= 8 * size;
            if (fits) AssignScalarId(ref value);
            SaveRegister(ref cell, value, size);
            if (!fits) cell.Spilled.Id = 0;
        }
        else if (valueRegno < 0 && aligned && IsStoreImmediate(insn) && BpfCapable)
        {
            RegisterState constant = default;
            constant.MarkKnown((ulong)insn.Imm);
            constant.Type = RegType.Scalar;
            SaveRegister(ref cell, constant, size);
        }
        else if (valueRegno >= 0 && IsSpillable(Regs[valueRegno].Type))
        {
            if (size != 8)
            {
                LogSourceLine(insnIdx, "; ");
                Reject(Errno.EACCES, "invalid size of register spill");
            }

            if (frame != State.Current && Regs[valueRegno].Type == RegType.PtrToStack)
                Reject(Errno.EINVAL, "cannot spill pointers to stack into stack frame of the caller");
            SaveRegister(ref cell, Regs[valueRegno], size);
        }
        else
        {
            StoreData(ref cell, slot, size, valueRegno, insn);
            return;
        }

        PushHistory(StackAccessFlags(frame.FrameNo, spi), 0);
    }

    // Plain data: whatever the slot held is gone.
    private void StoreData(ref StackSlot cell, int slot, int size, int valueRegno, in Insn insn)
    {
        Scrub(ref cell);
        SlotType type = SlotType.Misc;
        if ((valueRegno >= 0 && Regs[valueRegno].IsNull) || (valueRegno < 0 && IsStoreImmediate(insn) && insn.Imm == 0))
        {
            // The zero is remembered without its register, so the register must be exactly zero.
            if (valueRegno >= 0) MarkChainPrecision(valueRegno);
            type = SlotType.Zero;
        }

        for (int i = 0; i < size; i++) cell.Types[(slot - i) & 7] = type;
    }

    // A register, dynptr or iterator that is overwritten in part is only bytes from then on.
    private static void Scrub(ref StackSlot cell)
    {
        cell.Spilled.Type = RegType.NotInit;
        if (cell.Types[7] is not (SlotType.Spill or SlotType.Dynptr or SlotType.Iter or SlotType.IrqFlag)) return;
        for (int i = 0; i < 8; i++)
        {
            if (cell.Types[i] != SlotType.Invalid) cell.Types[i] = SlotType.Misc;
        }
    }

    private static void SaveRegister(ref StackSlot cell, in RegisterState reg, int size)
    {
        cell.Spilled = reg;
        for (int i = 8 - size; i < 8; i++) cell.Types[i] = SlotType.Spill;
        for (int i = 0; i < 8 - size; i++)
        {
            if (cell.Types[i] is not (SlotType.Zero or SlotType.Invalid)) cell.Types[i] = SlotType.Misc;
        }
    }

    private void CheckStackWriteVariable(FuncFrame frame, int regno, int off, int size, int valueRegno, int insnIdx)
    {
        ref RegisterState pointer = ref Regs[regno];
        ref readonly Insn insn = ref Insns[insnIdx];
        int min = (int)(pointer.SMin + off), max = (int)(pointer.SMax + off) + size;
        bool writesZero = valueRegno >= 0 ? Regs[valueRegno].IsNull : IsStoreImmediate(insn) && insn.Imm == 0;
        bool zeroUsed = false;
        CheckFastcallStack(frame, insnIdx, min);
        for (int i = min; i < max; i++) DestroyIfDynptrSlot(frame, (-i - 1) / 8);

        for (int i = min; i < max; i++)
        {
            int slot = -i - 1, spi = slot / 8;
            ref StackSlot cell = ref frame.Stack[spi];
            SlotType old = cell.Types[slot & 7];
            MarkStackSlotScratched(spi);
            if (!AllowPtrLeaks && old is not (SlotType.Misc or SlotType.Zero))
            {
                Verbose($"spilled ptr in range of var-offset stack write; insn {insnIdx}, ptr off: {i}");
                Reject(Errno.EINVAL);
            }

            // A zero that may or may not be stored over a zero leaves a zero.
            if (writesZero && old == SlotType.Spill && cell.IsSpilledScalar && cell.Spilled.IsConst && cell.Spilled.VarOff.Value == 0)
            {
                zeroUsed = true;
                continue;
            }

            Scrub(ref cell);
            SlotType type = SlotType.Misc;
            if (writesZero && old == SlotType.Zero)
            {
                type = SlotType.Zero;
                zeroUsed = true;
            }

            if (old == SlotType.Invalid && !AllowUninitStack)
            {
                Verbose($"uninit stack in range of var-offset write prohibited for !root; insn {insnIdx}, off: {i}");
                Reject(Errno.EINVAL);
            }

            cell.Types[slot & 7] = type;
        }

        if (zeroUsed && valueRegno >= 0) MarkChainPrecision(valueRegno);
    }

    /// <summary>Checks that stack bytes [off, off+size) behind a register are initialised (or may be written).</summary>
    private void CheckStackRange(int regno, int off, int accessSize, bool zeroSizeAllowed, AccessType type, ref RawMemory raw)
    {
        if (accessSize == 0 && !zeroSizeAllowed) Reject(Errno.EACCES, "invalid zero-sized read");
        CheckStackAccessWithinBounds(regno, off, accessSize, type);
        ref RegisterState reg = ref Regs[regno];
        FuncFrame frame = FrameOf(reg);
        bool clobber = type == AccessType.Write, allowRaw = raw.Allowed;
        int min, max;
        if (reg.IsConst)
        {
            min = max = (int)((long)reg.VarOff.Value + off);
        }
        else
        {
            if (!BypassSpec)
                Reject(Errno.EACCES, $"R{regno} variable offset stack access prohibited for !root, var_off={reg.VarOff}");
            // Which bytes the helper fills is unknown, so all of them must have been initialised before.
            allowRaw = false;
            min = (int)(reg.SMin + off);
            max = (int)(reg.SMax + off);
        }

        if (allowRaw)
        {
            RejectOverDynptr(frame, min, max + accessSize);
            raw.Size = accessSize;
            raw.Regno = regno;
            return;
        }

        for (int i = min; i < max + accessSize; i++)
        {
            int slot = -i - 1, spi = slot / 8;
            if (frame.AllocatedStack <= slot) Reject(Errno.EFAULT, "allocated_stack too small");
            ref StackSlot cell = ref frame.Stack[spi];
            SlotType old = cell.Types[slot & 7];
            if (old == SlotType.Zero || (old == SlotType.Invalid && AllowUninitStack))
            {
                ReadsUninitStack |= old == SlotType.Invalid && !reg.IsConst;
                if (clobber) cell.Types[slot & 7] = SlotType.Misc;
            }
            else if (old != SlotType.Misc)
            {
                if (!cell.IsSpilled || !(cell.Spilled.Type == RegType.Scalar || AllowPtrLeaks))
                {
                    Reject(Errno.EACCES, reg.IsConst
                        ? $"invalid read from stack R{regno} off {min}+{i - min} size {accessSize}"
                        : $"invalid read from stack R{regno} var_off {reg.VarOff}+{i - min} size {accessSize}");
                }

                if (clobber)
                {
                    cell.Spilled.MarkUnknown(!BpfCapable);
                    for (int j = 0; j < 8; j++)
                    {
                        if (cell.Types[j] != SlotType.Invalid) cell.Types[j] = SlotType.Misc;
                    }
                }
            }

            MarkStackRead(reg.FrameNo, spi);
        }
    }

    private void RejectOverDynptr(FuncFrame frame, int min, int end)
    {
        for (int i = min; i < end; i++)
        {
            int slot = -i - 1;
            if (frame.AllocatedStack > slot && frame.Stack[slot / 8].Types[slot & 7] == SlotType.Dynptr)
                Reject(Errno.EACCES, $"potential write to dynptr at off={i} disallowed");
        }
    }
}
