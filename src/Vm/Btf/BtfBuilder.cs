using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Writes BTF: types get the ids 1, 2, … in the order in which they are added, and may refer to ids that are
/// added later. Strings are stored once.
/// </summary>
public sealed class BtfBuilder
{
    private readonly List<byte> _types = [];
    private readonly List<byte> _strings = [0];
    private readonly Dictionary<string, uint> _stringOffsets = new() { [""] = 0 };

    /// <summary>The id that the next added type gets.</summary>
    public uint NextId { get; private set; } = 1;

    /// <summary>The offset of a string in the string section; added if it is new.</summary>
    public uint AddString(string text)
    {
        if (_stringOffsets.TryGetValue(text, out uint offset)) return offset;
        offset = (uint)_strings.Count;
        _strings.AddRange(Encoding.UTF8.GetBytes(text));
        _strings.Add(0);
        return _stringOffsets[text] = offset;
    }

    /// <summary>An integer type; size in bytes.</summary>
    public uint AddInt(string name, uint size, BtfIntEncoding encoding = BtfIntEncoding.None) =>
        Add(BtfKind.Int, name, size, 0, false, (uint)encoding << 24 | size * 8);

    /// <summary>A pointer, modifier, typedef, function or type tag: anything that is a name and one other type.</summary>
    public uint AddReference(BtfKind kind, string name, uint typeId, bool kindFlag = false) => Add(kind, name, typeId, 0, kindFlag);

    /// <summary>A function.</summary>
    public uint AddFunc(string name, uint protoId, BtfLinkage linkage = BtfLinkage.Static) => Add(BtfKind.Func, name, protoId, (int)linkage, false);

    /// <summary>A variable.</summary>
    public uint AddVar(string name, uint typeId, BtfLinkage linkage = BtfLinkage.Global) => Add(BtfKind.Var, name, typeId, 0, false, (uint)linkage);

    /// <summary>A declaration tag on a type (component -1) or one of its members or parameters.</summary>
    public uint AddDeclTag(string text, uint typeId, int component = -1) => Add(BtfKind.DeclTag, text, typeId, 0, false, (uint)component);

    /// <summary>A floating-point type.</summary>
    public uint AddFloat(string name, uint size) => Add(BtfKind.Float, name, size, 0, false);

    /// <summary>A forward declaration.</summary>
    public uint AddForward(string name, bool union = false) => Add(BtfKind.Fwd, name, 0, 0, union);

    /// <summary>An array.</summary>
    public uint AddArray(uint elementTypeId, uint indexTypeId, uint count) => Add(BtfKind.Array, "", 0, 0, false, elementTypeId, indexTypeId, count);

    /// <summary>A struct or union. Bitfields, if any member is one, limit member offsets to 24 bits.</summary>
    public uint AddComposite(BtfKind kind, string name, uint size, IReadOnlyCollection<BtfMember> members)
    {
        bool bitfields = members.Any(m => m.BitfieldSize != 0);
        return Add(kind, name, size, members.Count, bitfields,
            [.. members.SelectMany(m => new[] { AddString(m.Name), m.TypeId, bitfields ? m.BitfieldSize << 24 | m.BitOffset : m.BitOffset })]);
    }

    /// <summary>An enum of up to 4 bytes.</summary>
    public uint AddEnum(string name, uint size, bool signed, IReadOnlyCollection<BtfEnumerator> values) =>
        Add(BtfKind.Enum, name, size, values.Count, signed, [.. values.SelectMany(v => new[] { AddString(v.Name), (uint)v.Value })]);

    /// <summary>An enum of 8 bytes.</summary>
    public uint AddEnum64(string name, uint size, bool signed, IReadOnlyCollection<BtfEnumerator> values) =>
        Add(BtfKind.Enum64, name, size, values.Count, signed,
            [.. values.SelectMany(v => new[] { AddString(v.Name), (uint)v.Value, (uint)((ulong)v.Value >> 32) })]);

    /// <summary>A function prototype.</summary>
    public uint AddFuncProto(uint returnTypeId, IReadOnlyCollection<BtfParam> parameters) =>
        Add(BtfKind.FuncProto, "", returnTypeId, parameters.Count, false, [.. parameters.SelectMany(p => new[] { AddString(p.Name), p.TypeId })]);

    /// <summary>A data section.</summary>
    public uint AddDatasec(string name, uint size, IReadOnlyCollection<BtfVarSecInfo> variables) =>
        Add(BtfKind.Datasec, name, size, variables.Count, false, [.. variables.SelectMany(v => new[] { v.TypeId, v.Offset, v.Size })]);

    /// <summary>
    /// Copies a type of another BTF; the function translates every id that it refers to.
    /// </summary>
    public uint AddCopy(BtfType type, Func<uint, uint> mapId)
    {
        string name = type.Name;
        switch (type.Kind)
        {
            case BtfKind.Int:
                return Add(BtfKind.Int, name, type.Size, 0, false, (uint)type.IntEncoding << 24 | (uint)type.IntBitOffset << 16 | (uint)type.IntBits);
            case BtfKind.Array:
                return AddArray(mapId(type.ArrayElementTypeId), mapId(type.ArrayIndexTypeId), type.ArrayCount);
            case BtfKind.Struct or BtfKind.Union:
                uint[] members = new uint[3 * type.Vlen];
                for (int i = 0; i < type.Vlen; i++)
                {
                    members[3 * i] = AddString(type.Btf.GetString(type.RawExtra(3 * i)));
                    members[3 * i + 1] = mapId(type.RawExtra(3 * i + 1));
                    members[3 * i + 2] = type.RawExtra(3 * i + 2);
                }
                return Add(type.Kind, name, type.Size, type.Vlen, type.KindFlag, members);
            case BtfKind.Enum:
                return AddEnum(name, type.Size, type.KindFlag, type.Enumerators);
            case BtfKind.Enum64:
                return AddEnum64(name, type.Size, type.KindFlag, type.Enumerators);
            case BtfKind.Fwd:
                return AddForward(name, type.KindFlag);
            case BtfKind.Func:
                return AddFunc(name, mapId(type.TypeId), type.Linkage);
            case BtfKind.FuncProto:
                return AddFuncProto(mapId(type.TypeId), [.. type.Params.Select(p => p with { TypeId = mapId(p.TypeId) })]);
            case BtfKind.Var:
                return AddVar(name, mapId(type.TypeId), type.Linkage);
            case BtfKind.Datasec:
                return AddDatasec(name, type.Size, [.. type.Variables.Select(v => v with { TypeId = mapId(v.TypeId) })]);
            case BtfKind.Float:
                return AddFloat(name, type.Size);
            case BtfKind.DeclTag:
                return AddDeclTag(name, mapId(type.TypeId), type.ComponentIndex);
            default:
                return AddReference(type.Kind, name, mapId(type.TypeId), type.KindFlag);
        }
    }

    /// <summary>The bytes of a .BTF section.</summary>
    public byte[] ToBytes()
    {
        byte[] data = new byte[BtfData.HeaderLength + _types.Count + _strings.Count];
        Span<byte> span = data;
        BinaryPrimitives.WriteUInt16LittleEndian(span, BtfData.Magic);
        span[2] = 1;
        BinaryPrimitives.WriteUInt32LittleEndian(span[4..], BtfData.HeaderLength);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], (uint)_types.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(span[16..], (uint)_types.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(span[20..], (uint)_strings.Count);
        CollectionsMarshal.AsSpan(_types).CopyTo(span[BtfData.HeaderLength..]);
        CollectionsMarshal.AsSpan(_strings).CopyTo(span[(BtfData.HeaderLength + _types.Count)..]);
        return data;
    }

    /// <summary>The written types, read back.</summary>
    public BtfData ToBtf() => BtfData.Parse(ToBytes());

    private uint Add(BtfKind kind, string name, uint sizeOrType, int vlen, bool kindFlag, params uint[] extra)
    {
        if ((uint)vlen > 0xffff) throw new ArgumentOutOfRangeException(nameof(vlen), $"{kind} '{name}' has {vlen} parts, BTF allows 65535");
        Span<byte> word = stackalloc byte[4];
        Put(word, AddString(name));
        Put(word, (uint)vlen | (uint)kind << 24 | (kindFlag ? 1u << 31 : 0));
        Put(word, sizeOrType);
        foreach (uint value in extra) Put(word, value);
        return NextId++;
    }

    private void Put(Span<byte> word, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        _types.AddRange(word);
    }
}
