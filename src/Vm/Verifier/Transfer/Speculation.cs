using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// What a program without CAP_PERFMON may not do because a misspeculating CPU would do it too.
internal sealed partial class ProgramVerifier
{
    private const string ProhibitedAlu = "pointer arithmetic with it prohibited for !root";

    /// <summary>The side of a decided branch that only a misspeculating CPU takes is walked as well; there nothing is known of the operands.</summary>
    private void PushSpeculative(in Insn insn, int target)
    {
        RegisterState[] regs = PushState(target, InsnIdx, true).Current.Regs;
        regs[insn.Dst].MarkUnknown(!BpfCapable);
        if (insn.Source == OperandSource.X) regs[insn.Src].MarkUnknown(!BpfCapable);
    }

    /// <summary>
    /// An instruction on a path that only a misspeculating CPU takes. What is forbidden there rejects nothing: a
    /// barrier before the instruction ends the speculation.
    /// </summary>
    private bool CheckInsnSpeculatively(in Insn insn, ref bool printState, ref bool touchesStack)
    {
        int at = InsnIdx;
        try
        {
            return CheckInsn(insn, ref printState) || Aux[at].BarrierBehind;
        }
        catch (VerifierReject reject) when (reject.Errno is Errno.EPERM or Errno.EACCES or Errno.EINVAL)
        {
            Aux[at].Barrier = true;
            Aux[at].AluMask = AluMask.None;
            touchesStack = false;
            return true;
        }
    }

    /// <summary>A store that a CPU could pass by, leaving a pointer or other things behind: a barrier must follow.</summary>
    private void NoteBypassableStore(in StackSlot cell, int size, int valueRegno, int insnIdx)
    {
        if (BypassSpec) return;
        bool unsafeStore = valueRegno >= 0 && IsSpillable(Regs[valueRegno].Type);
        for (int i = 0; i < size && !unsafeStore; i++) unsafeStore = cell.Types[i] is not (SlotType.Misc or SlotType.Zero);
        if (unsafeStore) Aux[insnIdx].BarrierBehind = true;
    }

    private bool NeedsAluMask(in Insn insn) =>
        !BypassSpec && insn.Source == OperandSource.X && insn.AluOp is AluOp.Add or AluOp.Sub && !Aux[InsnIdx].Barrier;

    /// <summary>Numbers are added unmasked: on another path the same instruction must not move a pointer.</summary>
    private void SanitizeScalarAlu(in Insn insn)
    {
        if (!NeedsAluMask(insn)) return;
        if (!SetAluMask(AluMask.Number, 0)) RejectAlu(insn, "from different maps, paths or scalars");
    }

    private bool SetAluMask(AluMask mask, uint limit)
    {
        ref InsnAux aux = ref Aux[InsnIdx];
        if (aux.AluMask != AluMask.None && (aux.AluMask != mask || aux.AluLimit != limit)) return false;
        aux.AluMask = mask;
        aux.AluLimit = limit;
        return true;
    }

    private void RejectAlu(in Insn insn, string why) =>
        Reject(Errno.EACCES, $"R{insn.Dst} tried to {(insn.AluOp == AluOp.Add ? "add" : "sub")} {why}, {ProhibitedAlu}");

    /// <summary>
    /// Before a pointer moves: the rewrites mask the offset so that a misspeculating CPU stays inside; what the mask is
    /// must not depend on the path. Returns how far the pointer may move, and in which direction.
    /// </summary>
    private (AluMask Mask, uint Limit, bool Left) SanitizePointerAlu(in Insn insn, in RegisterState pointer, in ScalarRange offset, bool offsetIsDestination)
    {
        if (!NeedsAluMask(insn)) return default;
        bool negative = offset.SMin < 0;
        (AluMask mask, uint limit, bool left) = (AluMask.None, 0u, false);
        if (!State.Speculative)
        {
            if (!offset.IsConst && negative != offset.SMax < 0)
            {
                Reject(Errno.EACCES,
                    $"R{(offsetIsDestination ? insn.Dst : insn.Src)} has unknown scalar with mixed signed bounds, {ProhibitedAlu}");
            }

            left = insn.AluOp == AluOp.Add ? negative : !negative;
            limit = AluLimitOf(insn, pointer, left, offsetIsDestination);
            mask = AluMask.Pointer | (negative ? AluMask.Negative : 0) | (offset.IsConst ? AluMask.Constant : 0)
                | (offsetIsDestination ? AluMask.MasksDestination : 0);
            if (!offset.IsConst) _compare.ExploreAluLimits = true;
        }

        // With the offset masked away, the pointer stays where it was: that path is walked as well.
        if (offset.IsConst) return (mask, limit, left);
        RegisterState[] regs = PushState(InsnIdx + 1, InsnIdx, true).Current.Regs;
        if (offsetIsDestination)
        {
            regs[insn.Dst] = pointer;
        }
        else
        {
            regs[insn.Dst].Bounds.Unbound32();
        }

        return (mask, limit, left);
    }

    /// <summary>After the move: how far the pointer came says how wide the mask must be.</summary>
    private void CommitPointerAlu(in Insn insn, (AluMask Mask, uint Limit, bool Left) before, bool offsetIsDestination)
    {
        if (State.Speculative || !NeedsAluMask(insn)) return;
        uint limit = AluLimitOf(insn, Regs[insn.Dst], before.Left, offsetIsDestination);
        if (!SetAluMask(before.Mask, (uint)Math.Abs((int)(before.Limit - limit)))) RejectAlu(insn, "from different maps, paths or scalars");
    }

    private uint AluLimitOf(in Insn insn, in RegisterState pointer, bool left, bool offsetIsDestination)
    {
        uint max, limit;
        switch (pointer.Type)
        {
            case RegType.PtrToStack:
                max = (uint)(MaxStack + (left ? 1 : 0));
                limit = (uint)-((long)pointer.VarOff.Value + pointer.Off);
                break;
            case RegType.PtrToMapValue:
                max = Maps[pointer.MapIndex].ValueSize;
                limit = (uint)((left ? (ulong)pointer.SMin : pointer.UMax) + (ulong)pointer.Off);
                break;
            default:
                Reject(Errno.EACCES,
                    $"R{(offsetIsDestination ? insn.Src : insn.Dst)} has pointer with unsupported alu operation, {ProhibitedAlu}");
                return 0;
        }

        if (limit >= max) RejectAlu(insn, "beyond pointer bounds");
        return limit;
    }

    private void SanitizeCheckBounds(in Insn insn)
    {
        if (BypassSpec) return;
        ref RegisterState dst = ref Regs[insn.Dst];
        switch (dst.Type)
        {
            case RegType.PtrToStack:
                long off = dst.Off + (long)dst.VarOff.Value;
                if (!dst.IsConst)
                    Reject(Errno.EACCES, $"R{insn.Dst} variable stack access prohibited for !root, var_off={dst.VarOff} off={(int)off}");
                if ((int)off is >= 0 or < -MaxStack)
                    Reject(Errno.EACCES, $"R{insn.Dst} stack pointer arithmetic goes out of range, prohibited for !root; off={(int)off}");
                break;
            case RegType.PtrToMapValue:
                try
                {
                    CheckMapAccess(insn.Dst, dst.Off, 1, false, AccessType.Read, fromHelper: true);
                }
                catch (VerifierReject)
                {
                    Reject(Errno.EACCES, $"R{insn.Dst} pointer arithmetic of map value goes out of range, prohibited for !root");
                }

                break;
        }
    }

    /// <summary>
    /// Without CAP_PERFMON a tail call's index is masked by the size of its array, which must be the same on all paths.
    /// </summary>
    private void CheckTailCallMaps()
    {
        if (BypassSpec) return;
        for (int i = 0; i < Insns.Length; i++)
        {
            if (Insns[i].IsHelperCall && Insns[i].Imm == HelperId.TailCall && Aux[i].MapIndex == -1)
                Reject(Errno.EINVAL, "tail_call abusing map_ptr");
        }
    }
}
