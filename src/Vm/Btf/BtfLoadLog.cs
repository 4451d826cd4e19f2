using System.Globalization;
using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>The log of BPF_BTF_LOAD in the kernel's words: the header, every type as it is looked at, and why it ends.</summary>
public static class BtfLoadLog
{
    /// <summary>The log of a load that ends with this refusal, or of one that succeeds.</summary>
    public static string Format(BtfData btf, BtfRefusal? refusal)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"magic: 0x{BtfData.Magic:x}\nversion: {btf.Bytes.Span[2]}\nflags: 0x{btf.Bytes.Span[3]:x}\nhdr_len: {btf.ReadU32(4)}\n");
        text.Append(CultureInfo.InvariantCulture, $"type_off: {btf.ReadU32(8)}\ntype_len: {btf.ReadU32(12)}\nstr_off: {btf.ReadU32(16)}\nstr_len: {btf.ReadU32(20)}\nbtf_total_size: {btf.Bytes.Length}\n");
        if (refusal is { TypeId: 0 }) return text.Append(refusal.Message).Append('\n').ToString();
        uint end = refusal?.TypeId ?? btf.TypeCount;
        for (uint id = 1; id < end; id++) Append(text, btf[id]);
        if (refusal != null) text.Append(Head(btf[end])).Append(' ').Append(refusal.Reason).Append('\n');
        return text.ToString();
    }

    /// <summary>A type's own line, without its parts: <c>[4] INT int size=4 bits_offset=0 nr_bits=32 encoding=SIGNED</c>.</summary>
    public static string Head(BtfType type) =>
        $"[{type.Id}] {BtfText.KindName(type.Kind)} {BtfText.NameOf(type.Name)} {Details(type)}".TrimEnd();

    private static string Details(BtfType type) => type.Kind switch
    {
        BtfKind.Int => $"size={type.Size} bits_offset={type.IntBitOffset} nr_bits={type.IntBits} encoding={BtfText.Encoding(type.IntEncoding)}",
        BtfKind.Array => $"type_id={type.ArrayElementTypeId} index_type_id={type.ArrayIndexTypeId} nr_elems={type.ArrayCount}",
        BtfKind.Struct or BtfKind.Union or BtfKind.Enum or BtfKind.Enum64 or BtfKind.Datasec => $"size={type.Size} vlen={type.Vlen}",
        BtfKind.Fwd => type.KindFlag ? "union" : "struct",
        BtfKind.FuncProto => $"return={type.TypeId} args=({Arguments(type)})",
        BtfKind.Var => $"type_id={type.TypeId} linkage={(uint)type.Linkage}",
        BtfKind.Float => $"size={type.Size}",
        BtfKind.DeclTag => $"type={type.TypeId} component_idx={type.ComponentIndex}",
        _ => $"type_id={type.TypeId}",
    };

    private static string Arguments(BtfType proto)
    {
        var parts = new List<string>();
        foreach (BtfParam parameter in proto.Params)
            parts.Add(parameter.TypeId == 0 && parameter.Name.Length == 0 ? "vararg" : $"{parameter.TypeId} {BtfText.NameOf(parameter.Name)}");
        return parts.Count == 0 ? "void" : string.Join(", ", parts);
    }

    private static void Append(StringBuilder text, BtfType type)
    {
        text.Append(Head(type)).Append('\n');
        switch (type.Kind)
        {
            case BtfKind.Struct or BtfKind.Union:
                foreach (BtfMember member in type.Members)
                    text.Append(CultureInfo.InvariantCulture, $"\t{BtfText.NameOf(member.Name)} type_id={member.TypeId}{(type.KindFlag ? $" bitfield_size={member.BitfieldSize}" : "")} bits_offset={member.BitOffset}\n");
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                foreach (BtfEnumerator constant in type.Enumerators)
                    text.Append(CultureInfo.InvariantCulture, $"\t{BtfText.NameOf(constant.Name)} val={Value(type, constant)}\n");
                break;
            case BtfKind.Datasec:
                foreach (BtfVarSecInfo variable in type.Variables)
                    text.Append(CultureInfo.InvariantCulture, $"\t type_id={variable.TypeId} offset={variable.Offset} size={variable.Size}\n");
                break;
        }
    }

    private static string Value(BtfType type, BtfEnumerator constant) =>
        type.KindFlag ? constant.Value.ToString(CultureInfo.InvariantCulture)
        : (type.Kind == BtfKind.Enum ? (uint)constant.Value : (ulong)constant.Value).ToString(CultureInfo.InvariantCulture);
}
