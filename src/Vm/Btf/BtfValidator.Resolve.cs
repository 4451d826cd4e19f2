using BpfSim.Maps;

namespace BpfSim.Vm.Btf;

// What a type refers to: that it exists, has a size where one is needed, fits, and does not lead back.
public sealed partial class BtfValidator
{
    private const int MaxDepth = 32;

    private readonly Visit[] _states;

    private enum Visit : byte { None, Open, Done }

    /// <summary>What a walk follows: until the first pointer, struct or array anything, from then on only what can loop with it.</summary>
    private enum Walk { Any, Pointers, Containers }

    private void CheckType(uint id)
    {
        BtfType type = _btf[id];
        if (NeedsVisit(type) && _states[id] == Visit.None) VisitType(id, Walk.Any, 0);
        if (type.Kind == BtfKind.FuncProto) CheckProto(type);
    }

    private static bool IsRef(BtfType type) => type.IsModifier || type.Kind == BtfKind.Typedef;

    private static bool NeedsVisit(BtfType type) =>
        IsRef(type) || type.IsComposite || type.Kind is BtfKind.Ptr or BtfKind.Array or BtfKind.Var or BtfKind.Func or BtfKind.DeclTag or BtfKind.Datasec;

    /// <summary>Things that nothing may refer to as a type.</summary>
    private static bool IsSource(BtfType type) => type.Kind is BtfKind.Var or BtfKind.DeclTag or BtfKind.Datasec;

    private void VisitType(uint id, Walk walk, int depth)
    {
        BtfType type = _btf[id];
        if (depth == MaxDepth) throw Bad(type, $"Exceeded max resolving depth:{MaxDepth}", Errno.E2BIG);
        if (_states[id] == Visit.Open) throw Bad(type, "Loop detected", Errno.EEXIST);
        _states[id] = Visit.Open;
        if (walk == Walk.Any && type.Kind == BtfKind.Ptr) walk = Walk.Pointers;
        else if (walk == Walk.Any && (type.IsComposite || type.Kind == BtfKind.Array)) walk = Walk.Containers;
        VisitContent(type, walk, depth + 1);
        _states[id] = Visit.Done;
    }

    private void Follow(BtfType next, Walk walk, int depth)
    {
        bool leads = walk switch
        {
            Walk.Pointers => IsRef(next) || next.Kind == BtfKind.Ptr,
            Walk.Containers => IsRef(next) || next.IsComposite || next.Kind == BtfKind.Array,
            _ => NeedsVisit(next),
        };
        if (leads && _states[next.Id] != Visit.Done) VisitType(next.Id, walk, depth);
    }

    private void VisitContent(BtfType type, Walk walk, int depth)
    {
        switch (type.Kind)
        {
            case BtfKind.Array:
                VisitArray(type, walk, depth);
                break;
            case BtfKind.Struct or BtfKind.Union:
                foreach (BtfMember member in type.Members)
                {
                    BtfType target = _btf[member.TypeId];
                    if (IsSource(target)) throw Bad(type, "Invalid member");
                    Follow(target, walk, depth);
                    CheckMember(type, member);
                }
                break;
            case BtfKind.Func:
                CheckFunc(type);
                break;
            case BtfKind.DeclTag:
                VisitTag(type, walk, depth);
                break;
            case BtfKind.Datasec:
                foreach (BtfVarSecInfo info in type.Variables)
                {
                    BtfType variable = _btf[info.TypeId];
                    if (variable.Kind != BtfKind.Var) throw Bad(type, "Not a VAR kind member");
                    Follow(variable, Walk.Any, depth);
                    long size = SizeOf(variable.TypeId);
                    if (size < 0) throw Bad(type, "Invalid type");
                    if (info.Size < size) throw Bad(type, "Invalid size");
                }
                break;
            default:
                BtfType next = type.Target;
                if (IsSource(next)) throw Bad(type, "Invalid type_id");
                Follow(next, walk, depth);
                if (SizeOf(next.Id) >= 0) break;
                if (type.Kind == BtfKind.Var || Behind(next.Id) is { IsVoid: false, Kind: not (BtfKind.Fwd or BtfKind.FuncProto) })
                    throw Bad(type, "Invalid type_id");
                break;
        }
    }

    private void VisitArray(BtfType type, Walk walk, int depth)
    {
        BtfType index = _btf[type.ArrayIndexTypeId], element = _btf[type.ArrayElementTypeId];
        if (HasNoSize(index) || IsSource(index)) throw Bad(type, "Invalid index");
        Follow(index, walk, depth);
        index = Behind(index.Id);
        if (index.Kind != BtfKind.Int || !IsRegular(index)) throw Bad(type, "Invalid index");
        if (HasNoSize(element) || IsSource(element)) throw Bad(type, "Invalid elem");
        Follow(element, walk, depth);
        long size = SizeOf(element.Id);
        if (size < 0) throw Bad(type, "Invalid elem");
        element = Behind(element.Id);
        if (element.Kind == BtfKind.Int && !IsRegular(element)) throw Bad(type, "Invalid array of int");
        if (size * type.ArrayCount > uint.MaxValue) throw Bad(type, "Array size overflows U32_MAX");
    }

    private void VisitTag(BtfType type, Walk walk, int depth)
    {
        BtfType target = type.Target;
        if (!target.IsComposite && target.Kind is not (BtfKind.Func or BtfKind.Var or BtfKind.Typedef)) throw Bad(type, "Invalid type_id");
        Follow(target, walk, depth);
        if (type.ComponentIndex == -1) return;
        int count = target.IsComposite ? target.Vlen : target.Kind == BtfKind.Func ? target.Target.Vlen : 0;
        if (type.ComponentIndex >= count) throw Bad(type, "Invalid component_idx");
    }

    private static void CheckFunc(BtfType type)
    {
        BtfType proto = type.Target;
        if (proto.Kind != BtfKind.FuncProto) throw Bad(type, "Invalid type_id");
        for (int i = 0; i < proto.Vlen; i++)
            if (proto.RawExtra(2 * i + 1) != 0 && proto.RawExtra(2 * i) == 0) throw Bad(type, $"Invalid arg#{i + 1}");
    }

    private void CheckProto(BtfType proto)
    {
        BtfType result = proto.Target;
        if (!result.IsVoid)
        {
            if (IsSource(result)) throw Bad(proto, "Invalid return type");
            Resolve(result);
            if (SizeOf(result.Id) < 0) throw Bad(proto, "Invalid return type");
        }
        int count = proto.Vlen;
        if (count > 0 && proto.RawExtra(2 * count - 1) == 0)
        {
            if (proto.RawExtra(2 * count - 2) != 0) throw Bad(proto, $"Invalid arg#{count}");
            count--;
        }
        for (int i = 0; i < count; i++)
        {
            BtfType argument = _btf[proto.RawExtra(2 * i + 1)];
            uint name = proto.RawExtra(2 * i);
            if (IsSource(argument) || (name != 0 && !IsIdentifier(name))) throw Bad(proto, $"Invalid arg#{i + 1}");
            Resolve(argument);
            if (SizeOf(argument.Id) < 0) throw Bad(proto, $"Invalid arg#{i + 1}");
        }
    }

    private void Resolve(BtfType type)
    {
        if (NeedsVisit(type) && _states[type.Id] == Visit.None) VisitType(type.Id, Walk.Any, 0);
    }

    /// <summary>Members against the size of their struct.</summary>
    private void CheckMember(BtfType type, BtfMember member)
    {
        BtfType target = Behind(member.TypeId);
        ulong offset = member.BitOffset, bits = member.BitfieldSize;
        bool isInt = target.Kind == BtfKind.Int;
        if (bits != 0 && !isInt && !target.IsAnyEnum) throw Bad(type, "Invalid member bitfield_size");
        if (isInt && type.KindFlag)
        {
            if (!IsRegular(target)) throw Bad(type, "Invalid member base type");
            if (bits > (ulong)target.IntBits) throw Bad(type, "Invalid member bitfield_size");
        }
        else if (isInt)
        {
            // Old style: the integer itself says which of its bits are meant.
            offset += (ulong)target.IntBitOffset;
            bits = (ulong)target.IntBits;
        }
        if (target.IsAnyEnum && bits > 32) throw Bad(type, "Invalid member bitfield_size");
        bool free = bits != 0 || (isInt && !type.KindFlag);
        if (!free && target.Kind == BtfKind.Float && offset % (8 * (ulong)Math.Min(8, target.Size)) != 0) throw Bad(type, "Member is not properly aligned");
        if (!free && offset % 8 != 0) throw Bad(type, isInt ? "Invalid member offset" : "Member is not byte aligned");
        if (!free)
        {
            long size = target.IsAnyEnum && type.KindFlag ? 4 : isInt ? target.IntBits / 8 : SizeOf(target.Id);
            if (size < 0) throw Bad(type, "Unsupported check_member");
            bits = 8 * (ulong)size;
        }
        if (isInt && offset % 8 + bits > MaxBits) throw Bad(type, $"nr_copy_bits exceeds {MaxBits}");
        if ((offset + bits + 7) / 8 > type.Size) throw Bad(type, "Member exceeds struct_size");
    }

    /// <summary>Type tags come before all other modifiers.</summary>
    private static void CheckTags(BtfType type)
    {
        if (!IsRef(type)) return;
        bool inTags = type.Kind == BtfKind.TypeTag;
        for (; IsRef(type); type = type.Target)
        {
            if (type.Kind != BtfKind.TypeTag) inTags = false;
            else if (!inTags) throw Bad(type, "Type tags don't precede modifiers");
        }
    }

    private static bool HasNoSize(BtfType type) => type.IsVoid || type.Kind is BtfKind.Fwd or BtfKind.Func or BtfKind.FuncProto or BtfKind.DeclTag;

    /// <summary>The type behind modifiers and typedefs, however many: those that loop have been refused by now, or will be.</summary>
    private BtfType Behind(uint id)
    {
        BtfType type = _btf[id];
        for (uint steps = 0; IsRef(type) && steps < _btf.TypeCount; steps++) type = type.Target;
        return type;
    }

    /// <summary>Size in bytes, -1 without; that of an array whose elements have not been looked at may be anything.</summary>
    private long SizeOf(uint id)
    {
        BtfType type = Behind(id);
        if (HasNoSize(type) || IsRef(type) || IsSource(type)) return -1;
        return type.Kind == BtfKind.Array ? Math.Max(0, _btf.SizeOf(type.Id)) : type.Kind == BtfKind.Ptr ? 8 : type.Size;
    }

    private static bool IsRegular(BtfType type) =>
        type.IntBitOffset == 0 && type.IntBits % 8 == 0 && type.IntBits / 8 == type.Size && type.Size is (1 or 2 or 4 or 8 or 16);
}
