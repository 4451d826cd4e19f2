using BpfSim.Maps;

namespace BpfSim.Vm.Btf;

/// <summary>
/// The checks of the kernel's BPF_BTF_LOAD: header and sections, then each type by itself, then what types refer to.
/// Reading BTF needs much less than this; what fails here is still good for libbpf, but the kernel does not take it,
/// and the programs are loaded without.
/// </summary>
public sealed partial class BtfValidator
{
    private const uint InfoMask = 0x9f00ffff, MaxType = 0xfffff, MaxStrings = 0x1000000;
    private const int MaxIdentifier = 512, MaxBits = 128;

    private readonly BtfData _btf;

    private BtfValidator(BtfData btf)
    {
        _btf = btf;
        _states = new Visit[btf.TypeCount];
    }

    /// <summary>Why the kernel refuses this BTF; null if it takes it.</summary>
    /// <param name="btf">The type information.</param>
    public static BtfRefusal? Check(BtfData btf)
    {
        try
        {
            CheckHeader(btf);
            var validator = new BtfValidator(btf);
            for (uint id = 1; id < btf.TypeCount; id++) validator.CheckMeta(btf[id]);
            for (uint id = 1; id < btf.TypeCount; id++) validator.CheckType(id);
            for (uint id = 1; id < btf.TypeCount; id++) CheckTags(btf[id]);
            return null;
        }
        catch (RefusedException e)
        {
            return new BtfRefusal(e.Errno, e.Message) { TypeId = e.TypeId, Reason = e.Reason };
        }
    }

    private static void CheckHeader(BtfData btf)
    {
        ReadOnlySpan<byte> data = btf.Bytes.Span;
        uint header = btf.ReadU32(4), types = btf.ReadU32(8), typesLength = btf.ReadU32(12), strings = btf.ReadU32(16), stringsLength = btf.ReadU32(20);
        if (data[BtfData.HeaderLength..(int)header].ContainsAnyExcept((byte)0)) throw new RefusedException("Unsupported btf_header", Errno.E2BIG);
        if (data[3] != 0) throw new RefusedException("Unsupported flags", Errno.ENOTSUPP);
        if (types != 0 || strings != typesLength || header + strings + stringsLength != (uint)data.Length) throw new RefusedException("Unsupported section found");
        if (stringsLength > MaxStrings) throw new RefusedException("Invalid string section");
        if (typesLength == 0) throw new RefusedException("No type found");
        if (btf.TypeCount > MaxType) throw new RefusedException("Exceeded max num of types", Errno.E2BIG);
    }

    /// <summary>What a type must be by itself.</summary>
    private void CheckMeta(BtfType type)
    {
        if ((_btf.ReadU32(_btf.OffsetOf(type.Id) + 4) & ~InfoMask) != 0) throw Bad(type, "Invalid btf_info");
        if (type.NameOffset >= _btf.StringsLength) throw Bad(type, $"Invalid name_offset:{type.NameOffset}");
        switch (type.Kind)
        {
            case BtfKind.Int:
                CheckPlain(type);
                CheckInt(type);
                break;
            case BtfKind.Ptr or BtfKind.Volatile or BtfKind.Const or BtfKind.Restrict or BtfKind.Typedef or BtfKind.TypeTag:
                CheckPlain(type, kindFlagAllowed: type.Kind == BtfKind.TypeTag);
                bool named = type.Kind switch
                {
                    BtfKind.Typedef => IsIdentifier(type.NameOffset),
                    BtfKind.TypeTag => !type.NameBytes.IsEmpty,
                    _ => type.NameOffset == 0,
                };
                if (!named) throw Bad(type, "Invalid name");
                break;
            case BtfKind.Array:
                if (type.NameOffset != 0) throw Bad(type, "Invalid name");
                CheckPlain(type);
                if (type.TypeId != 0) throw Bad(type, "size != 0");
                if (type.ArrayElementTypeId == 0) throw Bad(type, "Invalid elem");
                if (type.ArrayIndexTypeId == 0) throw Bad(type, "Invalid index");
                break;
            case BtfKind.Struct or BtfKind.Union:
                CheckStruct(type);
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                CheckEnum(type);
                break;
            case BtfKind.Fwd:
                CheckPlain(type, kindFlagAllowed: true);
                if (type.TypeId != 0) throw Bad(type, "type != 0");
                if (!IsIdentifier(type.NameOffset)) throw Bad(type, "Invalid name");
                break;
            case BtfKind.Func:
                if (!IsIdentifier(type.NameOffset)) throw Bad(type, "Invalid name");
                if (type.Linkage > BtfLinkage.Global) throw Bad(type, "Invalid func linkage");
                if (type.KindFlag) throw Bad(type, "Invalid btf_info kind_flag");
                break;
            case BtfKind.FuncProto:
                if (type.NameOffset != 0) throw Bad(type, "Invalid name");
                if (type.KindFlag) throw Bad(type, "Invalid btf_info kind_flag");
                break;
            case BtfKind.Var:
                CheckPlain(type);
                if (!IsIdentifier(type.NameOffset)) throw Bad(type, "Invalid name");
                if (type.TypeId == 0) throw Bad(type, "Invalid type_id");
                if (type.Linkage > BtfLinkage.Global) throw Bad(type, "Linkage not supported");
                break;
            case BtfKind.Datasec:
                CheckDatasec(type);
                break;
            case BtfKind.Float:
                CheckPlain(type);
                if (type.Size is not (2 or 4 or 8 or 12 or 16)) throw Bad(type, "Invalid type_size");
                break;
            case BtfKind.DeclTag:
                if (type.NameBytes.IsEmpty) throw Bad(type, "Invalid value");
                CheckPlain(type, kindFlagAllowed: true);
                if (type.ComponentIndex < -1) throw Bad(type, "Invalid component_idx");
                break;
        }
    }

    private static void CheckPlain(BtfType type, bool kindFlagAllowed = false)
    {
        if (type.Vlen != 0) throw Bad(type, "vlen != 0");
        if (type.KindFlag && !kindFlagAllowed) throw Bad(type, "Invalid btf_info kind_flag");
    }

    private static void CheckInt(BtfType type)
    {
        uint data = type.RawExtra(0);
        if ((data & ~0x0fff00ffu) != 0) throw Bad(type, $"Invalid int_data:{data:x}");
        int bits = type.IntBits + type.IntBitOffset;
        if (bits > MaxBits) throw Bad(type, $"nr_bits exceeds {MaxBits}");
        if ((bits + 7) / 8 > type.Size) throw Bad(type, "nr_bits exceeds type_size");
        if (type.IntEncoding is not (BtfIntEncoding.None or BtfIntEncoding.Signed or BtfIntEncoding.Char or BtfIntEncoding.Bool))
            throw Bad(type, "Unsupported encoding", Errno.ENOTSUPP);
    }

    private void CheckStruct(BtfType type)
    {
        if (type.NameOffset != 0 && !IsIdentifier(type.NameOffset)) throw Bad(type, "Invalid name");
        uint last = 0;
        for (int i = 0; i < type.Vlen; i++)
        {
            uint name = type.MemberNameOffset(i), offset = type.Member(i).BitOffset;
            if (name >= _btf.StringsLength) throw Bad(type, $"Invalid member name_offset:{name}");
            if (name != 0 && !IsIdentifier(name)) throw Bad(type, "Invalid name");
            if (type.MemberTypeId(i) == 0) throw Bad(type, "Invalid type_id");
            if ((type.Kind == BtfKind.Union && offset != 0) || last > offset) throw Bad(type, "Invalid member bits_offset");
            if (((ulong)offset + 7) / 8 > type.Size) throw Bad(type, "Member bits_offset exceeds its struct size");
            last = offset;
        }
    }

    private void CheckEnum(BtfType type)
    {
        if (type.Size is not (1 or 2 or 4 or 8)) throw Bad(type, "Unexpected size");
        if (type.NameOffset != 0 && !IsIdentifier(type.NameOffset)) throw Bad(type, "Invalid name");
        int words = type.Kind == BtfKind.Enum ? 2 : 3;
        for (int i = 0; i < type.Vlen; i++)
        {
            uint name = type.RawExtra(words * i);
            if (name >= _btf.StringsLength) throw Bad(type, $"Invalid name_offset:{name}");
            if (!IsIdentifier(name)) throw Bad(type, "Invalid name");
        }
    }

    private static void CheckDatasec(BtfType type)
    {
        if (type.Size == 0) throw Bad(type, "size == 0");
        if (type.KindFlag) throw Bad(type, "Invalid btf_info kind_flag");
        if (!IsSectionName(type.NameBytes)) throw Bad(type, "Invalid name");
        ulong end = 0;
        foreach (BtfVarSecInfo variable in type.Variables)
        {
            if (variable.TypeId == 0) throw Bad(type, "Invalid type_id");
            if (variable.Offset < end || variable.Offset >= type.Size) throw Bad(type, "Invalid offset");
            if (variable.Size == 0 || variable.Size > type.Size) throw Bad(type, "Invalid size");
            end = (ulong)variable.Offset + variable.Size;
            if (end > type.Size) throw Bad(type, "Invalid offset+size");
        }
    }

    private bool IsIdentifier(uint nameOffset)
    {
        if (nameOffset == 0 || nameOffset >= _btf.StringsLength) return false;
        ReadOnlySpan<byte> name = _btf.GetStringBytes(nameOffset);
        if (name.IsEmpty || name.Length > MaxIdentifier || char.IsAsciiDigit((char)name[0])) return false;
        foreach (byte c in name)
            if (!char.IsAsciiLetterOrDigit((char)c) && c is not ((byte)'_' or (byte)'.')) return false;
        return true;
    }

    private static bool IsSectionName(ReadOnlySpan<byte> name) =>
        !name.IsEmpty && name.Length <= MaxIdentifier && !name.ContainsAnyExceptInRange((byte)' ', (byte)'~');

    private static RefusedException Bad(BtfType type, string what, Errno errno = Errno.EINVAL) =>
        new($"[{type.Id}] {BtfText.KindName(type.Kind)} {(type.NameOffset == 0 ? "(anon)" : type.Name)} {what}", errno) { TypeId = type.Id, Reason = what };

    private sealed class RefusedException(string message, Errno errno = Errno.EINVAL) : Exception(message)
    {
        public Errno Errno { get; } = errno;

        public uint TypeId { get; init; }

        public string Reason { get; init; } = message;
    }
}

/// <summary>Why BPF_BTF_LOAD refuses type information.</summary>
/// <param name="Errno">The error that it returns.</param>
/// <param name="Message">Type and reason, in the kernel's words.</param>
public sealed record BtfRefusal(Errno Errno, string Message)
{
    /// <summary>The type at which it ends; 0 if none was looked at.</summary>
    public uint TypeId { get; init; }

    /// <summary>The message without the type.</summary>
    public string Reason { get; init; } = Message;
}
