namespace BpfSim.Vm.Btf;

/// <summary>
/// One type of a <see cref="BtfData"/>: a cheap view (two words) that decodes what is asked for. Properties that
/// the type's kind does not have return 0 or nothing; they never fail.
/// </summary>
public readonly struct BtfType : IEquatable<BtfType>
{
    private const int HeadLength = 12;
    private readonly int _offset;

    internal BtfType(BtfData btf, uint id)
    {
        Btf = btf;
        Id = id;
        _offset = btf.OffsetOf(id);
    }

    /// <summary>The BTF that the type belongs to.</summary>
    public BtfData Btf { get; }

    /// <summary>The type's id; 0 is void.</summary>
    public uint Id { get; }

    private uint Info => Id == 0 ? 0 : Btf.ReadU32(_offset + 4);

    /// <summary>What sort of type this is; Unknown for void.</summary>
    public BtfKind Kind => (BtfKind)((Info >> 24) & 0x1f);

    /// <summary>The number of members, enumerators, parameters or variables; the linkage of a FUNC.</summary>
    public int Vlen => (int)(Info & 0xffff);

    /// <summary>The kind flag: bitfields (struct, union), signedness (enums), union (forward declaration), attribute (tags).</summary>
    public bool KindFlag => Info >> 31 != 0;

    /// <summary>Offset of the name in the string section; 0 for an anonymous type.</summary>
    public uint NameOffset => Id == 0 ? 0 : Btf.ReadU32(_offset);

    /// <summary>The name; empty for an anonymous type, and for void.</summary>
    public string Name => Btf.GetString(NameOffset);

    /// <summary>The bytes of the name.</summary>
    public ReadOnlySpan<byte> NameBytes => NameOffset == 0 ? default : Btf.GetStringBytes(NameOffset);

    /// <summary>Size in bytes of an int, enum, struct, union, float or data section, 0 for others (see <see cref="BtfData.SizeOf"/>).</summary>
    public uint Size => HasSize ? Btf.ReadU32(_offset + 8) : 0;

    /// <summary>Id of the type that a pointer, modifier, typedef, function, variable or tag refers to; of a prototype: the return type.</summary>
    public uint TypeId => Id == 0 || HasSize ? 0 : Btf.ReadU32(_offset + 8);

    /// <summary>The type that <see cref="TypeId"/> names.</summary>
    public BtfType Target => Btf[TypeId];

    /// <summary>Whether this is a struct or union.</summary>
    public bool IsComposite => Kind is BtfKind.Struct or BtfKind.Union;

    /// <summary>Whether this is an enum of either width.</summary>
    public bool IsAnyEnum => Kind is BtfKind.Enum or BtfKind.Enum64;

    /// <summary>Whether this is const, volatile, restrict or a type tag.</summary>
    public bool IsModifier => Kind is BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag;

    /// <summary>Whether this is void.</summary>
    public bool IsVoid => Id == 0;

    private bool HasSize => Kind is BtfKind.Int or BtfKind.Enum or BtfKind.Struct or BtfKind.Union or BtfKind.Float or BtfKind.Datasec or BtfKind.Enum64;

    private uint Extra(int index) => Btf.ReadU32(_offset + HeadLength + 4 * index);

    /// <summary>Int: signed, char, bool.</summary>
    public BtfIntEncoding IntEncoding => Kind == BtfKind.Int ? (BtfIntEncoding)((Extra(0) >> 24) & 0xf) : 0;

    /// <summary>Int: width in bits.</summary>
    public int IntBits => Kind == BtfKind.Int ? (int)(Extra(0) & 0xff) : 0;

    /// <summary>Int: first bit (always 0 in what today's compilers write).</summary>
    public int IntBitOffset => Kind == BtfKind.Int ? (int)((Extra(0) >> 16) & 0xff) : 0;

    /// <summary>Array: id of the element type.</summary>
    public uint ArrayElementTypeId => Kind == BtfKind.Array ? Extra(0) : 0;

    /// <summary>Array: id of the index type.</summary>
    public uint ArrayIndexTypeId => Kind == BtfKind.Array ? Extra(1) : 0;

    /// <summary>Array: number of elements, 0 for a flexible one.</summary>
    public uint ArrayCount => Kind == BtfKind.Array ? Extra(2) : 0;

    /// <summary>Linkage of a FUNC or VAR.</summary>
    public BtfLinkage Linkage => Kind switch
    {
        BtfKind.Func => (BtfLinkage)Vlen,
        BtfKind.Var => (BtfLinkage)Extra(0),
        _ => 0,
    };

    /// <summary>Decl tag: index of the member or parameter it stands on; -1 for the type itself.</summary>
    public int ComponentIndex => Kind == BtfKind.DeclTag ? (int)Extra(0) : -1;

    /// <summary>Whether an enum's values are signed.</summary>
    public bool IsSignedEnum => IsAnyEnum && KindFlag;

    /// <summary>The members of a struct or union, in the order of the source.</summary>
    public BtfList<BtfMember> Members => new(this, IsComposite ? Vlen : 0, static (type, index) => type.Member(index));

    /// <summary>The constants of an enum.</summary>
    public BtfList<BtfEnumerator> Enumerators => new(this, IsAnyEnum ? Vlen : 0, static (type, index) => type.Enumerator(index));

    /// <summary>The parameters of a function prototype.</summary>
    public BtfList<BtfParam> Params => new(this, Kind == BtfKind.FuncProto ? Vlen : 0, static (type, index) => type.Param(index));

    /// <summary>The variables of a data section.</summary>
    public BtfList<BtfVarSecInfo> Variables => new(this, Kind == BtfKind.Datasec ? Vlen : 0, static (type, index) => type.Variable(index));

    /// <summary>The member with this name, looking into anonymous structs and unions; null if there is none. The bit offset counts from this type.</summary>
    public BtfMember? FindMember(string name) => FindMember(name, 0);

    private BtfMember? FindMember(string name, int depth)
    {
        if (depth > 16) return null;
        foreach (BtfMember member in Members)
        {
            if (member.Name == name) return member;
            if (member.Name.Length != 0) continue;
            BtfType inner = Btf.Resolve(member.TypeId);
            if (inner.IsComposite && inner.FindMember(name, depth + 1) is { } found)
                return found with { BitOffset = found.BitOffset + member.BitOffset };
        }
        return null;
    }

    internal uint RawExtra(int index) => Extra(index);

    internal uint MemberTypeId(int index) => Extra(3 * index + 1);

    internal uint MemberNameOffset(int index) => Extra(3 * index);

    internal BtfMember Member(int index)
    {
        uint position = Extra(3 * index + 2);
        uint width = KindFlag ? position >> 24 : 0, offset = KindFlag ? position & 0xffffff : position;
        return new BtfMember(Btf.GetString(Extra(3 * index)), Extra(3 * index + 1), offset, width);
    }

    private BtfEnumerator Enumerator(int index)
    {
        if (Kind == BtfKind.Enum)
        {
            int value = (int)Extra(2 * index + 1);
            return new BtfEnumerator(Btf.GetString(Extra(2 * index)), KindFlag ? value : (uint)value);
        }
        return new BtfEnumerator(Btf.GetString(Extra(3 * index)), (long)(Extra(3 * index + 1) | (ulong)Extra(3 * index + 2) << 32));
    }

    private BtfParam Param(int index) => new(Btf.GetString(Extra(2 * index)), Extra(2 * index + 1));

    private BtfVarSecInfo Variable(int index) => new(Extra(3 * index), Extra(3 * index + 1), Extra(3 * index + 2));

    /// <inheritdoc/>
    public bool Equals(BtfType other) => Id == other.Id && ReferenceEquals(Btf, other.Btf);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is BtfType other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => (int)Id;

    /// <summary>Same type of the same BTF.</summary>
    public static bool operator ==(BtfType left, BtfType right) => left.Equals(right);

    /// <summary>Another type.</summary>
    public static bool operator !=(BtfType left, BtfType right) => !left.Equals(right);

    /// <summary>Id, kind and name, for messages.</summary>
    public override string ToString() => Id == 0 ? "[0] VOID" : $"[{Id}] {Kind} '{Name}'";
}
