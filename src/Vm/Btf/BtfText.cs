using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>Types in words, as <c>bpftool btf dump</c> prints them.</summary>
public static class BtfText
{
    /// <summary>One type in bpftool's raw format: a line, and a tab-indented line for each part.</summary>
    public static string Raw(BtfType type)
    {
        var text = new StringBuilder($"[{type.Id}] {KindName(type.Kind)} {Quoted(type.Name)}");
        switch (type.Kind)
        {
            case BtfKind.Int:
                text.Append($" size={type.Size} bits_offset={type.IntBitOffset} nr_bits={type.IntBits} encoding={Encoding(type.IntEncoding)}");
                break;
            case BtfKind.Array:
                text.Append($" type_id={type.ArrayElementTypeId} index_type_id={type.ArrayIndexTypeId} nr_elems={type.ArrayCount}");
                break;
            case BtfKind.Struct or BtfKind.Union:
                text.Append($" size={type.Size} vlen={type.Vlen}");
                foreach (BtfMember member in type.Members)
                {
                    text.Append($"\n\t{Quoted(member.Name)} type_id={member.TypeId} bits_offset={member.BitOffset}");
                    if (member.BitfieldSize != 0) text.Append($" bitfield_size={member.BitfieldSize}");
                }
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                text.Append($" encoding={(type.KindFlag ? "SIGNED" : "UNSIGNED")} size={type.Size} vlen={type.Vlen}");
                foreach (BtfEnumerator constant in type.Enumerators) text.Append($"\n\t{Quoted(constant.Name)} val={Value(type, constant)}");
                break;
            case BtfKind.Fwd:
                text.Append($" fwd_kind={(type.KindFlag ? "union" : "struct")}");
                break;
            case BtfKind.Func:
                text.Append($" type_id={type.TypeId} linkage={Linkage(type.Linkage)}");
                break;
            case BtfKind.FuncProto:
                text.Append($" ret_type_id={type.TypeId} vlen={type.Vlen}");
                foreach (BtfParam parameter in type.Params) text.Append($"\n\t{Quoted(parameter.Name)} type_id={parameter.TypeId}");
                break;
            case BtfKind.Var:
                text.Append($" type_id={type.TypeId}, linkage={Linkage(type.Linkage)}");
                break;
            case BtfKind.Datasec:
                text.Append($" size={type.Size} vlen={type.Vlen}");
                foreach (BtfVarSecInfo variable in type.Variables)
                {
                    text.Append($"\n\ttype_id={variable.TypeId} offset={variable.Offset} size={variable.Size}");
                    BtfType target = type.Btf[variable.TypeId];
                    text.Append($" ({KindName(target.Kind)} {Quoted(target.Name)})");
                }
                break;
            case BtfKind.Float:
                text.Append($" size={type.Size}");
                break;
            case BtfKind.DeclTag:
                text.Append($" type_id={type.TypeId} component_idx={type.ComponentIndex}");
                break;
            default:
                text.Append($" type_id={type.TypeId}");
                break;
        }
        return text.ToString();
    }

    /// <summary>The kind's name in capitals, such as <c>FUNC_PROTO</c>.</summary>
    public static string KindName(BtfKind kind) => kind switch
    {
        BtfKind.Unknown => "VOID",
        BtfKind.FuncProto => "FUNC_PROTO",
        BtfKind.DeclTag => "DECL_TAG",
        BtfKind.TypeTag => "TYPE_TAG",
        _ => kind.ToString().ToUpperInvariant(),
    };

    /// <summary>How an integer's bits are meant, as bpftool writes it.</summary>
    public static string Encoding(BtfIntEncoding encoding) => encoding switch
    {
        BtfIntEncoding.Signed => "SIGNED",
        BtfIntEncoding.Char => "CHAR",
        BtfIntEncoding.Bool => "BOOL",
        BtfIntEncoding.None => "(none)",
        _ => "UNKN",
    };

    /// <summary>A linkage, as bpftool writes it.</summary>
    public static string Linkage(BtfLinkage linkage) => linkage switch
    {
        BtfLinkage.Static => "static",
        BtfLinkage.Global => "global",
        BtfLinkage.Extern => "extern",
        _ => "(unknown)",
    };

    private static string Value(BtfType type, BtfEnumerator constant) =>
        type.Kind == BtfKind.Enum ? type.KindFlag ? constant.Value.ToString() : ((uint)constant.Value).ToString()
        : type.KindFlag ? $"{constant.Value}LL" : $"{(ulong)constant.Value}ULL";

    /// <summary>A name, or what the kernel prints for none.</summary>
    public static string NameOf(string name) => name.Length == 0 ? "(anon)" : name;

    private static string Quoted(string name) => $"'{NameOf(name)}'";

    /// <summary>A function's head in C, with spaces as <c>bpftool prog dump</c> sets them: <c>int hello(void * ctx)</c>.</summary>
    public static string Signature(BtfType func)
    {
        BtfType proto = func.Target;
        if (func.Kind != BtfKind.Func || proto.Kind != BtfKind.FuncProto) return func.Name;
        var text = new StringBuilder();
        text.Append(TypeOnly(func.Btf, proto.TypeId)).Append(' ').Append(func.Name).Append('(');
        bool first = true;
        foreach (BtfParam parameter in proto.Params)
        {
            if (!first) text.Append(", ");
            first = false;
            text.Append(parameter.TypeId == 0 && parameter.Name.Length == 0 ? "..." : $"{TypeOnly(func.Btf, parameter.TypeId)} {parameter.Name}".TrimEnd());
        }
        if (first) text.Append("void");
        return text.Append(')').ToString();
    }

    private static string TypeOnly(BtfData btf, uint id, int depth = 0)
    {
        if (id == 0) return "void";
        if (depth > 32) return "?";
        BtfType type = btf[id];
        return type.Kind switch
        {
            BtfKind.Ptr => TypeOnly(btf, type.TypeId, depth + 1) + " *",
            BtfKind.Const => "const " + TypeOnly(btf, type.TypeId, depth + 1),
            BtfKind.Volatile => "volatile " + TypeOnly(btf, type.TypeId, depth + 1),
            BtfKind.Restrict => "restrict " + TypeOnly(btf, type.TypeId, depth + 1),
            BtfKind.TypeTag => TypeOnly(btf, type.TypeId, depth + 1),
            BtfKind.Struct => "struct " + type.Name,
            BtfKind.Union => "union " + type.Name,
            BtfKind.Enum or BtfKind.Enum64 => "enum " + type.Name,
            BtfKind.Fwd => (type.KindFlag ? "union " : "struct ") + type.Name,
            BtfKind.Array => $"{TypeOnly(btf, type.ArrayElementTypeId, depth + 1)}[{type.ArrayCount}]",
            BtfKind.FuncProto => TypeOnly(btf, type.TypeId, depth + 1) + " (*)()",
            _ => type.Name,
        };
    }
}
