using System.Globalization;
using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>One step of a field path: a member by name, or an array element (name null).</summary>
internal readonly record struct CoreAccessor(uint TypeId, int Index, string? Name);

/// <summary>
/// The path that a CO-RE relocation describes, in one BTF: the root type and, below it, the named members and
/// array indices (anonymous members are folded into the offset).
/// </summary>
internal sealed class CoreSpec
{
    private const int MaxLength = 64;

    public required BtfData Btf { get; init; }

    public required uint RootTypeId { get; init; }

    public required CoreRelocationKind Kind { get; init; }

    public List<CoreAccessor> Accessors { get; } = [];

    /// <summary>The path as it is counted through anonymous members.</summary>
    public List<int> Raw { get; } = [];

    public ulong BitOffset { get; set; }

    public static bool IsTypeBased(CoreRelocationKind kind) => kind is CoreRelocationKind.TypeIdLocal or CoreRelocationKind.TypeIdTarget
        or CoreRelocationKind.TypeExists or CoreRelocationKind.TypeSize or CoreRelocationKind.TypeMatches;

    public static bool IsEnumBased(CoreRelocationKind kind) => kind is CoreRelocationKind.EnumvalExists or CoreRelocationKind.EnumvalValue;

    /// <summary>Reads the access string of a relocation against the object's own BTF; null if it does not make sense.</summary>
    public static CoreSpec? Parse(BtfData btf, CoreRelocation relocation)
    {
        if (relocation.TypeId == 0 || relocation.TypeId >= btf.TypeCount || relocation.Kind > CoreRelocationKind.TypeMatches) return null;
        var spec = new CoreSpec { Btf = btf, RootTypeId = relocation.TypeId, Kind = relocation.Kind };
        if (IsTypeBased(relocation.Kind)) return relocation.AccessSpec == "0" ? spec : null;
        foreach (string part in relocation.AccessSpec.Split(':'))
        {
            if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int index) || spec.Raw.Count == MaxLength) return null;
            spec.Raw.Add(index);
        }
        BtfType root = btf.Resolve(relocation.TypeId);
        if (IsEnumBased(relocation.Kind))
        {
            if (!root.IsAnyEnum || spec.Raw.Count > 1 || spec.Raw[0] >= root.Vlen) return null;
            spec.Accessors.Add(new CoreAccessor(root.Id, spec.Raw[0], root.Enumerators[spec.Raw[0]].Name));
            return spec;
        }
        return spec.ParseFields(root) ? spec : null;
    }

    private bool ParseFields(BtfType type)
    {
        Accessors.Add(new CoreAccessor(type.Id, Raw[0], null));
        long size = Btf.SizeOf(type.Id);
        if (size < 0) return false;
        BitOffset = (ulong)Raw[0] * (ulong)size * 8;
        uint id = type.Id;
        for (int i = 1; i < Raw.Count; i++)
        {
            type = Btf.Resolve(id);
            int index = Raw[i];
            if (type.IsComposite)
            {
                if (index >= type.Vlen) return false;
                BtfMember member = type.Members[index];
                BitOffset += member.BitOffset;
                if (member.Name.Length != 0) Accessors.Add(new CoreAccessor(type.Id, index, member.Name));
                id = member.TypeId;
            }
            else if (type.Kind == BtfKind.Array)
            {
                BtfType element = Btf.Resolve(type.ArrayElementTypeId);
                if (index >= type.ArrayCount && !IsFlexible(type)) return false;
                size = Btf.SizeOf(element.Id);
                if (size < 0) return false;
                Accessors.Add(new CoreAccessor(element.Id, index, null));
                BitOffset += (ulong)index * (ulong)size * 8;
                id = element.Id;
            }
            else
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>Whether an array without length is the last member of the struct reached last.</summary>
    public bool IsFlexible(BtfType array)
    {
        CoreAccessor last = Accessors[^1];
        return last.Name != null && array.ArrayCount == 0 && last.Index == Btf[last.TypeId].Vlen - 1;
    }

    /// <summary>The relocation as libbpf prints it: <c>&lt;byte_off&gt; [5] struct foo.bar (0:1 @ offset 4)</c>.</summary>
    public override string ToString()
    {
        BtfType root = Btf[RootTypeId];
        string name = root.Name;
        var text = new StringBuilder($"<{KindName(Kind)}> [{RootTypeId}] {TypeKindName(root.Kind)} {(name.Length == 0 ? "<anon>" : name)}");
        if (IsTypeBased(Kind)) return text.ToString();
        if (IsEnumBased(Kind))
        {
            BtfType type = Btf.Resolve(RootTypeId);
            BtfEnumerator constant = type.Enumerators[Raw[0]];
            return text.Append("::").Append(constant.Name).Append(" = ")
                .Append(type.KindFlag ? constant.Value.ToString(CultureInfo.InvariantCulture) : ((ulong)constant.Value).ToString(CultureInfo.InvariantCulture)).ToString();
        }
        for (int i = 0; i < Accessors.Count; i++)
        {
            if (Accessors[i].Name is { } member) text.Append('.').Append(member);
            else if (i > 0 || Accessors[i].Index > 0) text.Append('[').Append(Accessors[i].Index).Append(']');
        }
        text.Append(" (").AppendJoin(':', Raw).Append(" @ offset ").Append(BitOffset / 8);
        if (BitOffset % 8 != 0) text.Append('.').Append(BitOffset % 8);
        return text.Append(')').ToString();
    }

    private static string KindName(CoreRelocationKind kind) => kind switch
    {
        CoreRelocationKind.FieldByteOffset => "byte_off",
        CoreRelocationKind.FieldByteSize => "byte_sz",
        CoreRelocationKind.FieldExists => "field_exists",
        CoreRelocationKind.FieldSigned => "signed",
        CoreRelocationKind.FieldLshiftU64 => "lshift_u64",
        CoreRelocationKind.FieldRshiftU64 => "rshift_u64",
        CoreRelocationKind.TypeIdLocal => "local_type_id",
        CoreRelocationKind.TypeIdTarget => "target_type_id",
        CoreRelocationKind.TypeExists => "type_exists",
        CoreRelocationKind.TypeSize => "type_size",
        CoreRelocationKind.TypeMatches => "type_matches",
        CoreRelocationKind.EnumvalExists => "enumval_exists",
        CoreRelocationKind.EnumvalValue => "enumval_value",
        _ => "unknown",
    };

    private static string TypeKindName(BtfKind kind) => kind switch
    {
        BtfKind.FuncProto => "func_proto",
        BtfKind.DeclTag => "decl_tag",
        BtfKind.TypeTag => "type_tag",
        _ => kind.ToString().ToLowerInvariant(),
    };
}
