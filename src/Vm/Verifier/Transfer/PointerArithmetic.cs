using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Pointer plus or minus a number; everything else on pointers is refused.
internal sealed partial class ProgramVerifier
{
    private void AdjustPointer(in Insn insn, in RegisterState target, in RegisterState number, bool offsetIsDestination)
    {
        ref RegisterState dst = ref Regs[insn.Dst];
        // Copies: one of the two is the destination.
        RegisterState pointer = target;
        ScalarRange offset = number.Bounds;
        int distance = number.Off;
        AluOp op = insn.AluOp;
        bool known = offset.IsConst;
        if ((known && (offset.SMin != offset.SMax || offset.UMin != offset.UMax))
            || offset.SMin > offset.SMax || offset.UMin > offset.UMax)
        {
            // Contradictory bounds come from paths that are never taken.
            dst.MarkUnknown(!BpfCapable);
            return;
        }

        if (insn.Class != InsnClass.Alu64)
        {
            if (op != AluOp.Sub || !AllowPtrLeaks) Reject(Errno.EACCES, $"R{insn.Dst} 32-bit pointer arithmetic prohibited");
            dst.MarkUnknown(!BpfCapable);
            return;
        }

        if (pointer.Type.MayBeNull())
        {
            Reject(Errno.EACCES,
                $"R{insn.Dst} pointer arithmetic on {RegTypeName(pointer.Type)} prohibited, null-check it first");
        }

        if (pointer.Type.Base() == RegType.PtrToMem && pointer.Type.Has(RegType.PtrUntrusted)) return;
        CheckArithmeticAllowed(insn, pointer, known, offset.SMin);

        // With "number += pointer" the result takes over the pointer's kind.
        RegisterState result = dst;
        result.Type = pointer.Type;
        result.Id = pointer.Id;
        if (offsetIsDestination) result.Off = 0;

        CheckSaneOffset(offset, distance, pointer.Type);
        CheckSaneOffset(pointer.Bounds, pointer.Off, pointer.Type);
        var mask = SanitizePointerAlu(insn, pointer, offset, offsetIsDestination);
        result.Bounds.Unbound32();
        switch (op)
        {
            case AluOp.Add: AddToPointer(ref result, pointer, offset, known); break;
            case AluOp.Sub:
                if (offsetIsDestination) Reject(Errno.EACCES, $"R{insn.Dst} tried to subtract pointer from scalar");
                if (pointer.Type == RegType.PtrToStack)
                    Reject(Errno.EACCES, $"R{insn.Dst} subtraction from stack pointer prohibited");
                SubtractFromPointer(ref result, pointer, offset, known);
                break;
            case AluOp.And or AluOp.Or or AluOp.Xor:
                Reject(Errno.EACCES, $"R{insn.Dst} bitwise operator {AluText(op)} on pointer prohibited");
                break;
            default:
                Reject(Errno.EACCES, $"R{insn.Dst} pointer arithmetic with {AluText(op)} operator prohibited");
                break;
        }

        CheckSaneOffset(result.Bounds, result.Off, pointer.Type);
        result.Bounds.Sync();
        dst = result;
        SanitizeCheckBounds(insn);
        CommitPointerAlu(insn, mask, offsetIsDestination);
    }

    private void CheckArithmeticAllowed(in Insn insn, in RegisterState pointer, bool known, long value)
    {
        switch (pointer.Type.Base())
        {
            case RegType.PtrToCtx or RegType.PtrToMapValue or RegType.PtrToMapKey or RegType.PtrToStack
                or RegType.PtrToPacketMeta or RegType.PtrToPacket or RegType.PtrToTpBuffer or RegType.PtrToBtfId
                or RegType.PtrToMem or RegType.PtrToBuf or RegType.PtrToFunc or RegType.ConstPtrToDynptr:
                return;
            case RegType.PtrToFlowKeys when known:
                return;
            case RegType.PtrToFlowKeys or RegType.ConstPtrToMap when known && value == 0 && insn.AluOp == AluOp.Add:
                return;
        }

        Reject(Errno.EACCES, $"R{insn.Dst} pointer arithmetic on {RegTypeName(pointer.Type)} prohibited");
    }

    private void CheckSaneOffset(in ScalarRange bounds, int off, RegType type)
    {
        long value = (long)bounds.VarOff.Value;
        if (bounds.IsConst && value is >= MaxVarOff or <= -MaxVarOff && bounds.IsConst)
            Reject(Errno.EINVAL, $"math between {RegTypeName(type)} pointer and {value} is not allowed");
        if (off is >= MaxVarOff or <= -MaxVarOff)
            Reject(Errno.EINVAL, $"{RegTypeName(type)} pointer offset {off} is not allowed");
        if (bounds.SMin == long.MinValue)
        {
            Reject(Errno.EINVAL,
                $"math between {RegTypeName(type)} pointer and register with unbounded min value is not allowed");
        }

        if (bounds.SMin is >= MaxVarOff or <= -MaxVarOff)
            Reject(Errno.EINVAL, $"value {bounds.SMin} makes {RegTypeName(type)} pointer be out of bounds");
    }

    private static void TakeOver(ref RegisterState result, in RegisterState pointer)
    {
        // Everything that belongs to the kind of pointer, but neither ids nor offset; Linux forgets the reference and
        // the frame of the pointer in "number += pointer", too.
        RegisterState copy = pointer;
        copy.Id = result.Id;
        copy.Precise = result.Precise;
        copy.RefObjId = result.RefObjId;
        copy.FrameNo = result.FrameNo;
        copy.Bounds = result.Bounds;
        copy.Off = result.Off;
        result = copy;
    }

    private void AddToPointer(ref RegisterState result, in RegisterState pointer, in ScalarRange offset, bool known)
    {
        TakeOver(ref result, pointer);
        long total = pointer.Off + offset.SMin;
        if (known && total == (int)total)
        {
            SetWide(ref result.Bounds, pointer.Bounds);
            result.Off = (int)total;
            return;
        }

        long smin = pointer.SMin + offset.SMin, smax = pointer.SMax + offset.SMax;
        bool overflows = ((pointer.SMin ^ smin) & (offset.SMin ^ smin)) < 0 || ((pointer.SMax ^ smax) & (offset.SMax ^ smax)) < 0;
        (result.Bounds.SMin, result.Bounds.SMax) = overflows ? (long.MinValue, long.MaxValue) : (smin, smax);
        ulong umin = pointer.UMin + offset.UMin, umax = pointer.UMax + offset.UMax;
        (result.Bounds.UMin, result.Bounds.UMax) =
            umin < offset.UMin || umax < offset.UMax ? (0, ulong.MaxValue) : (umin, umax);
        result.Bounds.VarOff = pointer.VarOff + offset.VarOff;
        result.Off = pointer.Off;
        if (!pointer.Type.IsPacket()) return;
        // A new base: comparisons with the end learnt about the old one say nothing of it.
        result.Id = NewId();
        result.Range = 0;
    }

    private void SubtractFromPointer(ref RegisterState result, in RegisterState pointer, in ScalarRange offset, bool known)
    {
        TakeOver(ref result, pointer);
        long total = pointer.Off - offset.SMin;
        if (known && total == (int)total)
        {
            SetWide(ref result.Bounds, pointer.Bounds);
            result.Id = pointer.Id;
            result.Off = (int)total;
            return;
        }

        long smin = pointer.SMin - offset.SMax, smax = pointer.SMax - offset.SMin;
        bool overflows = ((pointer.SMin ^ offset.SMax) & (pointer.SMin ^ smin)) < 0
            || ((pointer.SMax ^ offset.SMin) & (pointer.SMax ^ smax)) < 0;
        (result.Bounds.SMin, result.Bounds.SMax) = overflows ? (long.MinValue, long.MaxValue) : (smin, smax);
        (result.Bounds.UMin, result.Bounds.UMax) = pointer.UMin < offset.UMax
            ? (0, ulong.MaxValue)
            : (pointer.UMin - offset.UMax, pointer.UMax - offset.UMin);
        result.Bounds.VarOff = pointer.VarOff - offset.VarOff;
        result.Off = pointer.Off;
        if (!pointer.Type.IsPacket()) return;
        result.Id = NewId();
        if (offset.SMin < 0) result.Range = 0;
    }

    private static void SetWide(ref ScalarRange to, in ScalarRange from) =>
        (to.SMin, to.SMax, to.UMin, to.UMax, to.VarOff) = (from.SMin, from.SMax, from.UMin, from.UMax, from.VarOff);
}
