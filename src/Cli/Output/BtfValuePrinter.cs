using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using BpfSim.Vm.Btf;

namespace BpfSim.Cli.Output;

/// <summary>Prints bytes by their type, as <c>bpftool map dump</c> does for maps with BTF.</summary>
internal sealed class BtfValuePrinter(BtfData btf, JsonText json)
{
    private const int MaxDepth = 64;

    /// <summary>Prints a value of a type; bytes beyond the data count as zero.</summary>
    public void Print(uint typeId, ReadOnlySpan<byte> data) => Print(typeId, data, 0);

    private void Print(uint typeId, ReadOnlySpan<byte> data, int depth)
    {
        BtfType type = btf.Resolve(typeId);
        if (depth > MaxDepth)
        {
            json.String("(too deep)");
            return;
        }
        switch (type.Kind)
        {
            case BtfKind.Int:
                Integer(type, data);
                break;
            case BtfKind.Struct or BtfKind.Union:
                json.Begin('{');
                foreach (BtfMember member in type.Members) Member(member, data, depth);
                json.End('}');
                break;
            case BtfKind.Array:
                Array(type, data, depth);
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                Enumerator(type, data);
                break;
            case BtfKind.Ptr:
                ulong pointer = Number(data, 8);
                json.Raw(!json.IsPretty ? pointer.ToString(CultureInfo.InvariantCulture) : pointer == 0 ? "(nil)" : $"0x{pointer:x}");
                break;
            case BtfKind.Datasec:
                json.Begin('{');
                json.Name(type.Name);
                json.Begin('[');
                foreach (BtfVarSecInfo variable in type.Variables) Print(variable.TypeId, Slice(data, variable.Offset), depth + 1);
                json.End(']');
                json.End('}');
                break;
            case BtfKind.Var:
                json.Begin('{');
                json.Name(type.Name);
                Print(type.TypeId, data, depth + 1);
                json.End('}');
                break;
            default:
                json.String("(unsupported-kind)");
                break;
        }
    }

    private void Member(BtfMember member, ReadOnlySpan<byte> data, int depth)
    {
        json.Name(member.Name);
        if (member.BitfieldSize != 0) Bits(data, member.BitOffset, member.BitfieldSize);
        else Print(member.TypeId, Slice(data, member.BitOffset / 8), depth + 1);
    }

    private void Array(BtfType array, ReadOnlySpan<byte> data, int depth)
    {
        if (IsText(array, data, out string text))
        {
            json.String(text);
            return;
        }
        long size = Math.Max(0, btf.SizeOf(array.ArrayElementTypeId));
        json.Begin('[');
        for (uint i = 0; i < array.ArrayCount && (size == 0 ? i < 1 : i * size < data.Length); i++)
            Print(array.ArrayElementTypeId, Slice(data, (uint)(i * size)), depth + 1);
        json.End(']');
    }

    /// <summary>Printable characters up to a NUL, in an array of plain char; a typedef of char means bytes.</summary>
    private bool IsText(BtfType array, ReadOnlySpan<byte> data, out string text)
    {
        text = "";
        BtfType element = btf.Resolve(array.ArrayElementTypeId, throughTypedefs: false);
        if (element.Kind != BtfKind.Int || element.Size != 1 || (element.IntEncoding != BtfIntEncoding.Char && element.Name != "char")) return false;
        ReadOnlySpan<byte> room = data[..(int)Math.Min(data.Length, array.ArrayCount)];
        int end = room.IndexOf((byte)0);
        if (end < 0 || room[..end].ContainsAnyExceptInRange((byte)0x20, (byte)0x7e)) return false;
        text = Encoding.ASCII.GetString(room[..end]);
        return true;
    }

    private void Integer(BtfType type, ReadOnlySpan<byte> data)
    {
        if (type.IntBitOffset != 0 || type.IntBits % 8 != 0 || type.Size > 8)
        {
            Bits(data, (uint)type.IntBitOffset, (uint)type.IntBits);
            return;
        }
        ulong value = Number(data, type.Size);
        int unused = 64 - 8 * (int)type.Size;
        switch (type.IntEncoding)
        {
            case BtfIntEncoding.Bool:
                json.Raw(value != 0 ? "true" : "false");
                break;
            case BtfIntEncoding.Char when value is >= 0x20 and < 0x7f:
                json.String(((char)value).ToString());
                break;
            case BtfIntEncoding.Char:
                if (json.IsPretty) json.Raw($"0x{value:x}");
                else json.String($"\\u00{value:x2}");
                break;
            case BtfIntEncoding.Signed:
                json.Raw(((long)(value << unused) >> unused).ToString(CultureInfo.InvariantCulture));
                break;
            default:
                json.Raw(value.ToString(CultureInfo.InvariantCulture));
                break;
        }
    }

    private void Enumerator(BtfType type, ReadOnlySpan<byte> data)
    {
        int unused = 64 - 8 * (int)Math.Clamp(type.Size, 1u, 8u);
        ulong value = Number(data, type.Size);
        foreach (BtfEnumerator constant in type.Enumerators)
            if ((ulong)constant.Value << unused == value << unused)
            {
                json.String(constant.Name);
                return;
            }
        json.Raw(((long)(value << unused) >> unused).ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>Bits as hexadecimal: what of the type is stored does not say where its sign is.</summary>
    private void Bits(ReadOnlySpan<byte> data, uint offset, uint count)
    {
        var value = UInt128.Zero;
        ReadOnlySpan<byte> from = Slice(data, offset / 8);
        for (int i = Math.Min(from.Length, 16) - 1; i >= 0; i--) value = value << 8 | from[i];
        value >>= (int)(offset % 8);
        if (count < 128) value &= (UInt128.One << (int)count) - 1;
        string text = $"0x{value:x}";
        if (json.IsPretty) json.Raw(text);
        else json.String(text);
    }

    private static ulong Number(ReadOnlySpan<byte> data, uint size)
    {
        Span<byte> bytes = stackalloc byte[8];
        bytes.Clear();
        data[..Math.Min(data.Length, (int)Math.Min(8, size))].CopyTo(bytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> data, uint offset) => offset >= (uint)data.Length ? default : data[(int)offset..];
}
