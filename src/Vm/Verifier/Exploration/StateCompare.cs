using BpfSim.Vm.Verifier.Domains;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>How alike two states must be.</summary>
internal enum Exactness
{
    /// <summary>The new state is covered by the old one, numbers without precision mark aside.</summary>
    NotExact,
    /// <summary>Equal.</summary>
    Exact,
    /// <summary>Covered, and all numbers count: the old state is not fully explored.</summary>
    RangeWithin,
}

/// <summary>
/// Whether everything that was proved from an old state holds for a new one: each value of the new one
/// must be possible in the old one, with the same relations between ids.
/// </summary>
internal sealed class StateCompare(InsnAux[] aux, bool allowUninitStack, bool allNumbers)
{
    private const int MaxIds = 600;

    /// <summary>Some pointer moves by an unknown number: its mask depends on the path, so that only equal numbers count as seen.</summary>
    public bool ExploreAluLimits { get; set; }

    private readonly uint[] _oldIds = new uint[MaxIds];
    private readonly uint[] _newIds = new uint[MaxIds];
    private int _ids, _loners;
    private uint _temporaryId;
    private RegisterState _unbound = UnknownScalar();

    private static RegisterState UnknownScalar()
    {
        RegisterState reg = default;
        reg.MarkUnknown(false);
        return reg;
    }

    /// <summary>Whether the old state's verdict holds for the new one; ids above the generator are free for numbers without id.</summary>
    public bool Equal(VerifierState old, VerifierState cur, Exactness exact, uint idGenerator)
    {
        if (old.CurFrame != cur.CurFrame) return false;
        _ids = _loners = 0;
        _temporaryId = idGenerator;
        if (old.Speculative && !cur.Speculative) return false;
        if (old.InSleepable != cur.InSleepable) return false;
        if (!ResourcesEqual(old, cur)) return false;
        for (int f = 0; f <= old.CurFrame; f++)
        {
            if (old.Peek(f).CallSite != cur.Peek(f).CallSite) return false;
            int insn = f == old.CurFrame ? old.InsnIdx : old.Peek(f + 1).CallSite;
            if (!FramesEqual(old.Peek(f), cur.Peek(f), aux[insn].LiveRegsBefore, exact)) return false;
        }

        return true;
    }

    private bool FramesEqual(FuncFrame old, FuncFrame cur, int live, Exactness exact)
    {
        if (old.CallbackDepth > cur.CallbackDepth) return false;
        for (int i = 0; i < 11; i++)
        {
            if ((live & (1 << i)) != 0 && !RegSafe(ref old.Regs[i], ref cur.Regs[i], exact)) return false;
        }

        return StackSafe(old, cur, exact);
    }

    private bool CheckIds(uint old, uint cur)
    {
        if (old == 0 != (cur == 0)) return false;
        if (old == 0) return true;
        for (int i = 0; i < _ids; i++)
        {
            if (_oldIds[i] == old) return _newIds[i] == cur;
            if (_newIds[i] == cur) return false;
        }

        if (_ids + _loners == MaxIds) return false;
        _oldIds[_ids] = old;
        _newIds[_ids++] = cur;
        return true;
    }

    // A number without id is related to nobody, so it may stand for one with an id of its own only.
    private bool CheckScalarIds(uint old, uint cur)
    {
        // Two of them are a pair that nobody else will ask for, but it takes its place.
        if (old == 0 && cur == 0) return _ids + _loners++ < MaxIds;
        if (old == 0) old = ++_temporaryId;
        if (cur == 0) cur = ++_temporaryId;
        return CheckIds(old, cur);
    }

    private static bool SameHead(ref RegisterState a, ref RegisterState b) =>
        a.Type == b.Type && a.Off == b.Off && a.Details == b.Details;

    /// <summary>Ids of the old state may stand for any of the new one again.</summary>
    public void ForgetIds() => _ids = _loners = 0;

    /// <summary>Whether nothing but names of ids differs; ids must stand for the same ones as in earlier questions.</summary>
    public bool RegsExact(ref RegisterState old, ref RegisterState cur) =>
        SameHead(ref old, ref cur) && old.Bounds.Equals(cur.Bounds) && CheckIds(old.Id, cur.Id) && CheckIds(old.RefObjId, cur.RefObjId);

    private bool RegSafe(ref RegisterState old, ref RegisterState cur, Exactness exact)
    {
        if (exact == Exactness.Exact) return RegsExact(ref old, ref cur);
        if (old.Type == RegType.NotInit) return true;
        if (old.Type != cur.Type) return false;
        switch (old.Type.Base())
        {
            case RegType.Scalar:
                if (ExploreAluLimits) return SameHead(ref old, ref cur) && old.Bounds.Equals(cur.Bounds) && CheckScalarIds(old.Id, cur.Id);
                if (!old.Precise && exact == Exactness.NotExact && !allNumbers) return true;
                // A number that was proved safe on its own is safe as somebody's sibling, too.
                if (old.Id != 0 && (old.Id & RegisterState.AddConst) != (cur.Id & RegisterState.AddConst)) return false;
                if ((old.Id & RegisterState.AddConst) != 0 && old.Off != cur.Off) return false;
                return old.Bounds.Includes(cur.Bounds) && CheckScalarIds(old.Id, cur.Id);
            case RegType.PtrToMapKey or RegType.PtrToMapValue or RegType.PtrToMem or RegType.PtrToBuf or RegType.PtrToTpBuffer:
                return SameHead(ref old, ref cur) && old.Bounds.Includes(cur.Bounds)
                    && CheckIds(old.Id, cur.Id) && CheckIds(old.RefObjId, cur.RefObjId);
            case RegType.PtrToPacket or RegType.PtrToPacketMeta:
                if (old.Range < 0 || cur.Range < 0)
                {
                    if (old.Range != cur.Range) return false;
                }
                else if (old.Range > cur.Range)
                {
                    return false;
                }

                return old.Off == cur.Off && CheckIds(old.Id, cur.Id) && old.Bounds.Includes(cur.Bounds);
            case RegType.PtrToStack:
                return RegsExact(ref old, ref cur) && old.FrameNo == cur.FrameNo;
            case RegType.PtrToArena:
                return true;
            default:
                return RegsExact(ref old, ref cur);
        }
    }

    // Eight bytes of anything are an unknown number, and the other way round.
    private bool IsNumber(in StackSlot slot) => slot.IsSpilledScalar64 || IsAnything(slot.Types);

    private bool IsAnything(SlotTypes types)
    {
        uint misc = SlotTypes.All(SlotType.Misc).Word;
        return allowUninitStack ? (types.Word & ~misc) == 0 : types.Word == misc;
    }

    private bool StackSafe(FuncFrame old, FuncFrame cur, Exactness exact)
    {
        for (int spi = 0; spi < old.StackSlots; spi++)
        {
            if (!SlotSafe(ref old.Stack[spi], cur, spi, exact)) return false;
        }

        return true;
    }

    private bool SlotSafe(ref StackSlot old, FuncFrame cur, int spi, Exactness exact)
    {
        // Most slots of most states are untouched.
        if (exact == Exactness.NotExact && old.Types.Word == 0) return true;
        bool present = spi < cur.StackSlots;
        bool numbers = present && IsNumber(old) && IsNumber(cur.Stack[spi]);
        for (int i = 0; i < 8; i++)
        {
            SlotType type = old.Types[i];
            if (exact != Exactness.NotExact && (!present || type != cur.Stack[spi].Types[i])) return false;
            if (type == SlotType.Invalid || (allowUninitStack && type == SlotType.Misc)) continue;
            if (!present) return false;
            ref StackSlot now = ref cur.Stack[spi];
            if (numbers)
            {
                ref RegisterState oldReg = ref old.IsSpilledScalar64 ? ref old.Spilled : ref _unbound;
                ref RegisterState nowReg = ref now.IsSpilledScalar64 ? ref now.Spilled : ref _unbound;
                return RegSafe(ref oldReg, ref nowReg, exact);
            }

            SlotType nowType = now.Types[i];
            if (type == SlotType.Misc && nowType == SlotType.Zero) continue;
            if (type != nowType) return false;
            if (i != 7) continue;
            switch (type)
            {
                case SlotType.Spill:
                    if (!RegSafe(ref old.Spilled, ref now.Spilled, exact)) return false;
                    break;
                case SlotType.Dynptr:
                    if (old.Spilled.Dynptr != now.Spilled.Dynptr || old.Spilled.DynptrFirstSlot != now.Spilled.DynptrFirstSlot
                        || !CheckIds(old.Spilled.RefObjId, now.Spilled.RefObjId)) return false;
                    break;
                case SlotType.Iter:
                    if (old.Spilled.Btf != now.Spilled.Btf || old.Spilled.BtfId != now.Spilled.BtfId
                        || old.Spilled.Iter != now.Spilled.Iter || !CheckIds(old.Spilled.RefObjId, now.Spilled.RefObjId)) return false;
                    break;
                case SlotType.IrqFlag:
                    if (old.Spilled.IrqClass != now.Spilled.IrqClass
                        || !CheckIds(old.Spilled.RefObjId, now.Spilled.RefObjId)) return false;
                    break;
            }
        }

        return true;
    }

    private bool ResourcesEqual(VerifierState old, VerifierState cur)
    {
        if (old.RefCount != cur.RefCount || old.ActiveLocks != cur.ActiveLocks
            || old.ActivePreemptLocks != cur.ActivePreemptLocks || old.ActiveRcuLocks != cur.ActiveRcuLocks) return false;
        if (!CheckIds(old.ActiveIrqId, cur.ActiveIrqId)) return false;
        if (!CheckIds(old.ActiveLockId, cur.ActiveLockId) || old.ActiveLockOwner != cur.ActiveLockOwner) return false;
        for (int i = 0; i < old.RefCount; i++)
        {
            ref ReferenceState a = ref old.Refs[i], b = ref cur.Refs[i];
            if (!CheckIds(a.Id, b.Id) || a.Kind != b.Kind) return false;
            bool isLock = a.Kind is ReferenceKind.Lock or ReferenceKind.ResLock or ReferenceKind.ResLockIrq;
            if (isLock && a.LockOwner != b.LockOwner) return false;
        }

        return true;
    }
}
