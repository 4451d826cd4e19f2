using System.Globalization;

namespace BpfSim.Vm.Btf;

/// <summary>The C text of names, declarations and bodies.</summary>
public sealed partial class BtfCWriter
{
    private static readonly (string Name, int Bits)[] s_pads = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];

    private readonly Dictionary<uint, string> _names = [];
    private readonly Dictionary<string, int> _typeUses = [];
    private readonly Dictionary<string, int> _identifierUses = [];

    /// <summary>The name of a struct, union or enum. What comes second under one name gets <c>___2</c>; declarations share the first's.</summary>
    private string TypeName(BtfType type) => Name(type, _typeUses);

    /// <summary>The name of a typedef, in one space with enumerators.</summary>
    private string IdentifierName(BtfType type) => Name(type, _identifierUses);

    private string Name(BtfType type, Dictionary<string, int> uses)
    {
        if (type.NameOffset == 0) return "";
        if (_names.TryGetValue(type.Id, out string? known)) return known;
        bool declaration = type.Kind == BtfKind.Fwd || (type.Kind == BtfKind.Enum && type.Vlen == 0);
        return _names[type.Id] = declaration ? type.Name : Unique(type.Name, uses);
    }

    private static string Unique(string name, Dictionary<string, int> uses)
    {
        int count = uses[name] = uses.GetValueOrDefault(name) + 1;
        return count > 1 ? $"{name}___{count}" : name;
    }

    private void StructName(BtfType type) =>
        _out.Append(type.Kind == BtfKind.Struct ? "struct" : "union").Append(type.NameOffset == 0 ? "" : " ").Append(TypeName(type));

    /// <summary>Declares a name of a type: the type's parts from the inside out, as C reads them.</summary>
    private void Declaration(uint id, string name, int indent, int depth)
    {
        if (depth > MaxDepth) throw new BtfException($".BTF: type {id} is nested deeper than {MaxDepth} types");
        var chain = new Stack<uint>();
        while (true)
        {
            chain.Push(id);
            if (chain.Count > MaxDepth) throw new BtfException($".BTF: type {id} is nested deeper than {MaxDepth} types");
            BtfType type = _btf[id];
            if (type.Kind == BtfKind.Array) id = type.ArrayElementTypeId;
            else if (type.IsModifier || type.Kind is BtfKind.Ptr or BtfKind.FuncProto) id = type.TypeId;
            else break;
        }
        Chain(chain, name, indent, depth);
    }

    private void Chain(Stack<uint> chain, string name, int indent, int depth)
    {
        // Stars stand together, and the first one of a group in brackets stands at the bracket.
        bool afterStar = true;
        while (chain.TryPop(out uint id))
        {
            BtfType type = _btf[id];
            switch (type.Kind)
            {
                case BtfKind.Ptr:
                    _out.Append(afterStar ? "*" : " *");
                    break;
                case BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict:
                    _out.Append(' ').Append(Qualifier(type.Kind));
                    break;
                case BtfKind.TypeTag:
                    Qualifiers(chain);
                    _out.Append(" __attribute__((btf_type_tag(\"").Append(type.Name).Append("\")))");
                    break;
                case BtfKind.Array:
                    ArrayOf(type, chain, name, afterStar, indent, depth);
                    return;
                case BtfKind.FuncProto:
                    FunctionOf(type, chain, name, afterStar, indent, depth);
                    return;
                default:
                    Qualifiers(chain);
                    Base(type, indent, depth);
                    break;
            }
            afterStar = type.Kind == BtfKind.Ptr;
        }
        Named(name, afterStar);
    }

    private void Base(BtfType type, int indent, int depth)
    {
        switch (type.Kind)
        {
            case BtfKind.Unknown:
                _out.Append("void");
                break;
            case BtfKind.Struct or BtfKind.Union when type.NameOffset == 0:
                StructDefinition(type, indent, depth + 1);
                break;
            case BtfKind.Struct or BtfKind.Union:
                StructName(type);
                break;
            case BtfKind.Enum or BtfKind.Enum64 when type.NameOffset == 0:
                EnumDefinition(type, indent);
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                _out.Append("enum ").Append(TypeName(type));
                break;
            case BtfKind.Fwd:
                _out.Append(type.KindFlag ? "union " : "struct ").Append(TypeName(type));
                break;
            case BtfKind.Typedef:
                _out.Append(IdentifierName(type));
                break;
            default:
                _out.Append(type.Name);
                break;
        }
    }

    /// <summary>An array's element is written; now its name and size. What qualifies the array itself already qualifies the element.</summary>
    private void ArrayOf(BtfType array, Stack<uint> chain, string name, bool afterStar, int indent, int depth)
    {
        DropQualifiers(chain);
        if (chain.Count == 0)
        {
            Named(name, afterStar);
        }
        else
        {
            bool brackets = _btf[chain.Peek()].Kind != BtfKind.Array;
            if (name.Length != 0 && !afterStar) _out.Append(' ');
            if (brackets) _out.Append('(');
            Chain(chain, name, indent, depth + 1);
            if (brackets) _out.Append(')');
        }
        _out.Append('[').Append(array.ArrayCount).Append(']');
    }

    private void FunctionOf(BtfType proto, Stack<uint> chain, string name, bool afterStar, int indent, int depth)
    {
        DropQualifiers(chain);
        if (chain.Count == 0)
        {
            Named(name, afterStar);
        }
        else
        {
            _out.Append(" (");
            Chain(chain, name, indent, depth + 1);
            _out.Append(')');
        }
        _out.Append('(');
        BtfList<BtfParam> parameters = proto.Params;
        if (parameters.Count == 0 || (parameters.Count == 1 && parameters[0].TypeId == 0)) _out.Append("void");
        else
            for (int i = 0; i < parameters.Count; i++)
            {
                if (i > 0) _out.Append(", ");
                if (i == parameters.Count - 1 && parameters[i].TypeId == 0) _out.Append("...");
                else Declaration(parameters[i].TypeId, parameters[i].Name, indent, depth + 1);
            }
        _out.Append(')');
    }

    private void Named(string name, bool afterStar)
    {
        if (name.Length != 0 && !afterStar) _out.Append(' ');
        _out.Append(name);
    }

    private static string Qualifier(BtfKind kind) => kind switch { BtfKind.Const => "const", BtfKind.Volatile => "volatile", _ => "restrict" };

    /// <summary>Writes the qualifiers of what comes next in front of it.</summary>
    private void Qualifiers(Stack<uint> chain)
    {
        while (chain.TryPeek(out uint id) && _btf[id].Kind is BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict)
            _out.Append(Qualifier(_btf[chain.Pop()].Kind)).Append(' ');
    }

    private void DropQualifiers(Stack<uint> chain)
    {
        while (chain.TryPeek(out uint id) && _btf[id].IsModifier) chain.Pop();
    }

    private void EnumDefinition(BtfType type, int indent)
    {
        _out.Append("enum").Append(type.NameOffset == 0 ? "" : " ").Append(TypeName(type));
        if (type.Vlen == 0) return;
        _out.Append(" {");
        foreach (BtfEnumerator constant in type.Enumerators)
            NewLine(indent + 1).Append(Unique(constant.Name, _identifierUses)).Append(" = ").Append(Value(type, constant)).Append(',');
        NewLine(indent).Append('}');
    }

    private static string Value(BtfType type, BtfEnumerator constant)
    {
        bool wide = type.Kind == BtfKind.Enum64;
        if (type.KindFlag) return constant.Value.ToString(CultureInfo.InvariantCulture) + (wide ? "LL" : "");
        return wide ? ((ulong)constant.Value).ToString(CultureInfo.InvariantCulture) + "ULL" : ((uint)constant.Value).ToString(CultureInfo.InvariantCulture);
    }

    private void StructDefinition(BtfType type, int indent, int depth = 0)
    {
        bool isStruct = type.Kind == BtfKind.Struct, packed = isStruct && IsPacked(type), afterBits = false;
        long at = 0;
        StructName(type);
        _out.Append(" {");
        foreach (BtfMember member in type.Members)
        {
            int align = packed ? 1 : _btf.AlignOf(member.TypeId);
            Pad(at, member.BitOffset, align, afterBits && member.BitfieldSize != 0, indent + 1);
            NewLine(indent + 1);
            Declaration(member.TypeId, member.Name, indent + 1, depth + 1);
            afterBits = member.BitfieldSize != 0;
            if (afterBits) _out.Append(": ").Append(member.BitfieldSize);
            _out.Append(';');
            at = member.BitOffset + (afterBits ? member.BitfieldSize : 8 * Math.Max(0, _btf.SizeOf(member.TypeId)));
        }
        if (isStruct) Pad(at, 8L * type.Size, _btf.AlignOf(type.Id), false, indent + 1);
        // An empty struct stays on its line.
        if (type.Vlen != 0 || type.Size != 0) NewLine(indent);
        _out.Append('}');
        if (packed) _out.Append(" __attribute__((packed))");
    }

    /// <summary>
    /// Fills the bits between two members where the compiler would not leave them by itself: first up to a boundary of
    /// the largest integer that has one in the gap, then in whole integers of that size, and the rest in a smaller one.
    /// </summary>
    private void Pad(long from, long to, int nextAlign, bool inBits, int indent)
    {
        if (from >= to) return;
        int pick = Array.FindIndex(s_pads, p => RoundUp(from, p.Bits) <= to);
        (string name, int bits) = s_pads[pick < 0 ? s_pads.Length - 1 : pick];
        long boundary = RoundUp(from, bits);
        if (boundary > from && boundary <= to)
        {
            // An explicit mark where the next member would not be aligned as far, or where what is left would fit before it.
            bool marked = inBits || (boundary == to && RoundUp(from, 8L * nextAlign) != boundary) || (boundary != to && to - boundary <= boundary - from);
            if (marked) NewLine(indent).Append(name).Append(": ").Append(inBits ? boundary - from : 0).Append(';');
            from = boundary;
        }
        for (; to - from >= bits; from += bits) NewLine(indent).Append(name).Append(": ").Append(bits).Append(';');
        if (from == to) return;
        NewLine(indent).Append(Array.FindLast(s_pads, p => p.Bits >= to - from).Name).Append(": ").Append(to - from).Append(';');
    }

    private static long RoundUp(long value, long unit) => unit <= 0 ? value : (value + unit - 1) / unit * unit;

    /// <summary>Whether members or size betray that the struct was packed.</summary>
    private bool IsPacked(BtfType type)
    {
        int most = 1;
        foreach (BtfMember member in type.Members)
        {
            int align = _btf.AlignOf(member.TypeId);
            if (align > 0 && member.BitfieldSize == 0 && member.BitOffset % (8 * (uint)align) != 0) return true;
            most = Math.Max(most, align);
        }
        return type.Size % most != 0;
    }

    private System.Text.StringBuilder NewLine(int indent) => _out.Append('\n').Append('\t', indent);
}
