namespace BpfSim.Vm.Btf;

/// <summary>One CO-RE relocation of .BTF.ext (struct bpf_core_relo): what to look up and where to put it.</summary>
/// <param name="InsnOff">Slot of the instruction in its program.</param>
/// <param name="TypeId">Root type in the object's BTF.</param>
/// <param name="AccessSpec">Path of member, element or enumerator indices, such as <c>0:1:2</c>.</param>
/// <param name="Kind">enum bpf_core_relo_kind, 0 to 12.</param>
public readonly record struct CoreRelocation(int InsnOff, uint TypeId, string AccessSpec, CoreRelocationKind Kind);

/// <summary>What a CO-RE relocation asks of the target type (enum bpf_core_relo_kind).</summary>
public enum CoreRelocationKind : uint
{
    FieldByteOffset, FieldByteSize, FieldExists, FieldSigned, FieldLshiftU64, FieldRshiftU64,
    TypeIdLocal, TypeIdTarget, TypeExists, TypeSize, EnumvalExists, EnumvalValue, TypeMatches,
}
