namespace BpfSim.Vm.Btf;

/// <summary>Kinds of BTF types by their number in the format (BTF_KIND_*).</summary>
public enum BtfKind : byte
{
    Unknown, Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func, FuncProto, Var,
    Datasec, Float, DeclTag, TypeTag, Enum64,
}

/// <summary>Linkage of functions and variables (BTF_FUNC_*, BTF_VAR_*).</summary>
public enum BtfLinkage : uint { Static = 0, Global = 1, Extern = 2 }

/// <summary>How the bits of an integer are meant (BTF_INT_*).</summary>
[Flags]
public enum BtfIntEncoding : byte { None = 0, Signed = 1, Char = 2, Bool = 4 }

/// <summary>A member of a struct or union.</summary>
/// <param name="Name">The member's name, empty for an anonymous struct or union.</param>
/// <param name="TypeId">Its type.</param>
/// <param name="BitOffset">Offset in bits from the start of the struct.</param>
/// <param name="BitfieldSize">Width in bits of a bitfield, 0 for a plain member.</param>
public readonly record struct BtfMember(string Name, uint TypeId, uint BitOffset, uint BitfieldSize)
{
    /// <summary>Offset in whole bytes, rounded down.</summary>
    public uint ByteOffset => BitOffset / 8;
}

/// <summary>A named constant of an enum; <see cref="Value"/> holds the bits, sign-extended for a signed enum.</summary>
public readonly record struct BtfEnumerator(string Name, long Value);

/// <summary>A parameter of a function prototype; a last one with type 0 and no name stands for "...".</summary>
public readonly record struct BtfParam(string Name, uint TypeId);

/// <summary>A variable of a data section: its VAR, its offset and size in bytes.</summary>
public readonly record struct BtfVarSecInfo(uint TypeId, uint Offset, uint Size);

/// <summary>A btf_decl_tag attribute: its text, and the member or parameter it stands on (-1: the type itself).</summary>
public readonly record struct BtfDeclTag(uint Id, string Text, int ComponentIndex);
