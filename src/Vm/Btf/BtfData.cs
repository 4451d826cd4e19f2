using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>
/// The type information of one object or kernel: the parsed content of a .BTF section (little-endian, not
/// split). Reading only finds where each type starts, so that the 5 MB of a kernel take milliseconds;
/// everything else is decoded when asked for. Immutable and safe for all threads.
/// </summary>
public sealed partial class BtfData
{
    internal const ushort Magic = 0xeb9f;
    internal const int HeaderLength = 24;
    private const int MaxResolveDepth = 64;

    private readonly byte[] _data;
    private readonly int[] _offsets;
    private readonly int _strings;
    private readonly int _stringsLength;

    private BtfData(byte[] data, int[] offsets, int strings, int stringsLength)
    {
        _data = data;
        _offsets = offsets;
        _strings = strings;
        _stringsLength = stringsLength;
    }

    /// <summary>Number of types, void (id 0) included: ids run from 0 to one less.</summary>
    public uint TypeCount => (uint)_offsets.Length;

    /// <summary>The section's bytes, as read.</summary>
    public ReadOnlyMemory<byte> Bytes => _data;

    /// <summary>The type with this id; id 0 is void (kind Unknown).</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such id.</exception>
    public BtfType this[uint id]
    {
        get
        {
            if (id >= (uint)_offsets.Length) throw new ArgumentOutOfRangeException(nameof(id), $"BTF has no type {id}; ids end at {_offsets.Length - 1}");
            return new BtfType(this, id);
        }
    }

    /// <summary>The type with this id, or null if there is none.</summary>
    public BtfType? Find(uint id) => id < (uint)_offsets.Length ? new BtfType(this, id) : null;

    /// <summary>All types but void, in the order of their ids.</summary>
    public IEnumerable<BtfType> Types
    {
        get
        {
            for (uint id = 1; id < _offsets.Length; id++) yield return new BtfType(this, id);
        }
    }

    /// <summary>The string at an offset of the string section; empty for 0 and for offsets outside.</summary>
    public string GetString(uint offset) => offset == 0 ? "" : Encoding.UTF8.GetString(GetStringBytes(offset));

    /// <summary>The bytes of the string at an offset of the string section, without its NUL.</summary>
    public ReadOnlySpan<byte> GetStringBytes(uint offset)
    {
        if (offset >= (uint)_stringsLength) return default;
        ReadOnlySpan<byte> rest = _data.AsSpan(_strings + (int)offset, _stringsLength - (int)offset);
        int end = rest.IndexOf((byte)0);
        return end < 0 ? rest : rest[..end];
    }

    /// <summary>Length of the string section in bytes.</summary>
    public uint StringsLength => (uint)_stringsLength;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint ReadU32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_data.AsSpan(offset));

    internal int OffsetOf(uint id) => _offsets[id];

    /// <summary>
    /// The type behind modifiers (const, volatile, restrict, type tags) and, unless told otherwise, typedefs.
    /// A chain longer than 64 ends at void: only broken BTF has one.
    /// </summary>
    public BtfType Resolve(uint id, bool throughTypedefs = true)
    {
        for (int depth = 0; depth < MaxResolveDepth; depth++)
        {
            BtfType type = this[id];
            bool skip = type.Kind is BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag
                || (throughTypedefs && type.Kind == BtfKind.Typedef);
            if (!skip) return type;
            id = type.TypeId;
        }
        return this[0];
    }

    /// <summary>Size of a type in bytes; -1 if it has none (void, functions, forward declarations, broken chains).</summary>
    public long SizeOf(uint id)
    {
        long factor = 1;
        for (int depth = 0; depth < MaxResolveDepth; depth++)
        {
            if (id >= TypeCount) return -1;
            BtfType type = this[id];
            switch (type.Kind)
            {
                case BtfKind.Int or BtfKind.Struct or BtfKind.Union or BtfKind.Enum or BtfKind.Enum64 or BtfKind.Float or BtfKind.Datasec:
                    return factor * type.Size;
                case BtfKind.Ptr:
                    return factor * 8;
                case BtfKind.Array:
                    factor *= type.ArrayCount;
                    if (factor > uint.MaxValue) return -1;
                    id = type.ArrayElementTypeId;
                    break;
                case BtfKind.Typedef or BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag or BtfKind.Var or BtfKind.DeclTag:
                    id = type.TypeId;
                    break;
                default:
                    return -1;
            }
        }
        return -1;
    }

    /// <summary>Natural alignment of a type in bytes as libbpf computes it; 0 if it has none.</summary>
    public int AlignOf(uint id) => AlignOf(id, 0);

    private int AlignOf(uint id, int depth)
    {
        if (depth > MaxResolveDepth) return 0;
        BtfType type = Resolve(id);
        switch (type.Kind)
        {
            case BtfKind.Int or BtfKind.Enum or BtfKind.Enum64 or BtfKind.Float:
                return (int)Math.Min(8, type.Size);
            case BtfKind.Ptr:
                return 8;
            case BtfKind.Array:
                return AlignOf(type.ArrayElementTypeId, depth + 1);
            case BtfKind.Struct or BtfKind.Union:
                int max = 1;
                foreach (BtfMember member in type.Members)
                {
                    int align = AlignOf(member.TypeId, depth + 1);
                    if (align <= 0) return 0;
                    max = Math.Max(max, align);
                    // A field off its natural alignment betrays a packed struct.
                    if (member.BitfieldSize == 0 && member.BitOffset % (8 * (uint)align) != 0) return 1;
                }
                return type.Size % max != 0 ? 1 : max;
            default:
                return 0;
        }
    }
}
