using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Writes types as a C header that a compiler takes, as <c>bpftool btf dump … format c</c>: every type after
/// those that it needs whole, forward declarations where a pointer is enough, padding and packing spelled out.
/// </summary>
public sealed class BtfCWriter
{
    private const int MaxDepth = 128;

    private readonly BtfData _btf;
    private readonly StringBuilder _out = new();
    private readonly HashSet<uint> _whole = [];
    private readonly HashSet<uint> _written = [];
    private readonly HashSet<string> _declared = [];
    private readonly Dictionary<uint, string> _names = [];
    private readonly Dictionary<string, int> _uses = [];

    private BtfCWriter(BtfData btf) => _btf = btf;

    /// <summary>All types of a BTF.</summary>
    public static string Write(BtfData btf)
    {
        var writer = new BtfCWriter(btf);
        foreach (BtfType type in btf.Types)
        {
            bool named = type.NameOffset != 0;
            if (type.Kind == BtfKind.Typedef || (type.IsComposite && named) || type.IsAnyEnum) writer.Define(type.Id, 0);
        }
        return writer._out.ToString();
    }

    /// <summary>Makes sure that a type stands whole in the output.</summary>
    private void Define(uint id, int depth)
    {
        BtfType type = _btf[id];
        if (depth > MaxDepth) return;
        switch (type.Kind)
        {
            case BtfKind.Struct or BtfKind.Union:
                if (type.NameOffset != 0 && !_whole.Add(id)) return;
                DefineMembers(type, depth);
                if (type.NameOffset != 0) _out.Append(Body(type, 0, "")).Append(";\n\n");
                _written.Add(id);
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                if (type.Vlen == 0 || !_whole.Add(id)) return;
                _out.Append(EnumBody(type, "")).Append(";\n\n");
                break;
            case BtfKind.Typedef:
                DefineTypedef(type, depth);
                BtfType target = _btf.Resolve(type.TypeId);
                if (target.IsComposite && target.NameOffset != 0) Define(target.Id, depth + 1);
                break;
            case BtfKind.Array:
                Define(type.ArrayElementTypeId, depth + 1);
                break;
            case BtfKind.Ptr or BtfKind.FuncProto:
                Declare(id, depth);
                break;
            case BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag:
                Define(type.TypeId, depth + 1);
                break;
        }
    }

    private void DefineMembers(BtfType type, int depth)
    {
        foreach (BtfMember member in type.Members) Define(member.TypeId, depth + 1);
    }

    private void DefineTypedef(BtfType type, int depth)
    {
        if (!_whole.Add(type.Id) || type.Name == "__builtin_va_list") return;
        BtfType target = Skip(type.TypeId);
        if (target.IsComposite && target.NameOffset == 0) DefineMembers(target, depth);
        else if (target.Kind == BtfKind.Array) Define(target.Id, depth + 1);
        else Declare(type.TypeId, depth + 1);
        _out.Append("typedef ").Append(Declaration(type.TypeId, NameOf(type), 0)).Append(";\n\n");
    }

    /// <summary>Makes sure that a type can be named, as behind a pointer.</summary>
    private void Declare(uint id, int depth)
    {
        if (id == 0 || depth > MaxDepth) return;
        BtfType type = _btf[id];
        switch (type.Kind)
        {
            case BtfKind.Struct or BtfKind.Union or BtfKind.Fwd:
                if (type.NameOffset == 0)
                {
                    DefineMembers(type, depth + 1);
                    return;
                }
                string head = $"{(type.Kind == BtfKind.Union || (type.Kind == BtfKind.Fwd && type.KindFlag) ? "union" : "struct")} {NameOf(type)}";
                if (!_written.Contains(id) && _declared.Add(head)) _out.Append(head).Append(";\n\n");
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                Define(id, depth + 1);
                break;
            case BtfKind.Typedef:
                DefineTypedef(type, depth + 1);
                break;
            case BtfKind.Array:
                Define(type.ArrayElementTypeId, depth + 1);
                break;
            case BtfKind.FuncProto:
                Declare(type.TypeId, depth + 1);
                foreach (BtfParam parameter in type.Params) Declare(parameter.TypeId, depth + 1);
                break;
            case BtfKind.Ptr or BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag:
                Declare(type.TypeId, depth + 1);
                break;
        }
    }

    private BtfType Skip(uint id) => _btf.Resolve(id, throughTypedefs: false);

    /// <summary>A type's name; a later one of the same name in the same C name space gets a suffix, as libbpf does it.</summary>
    private string NameOf(BtfType type)
    {
        if (_names.TryGetValue(type.Id, out string? known)) return known;
        string name = type.Name, space = type.Kind switch
        {
            BtfKind.Typedef => "t:",
            BtfKind.Fwd => "",
            _ => "s:",
        };
        if (space.Length != 0)
        {
            int use = _uses[space + name] = _uses.GetValueOrDefault(space + name) + 1;
            if (use > 1) name = $"{name}___{use}";
        }
        return _names[type.Id] = name;
    }

    private string Declaration(uint id, string name, int indent)
    {
        if (id == 0) return Join("void", name);
        BtfType type = _btf[id];
        switch (type.Kind)
        {
            case BtfKind.Ptr:
                BtfType target = Skip(type.TypeId);
                bool brackets = target.Kind is BtfKind.Array or BtfKind.FuncProto;
                return Declaration(type.TypeId, brackets ? $"(*{name})" : $"*{name}", indent);
            case BtfKind.Array:
                return Declaration(type.ArrayElementTypeId, $"{name}[{(type.ArrayCount == 0 ? "0" : type.ArrayCount)}]", indent);
            case BtfKind.FuncProto:
                return Declaration(type.TypeId, $"{name}({Parameters(type)})", indent);
            case BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict:
                // An array of const of a const array's element says it twice.
                if (type.Kind == BtfKind.Const && Skip(type.TypeId) is { Kind: BtfKind.Array } array && _btf[array.ArrayElementTypeId].Kind == BtfKind.Const)
                    return Declaration(type.TypeId, name, indent);
                string word = type.Kind == BtfKind.Const ? "const" : type.Kind == BtfKind.Volatile ? "volatile" : "restrict";
                return Skip(type.TypeId).Kind == BtfKind.Ptr && _btf[type.TypeId].Kind != BtfKind.Typedef
                    ? Declaration(type.TypeId, Join(word, name), indent) : $"{word} {Declaration(type.TypeId, name, indent)}";
            case BtfKind.TypeTag:
                return Declaration(type.TypeId, name, indent);
            case BtfKind.Struct or BtfKind.Union:
                return Join(type.NameOffset != 0 ? $"{(type.Kind == BtfKind.Union ? "union" : "struct")} {NameOf(type)}" : Body(type, indent, ""), name);
            case BtfKind.Enum or BtfKind.Enum64:
                return Join(type.NameOffset != 0 ? $"enum {NameOf(type)}" : "int", name);
            case BtfKind.Fwd:
                return Join($"{(type.KindFlag ? "union" : "struct")} {type.Name}", name);
            case BtfKind.Typedef:
                return Join(NameOf(type), name);
            default:
                return Join(type.Name, name);
        }
    }

    private string Parameters(BtfType proto)
    {
        if (proto.Vlen == 0) return "void";
        return string.Join(", ", proto.Params.Select(p => p is { TypeId: 0, Name: "" } ? "..." : Declaration(p.TypeId, "", 0)));
    }

    private static string Join(string type, string name) => name.Length == 0 ? type : $"{type} {name}";

    private string EnumBody(BtfType type, string name)
    {
        var text = new StringBuilder("enum ");
        if (type.NameOffset != 0) text.Append(NameOf(type)).Append(' ');
        text.Append("{\n");
        foreach (BtfEnumerator constant in type.Enumerators)
        {
            string label = constant.Name;
            int use = _uses["t:" + label] = _uses.GetValueOrDefault("t:" + label) + 1;
            if (use > 1) label = $"{label}___{use}";
            string value = type.KindFlag ? constant.Value.ToString() : ((ulong)constant.Value).ToString();
            if (type.Kind == BtfKind.Enum64) value += type.KindFlag ? "LL" : "ULL";
            text.Append('\t').Append(label).Append(" = ").Append(value).Append(",\n");
        }
        text.Append('}');
        string attributes = type.Size switch { 1 => " __attribute__((mode(byte)))", 2 => " __attribute__((mode(HI)))", _ => "" };
        return Join(text.Append(attributes).ToString(), name);
    }

    private string Body(BtfType type, int indent, string name)
    {
        string tabs = new('\t', indent + 1);
        bool isStruct = type.Kind == BtfKind.Struct, packed = isStruct && IsPacked(type);
        var text = new StringBuilder(isStruct ? "struct " : "union ");
        if (type.NameOffset != 0) text.Append(NameOf(type)).Append(' ');
        text.Append("{\n");
        ulong at = 0;
        foreach (BtfMember member in type.Members)
        {
            if (isStruct) Pad(text, tabs, ref at, member, packed);
            text.Append(tabs).Append(Declaration(member.TypeId, member.Name, indent + 1));
            if (member.BitfieldSize != 0) text.Append(": ").Append(member.BitfieldSize);
            text.Append(";\n");
            ulong size = member.BitfieldSize != 0 ? member.BitfieldSize : (ulong)Math.Max(0, _btf.SizeOf(member.TypeId)) * 8;
            at = isStruct ? member.BitOffset + size : at;
        }
        ulong end = (ulong)type.Size * 8, align = packed ? 8u : (ulong)Math.Max(1, _btf.AlignOf(type.Id)) * 8;
        if (isStruct && end > at && (at + align - 1) / align * align < end) Fill(text, tabs, at, end);
        text.Append(new string('\t', indent)).Append('}');
        if (packed) text.Append(" __attribute__((packed))");
        return Join(text.ToString(), name);
    }

    private void Pad(StringBuilder text, string tabs, ref ulong at, BtfMember member, bool packed)
    {
        ulong align = packed ? 8u : (ulong)Math.Max(1, _btf.AlignOf(member.TypeId)) * 8;
        if (member.BitfieldSize != 0)
        {
            // A bitfield follows on the next bit unless it would cross its own storage unit.
            ulong unit = (ulong)Math.Max(1, _btf.SizeOf(member.TypeId)) * 8;
            ulong natural = at / unit == (at + member.BitfieldSize - 1) / unit || packed ? at : (at + unit - 1) / unit * unit;
            if (natural == member.BitOffset) return;
        }
        else if ((at + align - 1) / align * align == member.BitOffset)
        {
            return;
        }
        if (member.BitOffset > at) Fill(text, tabs, at, member.BitOffset);
        at = member.BitOffset;
    }

    /// <summary>Unnamed bitfields from one bit to another, none across a 64-bit unit.</summary>
    private static void Fill(StringBuilder text, string tabs, ulong from, ulong to)
    {
        while (from < to)
        {
            ulong next = Math.Min(to, (from / 64 + 1) * 64);
            text.Append(tabs).Append("long: ").Append(next - from).Append(";\n");
            from = next;
        }
    }

    private bool IsPacked(BtfType type)
    {
        ulong max = 1;
        foreach (BtfMember member in type.Members)
        {
            int align = _btf.AlignOf(member.TypeId);
            if (align <= 0) continue;
            max = Math.Max(max, (ulong)align);
            if (member.BitfieldSize == 0 && member.BitOffset % (8 * (uint)align) != 0) return true;
        }
        return type.Size % max != 0;
    }
}
