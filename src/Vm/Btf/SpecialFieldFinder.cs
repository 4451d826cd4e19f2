using BpfSim.Maps;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Finds the fields of a map value, or of an object that programs allocate, which only helpers and kfuncs may
/// touch: they are recognised by the names of their types and by type tags on pointers, as the kernel does.
/// </summary>
public static class SpecialFieldFinder
{
    // The kernel looks into structs and arrays of structs, four levels deep.
    private const int MaxDepth = 4;
    private const int MaxFields = 11;

    /// <summary>The special fields of a struct, a data section or a plain special type, ascending by offset.</summary>
    public static IReadOnlyList<SpecialField> Find(BtfType value)
    {
        BtfType type = value.Btf.Resolve(value.Id);
        var fields = new List<SpecialField>();
        if (type.Kind == BtfKind.Datasec)
        {
            foreach (BtfVarSecInfo variable in type.Variables)
                Visit(type.Btf, type.Btf[variable.TypeId].TypeId, variable.Offset, variable.TypeId, -1, 0, fields);
        }
        else if (type.IsComposite)
        {
            VisitMembers(type, 0, 0, fields);
        }
        if (fields.Count == 0) return [];
        fields.Sort((a, b) => a.Offset.CompareTo(b.Offset));
        return fields;
    }

    private static void VisitMembers(BtfType type, long offset, int depth, List<SpecialField> fields)
    {
        for (int i = 0; i < type.Vlen && fields.Count <= MaxFields; i++)
        {
            uint bits = type.RawExtra(3 * i + 2);
            if (type.KindFlag && bits >> 24 != 0) continue;
            Visit(type.Btf, type.MemberTypeId(i), offset + (bits & (type.KindFlag ? 0xffffffu : uint.MaxValue)) / 8, type.Id, i, depth, fields);
        }
    }

    private static void Visit(BtfData btf, uint typeId, long offset, uint ownerId, int component, int depth, List<SpecialField> fields)
    {
        BtfType type = btf.Resolve(typeId);
        long count = 1;
        for (int level = 0; type.Kind == BtfKind.Array && level < 8; level++)
        {
            count *= type.ArrayCount;
            if (count == 0 || count > 1 << 16) return;
            type = btf.Resolve(type.ArrayElementTypeId);
        }
        if (type.Kind == BtfKind.Ptr)
        {
            if (Kptr(btf, type) is not { } kind) return;
            uint target = btf.Resolve(type.TypeId).Id;
            for (long i = 0; i < count && fields.Count <= MaxFields; i++) fields.Add(new SpecialField(kind, (int)(offset + 8 * i), 8, target));
            return;
        }
        if (!type.IsComposite) return;
        if (ByName(type) is { } special)
        {
            for (long i = 0; i < count && fields.Count <= MaxFields; i++)
            {
                uint contained = 0;
                string? containedName = null;
                if (special is SpecialFieldKind.ListHead or SpecialFieldKind.RbRoot)
                {
                    if (Contains(btf, ownerId, component) is not { } text) break;
                    containedName = text;
                    contained = btf.FindId(text.Split(':')[0], BtfKind.Struct);
                }
                fields.Add(new SpecialField(special, (int)(offset + type.Size * i), (int)type.Size, contained, containedName));
            }
            return;
        }
        if (depth >= MaxDepth || type.Vlen == 0) return;
        for (long i = 0; i < count && fields.Count <= MaxFields; i++)
        {
            int before = fields.Count;
            VisitMembers(type, offset + type.Size * i, depth + 1, fields);
            if (fields.Count == before) return;
        }
    }

    private static string? Contains(BtfData btf, uint ownerId, int component)
    {
        foreach (BtfDeclTag tag in btf.DeclTags(ownerId))
            if (tag.ComponentIndex == component && tag.Text.StartsWith("contains:", StringComparison.Ordinal)) return tag.Text["contains:".Length..];
        return null;
    }

    private static SpecialFieldKind? Kptr(BtfData btf, BtfType pointer)
    {
        BtfType tag = btf[pointer.TypeId];
        if (tag.Kind != BtfKind.TypeTag) return null;
        return tag.Name switch
        {
            "kptr_untrusted" => SpecialFieldKind.KptrUnref,
            "kptr" => SpecialFieldKind.KptrRef,
            "percpu_kptr" => SpecialFieldKind.KptrPercpu,
            "uptr" => SpecialFieldKind.Uptr,
            _ => null,
        };
    }

    private static SpecialFieldKind? ByName(BtfType type) => type.Name switch
    {
        "bpf_spin_lock" => SpecialFieldKind.SpinLock,
        "bpf_res_spin_lock" => SpecialFieldKind.ResSpinLock,
        "bpf_timer" => SpecialFieldKind.Timer,
        "bpf_wq" => SpecialFieldKind.Workqueue,
        "bpf_list_head" => SpecialFieldKind.ListHead,
        "bpf_list_node" => SpecialFieldKind.ListNode,
        "bpf_rb_root" => SpecialFieldKind.RbRoot,
        "bpf_rb_node" => SpecialFieldKind.RbNode,
        "bpf_refcount" => SpecialFieldKind.Refcount,
        "bpf_task_work" => SpecialFieldKind.TaskWork,
        _ => null,
    };
}
