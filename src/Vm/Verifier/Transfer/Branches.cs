using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Conditional jumps: which side can be taken, and what each side learns.
internal sealed partial class ProgramVerifier
{
    /// <summary>Packet pointers: known to lie at, or behind, the packet's end.</summary>
    private const int AtPacketEnd = -1, BeyondPacketEnd = -2;

    private const int MaxPacketOff = 0xffff;

    private RegisterState _immediate, _immediateCopy;
    private readonly List<LinkedReg> _linked = [];

    private void CheckConditionalJump(in Insn insn)
    {
        JmpOp op = insn.JmpOp;
        if (op > JmpOp.Jcond) Reject(Errno.EINVAL, $"invalid BPF_JMP/JMP32 opcode {(int)op:x}");
        if (op == JmpOp.Jcond)
        {
            CheckMayGoto(insn);
            return;
        }

        bool is32 = insn.Class == InsnClass.Jmp32, byRegister = insn.Source == OperandSource.X;
        CheckRegArg(insn.Dst, RegUse.Source);
        HistoryFlags flags = HistoryFlags.None;
        if (byRegister)
        {
            if (insn.Imm != 0) Reject(Errno.EINVAL, "BPF_JMP/JMP32 uses reserved fields");
            CheckRegArg(insn.Src, RegUse.Source);
            if (!(Regs[insn.Dst].Type.IsPacketAny() && Regs[insn.Src].Type.IsPacketAny()) && IsPointerValue(insn.Src))
                Reject(Errno.EACCES, $"R{insn.Src} pointer comparison prohibited");
            if (Regs[insn.Src].Type == RegType.PtrToStack) flags |= HistoryFlags.SrcRegStack;
        }
        else
        {
            if (insn.Src != 0) Reject(Errno.EINVAL, "BPF_JMP/JMP32 uses reserved fields");
            _immediate = default;
            _immediate.Type = RegType.Scalar;
            _immediate.Bounds = ScalarRange.Const((ulong)insn.Imm);
        }

        if (Regs[insn.Dst].Type == RegType.PtrToStack) flags |= HistoryFlags.DstRegStack;
        if (flags != 0) PushHistory(flags, 0);

        bool? taken = Predict(insn, op, is32);
        if (taken is { } decided)
        {
            if (Regs[insn.Dst].Type == RegType.Scalar) MarkChainPrecision(insn.Dst);
            if (byRegister && Regs[insn.Src].Type == RegType.Scalar) MarkChainPrecision(insn.Src);
            if (!BypassSpec) PushSpeculative(insn, decided ? InsnIdx + 1 : InsnIdx + insn.Off + 1);
            if (Log.Enabled) PrintInsnState(State, State.CurFrame);
            if (decided) InsnIdx += insn.Off;
            return;
        }

        LinkRegisters(insn, byRegister);
        VerifierState other = PushState(InsnIdx + insn.Off + 1, InsnIdx, false, Errno.EFAULT);
        RefineBoth(insn, op, is32, byRegister, other);
        if (_linked.Count > 0)
        {
            if (byRegister && Regs[insn.Src].Type == RegType.Scalar && Regs[insn.Src].Id != 0
                && Regs[insn.Src].Id == other.Current.Regs[insn.Src].Id)
            {
                SyncLinked(State, Regs[insn.Src], insn.Src);
                SyncLinked(other, other.Current.Regs[insn.Src], insn.Src);
            }

            if (Regs[insn.Dst].Type == RegType.Scalar && Regs[insn.Dst].Id != 0
                && Regs[insn.Dst].Id == other.Current.Regs[insn.Dst].Id)
            {
                SyncLinked(State, Regs[insn.Dst], insn.Dst);
                SyncLinked(other, other.Current.Regs[insn.Dst], insn.Dst);
            }
        }

        if (!is32) LearnOfPointers(insn, op, byRegister, other);
        else if (IsPointerValue(insn.Dst)) Reject(Errno.EACCES, $"R{insn.Dst} pointer comparison prohibited");
        if (Log.Enabled) PrintInsnState(State, State.CurFrame);
    }

    private void CheckMayGoto(in Insn insn)
    {
        if (insn.Code != ((byte)InsnClass.Jmp | (byte)JmpOp.Jcond) || insn.Src != 0 || insn.Dst != 0 || insn.Imm != 0)
            Reject(Errno.EINVAL, $"invalid may_goto imm {insn.Imm}");
        // The parent is this very instruction's checkpoint.
        VerifierState? previous = FindPreviousEntry(State.Parent, InsnIdx);
        VerifierState queued = PushState(InsnIdx + 1, InsnIdx, false, Errno.ENOMEM);
        queued.MayGotoDepth++;
        if (previous != null) WidenImpreciseScalars(previous, queued);
        InsnIdx += insn.Off;
    }

    /// <summary>Whether the jump is taken for certain (true), never (false), or depends (null).</summary>
    private bool? Predict(in Insn insn, JmpOp op, bool is32)
    {
        ref RegisterState a = ref Regs[insn.Dst];
        ref RegisterState b = ref insn.Source == OperandSource.X ? ref Regs[insn.Src] : ref _immediate;
        if (a.Type == RegType.Scalar && b.Type == RegType.Scalar) return ScalarRange.Decide(a.Bounds, b.Bounds, op, is32);
        if (!is32 && a.Type.IsPacketAny() && b.Type.IsPacketAny()) return PredictPacket(a, b, op);

        ref RegisterState pointer = ref a;
        ref RegisterState number = ref b;
        if (!IsKnownNumber(number, is32))
        {
            op = ScalarRange.Flip(op);
            pointer = ref b;
            number = ref a;
        }

        if (!IsKnownNumber(number, is32) || !IsNeverNull(pointer)) return null;
        ulong value = is32 ? (uint)number.VarOff.Value : number.VarOff.Value;
        if (value != 0) return null;
        return op switch
        {
            JmpOp.Jeq => false,
            JmpOp.Jne => true,
            _ => null,
        };
    }

    private static bool IsKnownNumber(in RegisterState reg, bool is32) =>
        reg.Type == RegType.Scalar && (is32 ? reg.Bounds.IsSubregConst : reg.IsConst);

    private static bool IsNeverNull(in RegisterState reg)
    {
        if (reg.Type.MayBeNull()) return false;
        return reg.Type.Base() switch
        {
            RegType.PtrToSocket or RegType.PtrToTcpSock or RegType.PtrToMapValue or RegType.PtrToMapKey
                or RegType.PtrToSockCommon or RegType.ConstPtrToMap => true,
            RegType.PtrToBtfId => reg.RefObjId != 0 || (reg.Type.HasAny(RegType.PtrTrusted | RegType.MemAlloc | RegType.NonOwnRef)
                && (reg.Type & RegType.FlagMask & ~(RegType.PtrTrusted | RegType.MemAlloc | RegType.NonOwnRef)) == 0),
            RegType.PtrToMem => !reg.Type.Has(RegType.PtrUntrusted),
            _ => false,
        };
    }

    private static bool? PredictPacket(in RegisterState a, in RegisterState b, JmpOp op)
    {
        int range;
        if (b.Type == RegType.PtrToPacketEnd)
        {
            range = a.Range;
        }
        else if (a.Type == RegType.PtrToPacketEnd)
        {
            range = b.Range;
            op = ScalarRange.Flip(op);
        }
        else
        {
            return null;
        }

        if (range >= 0) return null;
        return op switch
        {
            JmpOp.Jle or JmpOp.Jgt when range == BeyondPacketEnd => op == JmpOp.Jgt,
            JmpOp.Jlt or JmpOp.Jge => op == JmpOp.Jge,
            _ => null,
        };
    }

    private void RefineBoth(in Insn insn, JmpOp op, bool is32, bool byRegister, VerifierState other)
    {
        RegisterState[] here = Regs, there = other.Current.Regs;
        ref RegisterState a = ref here[insn.Dst], a2 = ref there[insn.Dst];
        if (byRegister)
        {
            ref RegisterState b = ref here[insn.Src], b2 = ref there[insn.Src];
            if (a.Type != RegType.Scalar || b.Type != RegType.Scalar) return;
            ScalarRange.Refine(ref a2.Bounds, ref b2.Bounds, op, is32, true);
            ScalarRange.Refine(ref a.Bounds, ref b.Bounds, op, is32, false);
            CheckBoundsSanity(ref a2, "true_reg1");
            CheckBoundsSanity(ref b2, "true_reg2");
            CheckBoundsSanity(ref a, "false_reg1");
            CheckBoundsSanity(ref b, "false_reg2");
        }
        else
        {
            if (a.Type != RegType.Scalar) return;
            _immediateCopy = _immediate;
            ScalarRange.Refine(ref a2.Bounds, ref _immediate.Bounds, op, is32, true);
            ScalarRange.Refine(ref a.Bounds, ref _immediateCopy.Bounds, op, is32, false);
            CheckBoundsSanity(ref a2, "true_reg1");
            CheckBoundsSanity(ref _immediate, "true_reg2");
            CheckBoundsSanity(ref a, "false_reg1");
            CheckBoundsSanity(ref _immediateCopy, "false_reg2");
        }
    }

    private void LearnOfPointers(in Insn insn, JmpOp op, bool byRegister, VerifierState other)
    {
        RegisterState[] here = Regs, there = other.Current.Regs;
        ref RegisterState dst = ref here[insn.Dst];
        if (byRegister)
        {
            ref RegisterState src = ref here[insn.Src];
            // Equal to a pointer that is not NULL means not NULL; BTF pointers may be NULL without saying so.
            if (src.Type.IsPointer() && dst.Type.IsPointer() && src.Type.MayBeNull() != dst.Type.MayBeNull()
                && src.Type.Base() != RegType.PtrToBtfId && dst.Type.Base() != RegType.PtrToBtfId
                && op is JmpOp.Jeq or JmpOp.Jne && src.Type.IsPointer() && dst.Type.IsPointer())
            {
                RegisterState[] equal = op == JmpOp.Jeq ? there : here;
                MarkNotNull(ref equal[src.Type.MayBeNull() ? insn.Src : insn.Dst]);
            }
        }

        // Only the number 0 in the instruction itself is a test for NULL; a register that holds it is none.
        if (op is JmpOp.Jeq or JmpOp.Jne && dst.Type.MayBeNull() && !byRegister && insn.Imm == 0)
        {
            MarkPtrOrNullRegs(State, insn.Dst, op == JmpOp.Jne);
            MarkPtrOrNullRegs(other, insn.Dst, op == JmpOp.Jeq);
        }
        else if (!(byRegister && MatchPacketPointers(insn, op, other)) && IsPointerValue(insn.Dst))
        {
            Reject(Errno.EACCES, $"R{insn.Dst} pointer comparison prohibited");
        }
    }

    /// <summary>All registers with this id are known to be NULL, or not.</summary>
    private void MarkPtrOrNullRegs(VerifierState state, int regno, bool isNull)
    {
        ref RegisterState tested = ref state.Current.Regs[regno];
        uint id = tested.Id, refId = tested.RefObjId;
        // On the NULL side nothing was acquired after all.
        if (refId != 0 && refId == id && isNull) ForgetReference(state, id);
        for (int f = 0; f <= state.CurFrame; f++)
        {
            if (f < state.CurFrame && !state.Peek(f).HasId(id)) continue;
            FuncFrame frame = state.Frames[f]!;
            for (int i = 0; i < 10; i++) MarkPtrOrNull(ref frame.Regs[i], id, isNull);
            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].IsSpilled) MarkPtrOrNull(ref frame.Stack[i].Spilled, id, isNull);
            }
        }
    }

    private static void ForgetReference(VerifierState state, uint id)
    {
        for (int i = 0; i < state.RefCount; i++)
        {
            if (state.Refs[i].Kind != ReferenceKind.Pointer || state.Refs[i].Id != id) continue;
            state.RemoveRefAt(i);
            return;
        }
    }

    private void MarkPtrOrNull(ref RegisterState reg, uint id, bool isNull)
    {
        if (!reg.Type.MayBeNull() || reg.Id != id) return;
        if (reg.SMin != 0 || reg.SMax != 0 || !reg.IsConst || reg.VarOff.Value != 0) return;
        if (reg.Off != 0 && !reg.Type.HasAny(RegType.MemAlloc | RegType.NonOwnRef)) return;
        if (isNull)
        {
            reg.MarkZeroScalar();
            return;
        }

        MarkNotNull(ref reg);
        if (!MayPointToSpinLock(reg)) reg.Id = 0;
    }

    private bool MayPointToSpinLock(in RegisterState reg)
    {
        if (reg.Type.Base() == RegType.PtrToBtfId && reg.Type.Has(RegType.MemAlloc))
            return HasField(RecordOf(reg), SpecialFieldKind.SpinLock) || HasField(RecordOf(reg), SpecialFieldKind.ResSpinLock);
        if (reg.Type.Base() != RegType.PtrToMapValue) return false;
        foreach (SpecialField field in Maps[reg.MapIndex].SpecialFields)
        {
            if (field.Kind is SpecialFieldKind.SpinLock or SpecialFieldKind.ResSpinLock) return true;
        }

        return false;
    }

    /// <summary>Takes "or NULL" away; what a lookup found becomes what the kind of map holds.</summary>
    private void MarkNotNull(ref RegisterState reg)
    {
        if (reg.Type.Base() != RegType.PtrToMapValue)
        {
            reg.Type &= ~RegType.PtrMaybeNull;
            return;
        }

        MapSpec map = Maps[reg.MapIndex];
        if (map.InnerMap is { } inner)
        {
            reg.Type = RegType.ConstPtrToMap;
            reg.MapIndex = InnerMapIndex(inner);
            // Timers of different inner maps of one blueprint must be told apart.
            bool timed = inner.SpecialFields.Any(f => f.Kind is SpecialFieldKind.Timer or SpecialFieldKind.Workqueue or SpecialFieldKind.TaskWork);
            reg.MapUid = timed ? reg.Id : 0;
        }
        else
        {
            reg.Type = map.Type switch
            {
                MapType.Xskmap => RegType.PtrToXdpSock,
                MapType.Sockmap or MapType.Sockhash => RegType.PtrToSocket,
                _ => RegType.PtrToMapValue,
            };
        }
    }

    /// <summary>The index under which an inner map's blueprint stands in <see cref="Maps"/>.</summary>
    private int InnerMapIndex(MapSpec inner)
    {
        int index = Maps.FindIndex(m => ReferenceEquals(m, inner));
        if (index >= 0) return index;
        // An inner map has no name of its own: the kernel keeps only its properties.
        Maps.Add(inner);
        return Maps.Count - 1;
    }

    private bool MatchPacketPointers(in Insn insn, JmpOp op, VerifierState other)
    {
        ref RegisterState dst = ref Regs[insn.Dst], src = ref Regs[insn.Src];
        bool forward = IsCheckedAgainst(dst, src), backward = IsCheckedAgainst(src, dst);
        if (!forward && !backward) return false;
        int regno = forward ? insn.Dst : insn.Src;
        if (backward && !forward) op = ScalarRange.Flip(op);
        switch (op)
        {
            case JmpOp.Jgt: LearnPacket(State, other, regno, openRight: false); return true;
            case JmpOp.Jlt: LearnPacket(other, State, regno, openRight: true); return true;
            case JmpOp.Jge: LearnPacket(State, other, regno, openRight: true); return true;
            case JmpOp.Jle: LearnPacket(other, State, regno, openRight: false); return true;
            default: return false;
        }
    }

    // Packet data against its end, or metadata against the start of data.
    private static bool IsCheckedAgainst(in RegisterState pointer, in RegisterState limit) =>
        (pointer.Type == RegType.PtrToPacket && limit.Type == RegType.PtrToPacketEnd)
        || (pointer.Type == RegType.PtrToPacketMeta && limit.Type == RegType.PtrToPacket && limit.Id == 0 && limit.Off == 0
            && limit.IsConst && limit.VarOff.Value == 0);

    private static void LearnPacket(VerifierState inside, VerifierState outside, int regno, bool openRight)
    {
        FindGoodPacketPointers(inside, inside.Current.Regs[regno], openRight);
        ref RegisterState beyond = ref outside.Current.Regs[regno];
        if (beyond.Type == RegType.PtrToPacket) beyond.Range = openRight ? AtPacketEnd : BeyondPacketEnd;
    }

    private static void FindGoodPacketPointers(VerifierState state, RegisterState pointer, bool openRight)
    {
        if (pointer.Off < 0 || (pointer.Off == 0 && openRight)) return;
        if (pointer.UMax > MaxPacketOff || pointer.UMax + (ulong)pointer.Off > MaxPacketOff) return;
        int range = pointer.Off + (openRight ? 1 : 0);
        for (int f = 0; f <= state.CurFrame; f++)
        {
            if (f < state.CurFrame && !state.Peek(f).HasId(pointer.Id)) continue;
            FuncFrame frame = state.Frames[f]!;
            for (int i = 0; i < 10; i++) Widen(ref frame.Regs[i]);
            for (int i = 0; i < frame.StackSlots; i++)
            {
                if (frame.Stack[i].IsSpilled) Widen(ref frame.Stack[i].Spilled);
            }
        }

        void Widen(ref RegisterState reg)
        {
            if (reg.Type == pointer.Type && reg.Id == pointer.Id) reg.Range = Math.Max(reg.Range, range);
        }
    }
}
