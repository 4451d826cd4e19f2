namespace BpfSim.Vm.Btf;

/// <summary>
/// libbpf's rules for when a type of the object and a type of the kernel are the same thing: names without
/// flavours, kinds, and the shapes that matter to each sort of relocation.
/// </summary>
internal sealed class CoreMatcher(BtfData local, BtfData target)
{
    private const int MaxDepth = 32;

    /// <summary>Follows a path of the object in a type of the kernel; null if it has no such path.</summary>
    public CoreSpec? Match(CoreSpec path, uint targetId)
    {
        var result = new CoreSpec { Btf = target, RootTypeId = targetId, Kind = path.Kind };
        if (CoreSpec.IsTypeBased(path.Kind))
        {
            bool same = path.Kind == CoreRelocationKind.TypeMatches ? TypesMatch(path.RootTypeId, targetId, false, MaxDepth)
                : AreCompatible(path.RootTypeId, targetId);
            return same ? result : null;
        }
        if (CoreSpec.IsEnumBased(path.Kind)) return MatchEnumerator(path, targetId, result);
        uint id = targetId;
        for (int i = 0; i < path.Accessors.Count; i++)
        {
            CoreAccessor step = path.Accessors[i];
            BtfType type = target.Resolve(id);
            id = type.Id;
            if (step.Name != null)
            {
                if (!MatchMember(step, type, result, out id, 0)) return null;
                continue;
            }
            // The root is already the element; further down the array comes first.
            if (i > 0)
            {
                if (type.Kind != BtfKind.Array) return null;
                if (step.Index >= type.ArrayCount && !result.IsFlexible(type)) return null;
                id = target.Resolve(type.ArrayElementTypeId).Id;
            }
            long size = target.SizeOf(id);
            if (size < 0) return null;
            result.Accessors.Add(new CoreAccessor(id, step.Index, null));
            result.Raw.Add(step.Index);
            result.BitOffset += (ulong)step.Index * (ulong)size * 8;
        }
        return result;
    }

    private CoreSpec? MatchEnumerator(CoreSpec path, uint targetId, CoreSpec result)
    {
        BtfType type = target.Resolve(targetId);
        if (!type.IsAnyEnum) return null;
        string wanted = Essential(path.Accessors[0].Name!);
        for (int i = 0; i < type.Vlen; i++)
        {
            string name = type.Enumerators[i].Name;
            if (Essential(name) != wanted) continue;
            result.Accessors.Add(new CoreAccessor(type.Id, i, name));
            result.Raw.Add(i);
            return result;
        }
        return null;
    }

    private bool MatchMember(CoreAccessor step, BtfType type, CoreSpec result, out uint next, int depth)
    {
        next = 0;
        if (!type.IsComposite || depth > MaxDepth) return false;
        uint localMemberType = local[step.TypeId].MemberTypeId(step.Index);
        int count = type.Vlen;
        for (int i = 0; i < count; i++)
        {
            bool anonymous = type.MemberNameOffset(i) == 0;
            if (!anonymous && !NameIs(target.GetStringBytes(type.MemberNameOffset(i)), step.Name!)) continue;
            BtfMember member = type.Member(i);
            result.BitOffset += member.BitOffset;
            result.Raw.Add(i);
            if (anonymous)
            {
                if (MatchMember(step, target.Resolve(member.TypeId), result, out next, depth + 1)) return true;
            }
            else
            {
                next = member.TypeId;
                if (!FieldsCompatible(localMemberType, member.TypeId)) return false;
                result.Accessors.Add(new CoreAccessor(type.Id, i, member.Name));
                return true;
            }
            result.BitOffset -= member.BitOffset;
            result.Raw.RemoveAt(result.Raw.Count - 1);
        }
        return false;
    }

    private static bool NameIs(ReadOnlySpan<byte> bytes, string name)
    {
        if (bytes.Length != name.Length) return false;
        for (int i = 0; i < bytes.Length; i++)
            if (bytes[i] != name[i]) return false;
        return true;
    }

    public static bool KindsCompatible(BtfType a, BtfType b) => a.Kind == b.Kind || (a.IsAnyEnum && b.IsAnyEnum);

    /// <summary>Whether a field may stand for another: composites always, numbers of any size, pointers to anything.</summary>
    private bool FieldsCompatible(uint localId, uint targetId)
    {
        for (int depth = 0; depth < MaxDepth; depth++)
        {
            BtfType a = local.Resolve(localId), b = target.Resolve(targetId);
            if (a.IsComposite && b.IsComposite) return true;
            if (!KindsCompatible(a, b)) return false;
            switch (a.Kind)
            {
                case BtfKind.Ptr or BtfKind.Float:
                    return true;
                case BtfKind.Fwd or BtfKind.Enum or BtfKind.Enum64:
                    string one = Essential(a.Name), other = Essential(b.Name);
                    return one.Length == 0 || other.Length == 0 || one == other;
                case BtfKind.Int:
                    return a.IntBitOffset == 0 && b.IntBitOffset == 0;
                case BtfKind.Array:
                    (localId, targetId) = (a.ArrayElementTypeId, b.ArrayElementTypeId);
                    break;
                default:
                    return false;
            }
        }
        return false;
    }

    /// <summary>Whether a declaration of the object fits one of the kernel by the loose rules of bpf_core_types_are_compat.</summary>
    public bool AreCompatible(uint localId, uint targetId) =>
        KindsCompatible(local[localId], target[targetId]) && TypesCompatible(localId, targetId, MaxDepth);

    private bool TypesCompatible(uint localId, uint targetId, int depth)
    {
        while (depth-- > 0)
        {
            BtfType a = local.Resolve(localId), b = target.Resolve(targetId);
            if (!KindsCompatible(a, b)) return false;
            switch (a.Kind)
            {
                case BtfKind.Unknown or BtfKind.Struct or BtfKind.Union or BtfKind.Enum or BtfKind.Enum64 or BtfKind.Fwd:
                    return true;
                case BtfKind.Int:
                    return a.IntBitOffset == 0 && b.IntBitOffset == 0;
                case BtfKind.Ptr:
                    (localId, targetId) = (a.TypeId, b.TypeId);
                    break;
                case BtfKind.Array:
                    (localId, targetId) = (a.ArrayElementTypeId, b.ArrayElementTypeId);
                    break;
                case BtfKind.FuncProto:
                    if (a.Vlen != b.Vlen) return false;
                    for (int i = 0; i < a.Vlen; i++)
                        if (!TypesCompatible(a.Params[i].TypeId, b.Params[i].TypeId, depth)) return false;
                    (localId, targetId) = (a.TypeId, b.TypeId);
                    break;
                default:
                    return false;
            }
        }
        return false;
    }

    /// <summary>The strict comparison of bpf_core_type_matches(): every member of the object's type must be in the kernel's, with a matching type.</summary>
    private bool TypesMatch(uint localId, uint targetId, bool behindPointer, int depth)
    {
        while (depth-- > 0)
        {
            BtfType a = local.Resolve(localId), b = target.Resolve(targetId);
            if (Essential(a.Name) != Essential(b.Name)) return false;
            if (a.Kind == BtfKind.Fwd)
            {
                if (a.Kind == b.Kind) return a.KindFlag == b.KindFlag;
                return behindPointer && ((b.Kind == BtfKind.Struct && !a.KindFlag) || (b.Kind == BtfKind.Union && a.KindFlag));
            }
            if (a.IsAnyEnum) return b.IsAnyEnum && EnumsMatch(a, b);
            if (a.IsComposite && behindPointer) return a.Kind == b.Kind || (b.Kind == BtfKind.Fwd && a.Kind == BtfKind.Union == b.KindFlag);
            if (a.Kind != b.Kind) return false;
            switch (a.Kind)
            {
                case BtfKind.Unknown:
                    return true;
                case BtfKind.Struct or BtfKind.Union:
                    return MembersMatch(a, b, depth);
                case BtfKind.Int:
                    return a.IntBits == b.IntBits && (a.IntEncoding & BtfIntEncoding.Signed) == (b.IntEncoding & BtfIntEncoding.Signed);
                case BtfKind.Ptr:
                    behindPointer = true;
                    (localId, targetId) = (a.TypeId, b.TypeId);
                    break;
                case BtfKind.Array:
                    if (a.ArrayCount != b.ArrayCount) return false;
                    (localId, targetId) = (a.ArrayElementTypeId, b.ArrayElementTypeId);
                    break;
                case BtfKind.FuncProto:
                    if (a.Vlen != b.Vlen) return false;
                    for (int i = 0; i < a.Vlen; i++)
                        if (!TypesMatch(a.Params[i].TypeId, b.Params[i].TypeId, behindPointer, depth)) return false;
                    (localId, targetId) = (a.TypeId, b.TypeId);
                    break;
                default:
                    return false;
            }
        }
        return false;
    }

    private static bool EnumsMatch(BtfType a, BtfType b)
    {
        if (a.Vlen > b.Vlen) return false;
        var names = b.Enumerators.Select(e => Essential(e.Name)).ToHashSet();
        foreach (BtfEnumerator constant in a.Enumerators)
            if (!names.Contains(Essential(constant.Name))) return false;
        return true;
    }

    private bool MembersMatch(BtfType a, BtfType b, int depth)
    {
        if (a.Vlen > b.Vlen) return false;
        foreach (BtfMember wanted in a.Members)
        {
            bool matched = false;
            foreach (BtfMember member in b.Members)
            {
                if (Essential(wanted.Name) != Essential(member.Name) || !TypesMatch(wanted.TypeId, member.TypeId, false, depth)) continue;
                matched = true;
                break;
            }
            if (!matched) return false;
        }
        return true;
    }

    private static string Essential(string name)
    {
        for (int i = name.Length - 5; i >= 0; i--)
            if (name[i] != '_' && name[i + 4] != '_' && name.AsSpan(i + 1, 3).SequenceEqual("___")) return name[..(i + 1)];
        return name;
    }
}
