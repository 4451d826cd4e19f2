using System.Buffers.Binary;

namespace BpfSim.Vm.Btf;

public sealed partial class BtfData
{
    /// <summary>Bytes that follow the 12-byte head of a type: per kind a fixed part and a part for each of its vlen items.</summary>
    private static ReadOnlySpan<byte> FixedExtra => [0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 4, 0, 0];

    private static ReadOnlySpan<byte> ItemExtra => [0, 0, 0, 0, 12, 12, 8, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 0, 0, 12];

    /// <summary>Reads a .BTF section or the kernel's /sys/kernel/btf/vmlinux.</summary>
    /// <exception cref="BtfException">The bytes are not valid BTF; the message names the offset.</exception>
    public static BtfData Parse(ReadOnlySpan<byte> bytes) => Parse(bytes.ToArray());

    /// <summary>Reads BTF and keeps the array that it was given.</summary>
    /// <exception cref="BtfException">The bytes are not valid BTF; the message names the offset.</exception>
    public static BtfData Parse(byte[] data)
    {
        (int types, int typesLength, int strings, int stringsLength) = ReadHeader(data);
        int[] offsets = FindTypes(data, types, typesLength);
        var btf = new BtfData(data, offsets, strings, stringsLength);
        btf.CheckReferences();
        return btf;
    }

    private static (int Types, int TypesLength, int Strings, int StringsLength) ReadHeader(ReadOnlySpan<byte> data)
    {
        if (data.Length < HeaderLength) throw new BtfException($".BTF: {data.Length} bytes are too few for the header of {HeaderLength}");
        ushort magic = BinaryPrimitives.ReadUInt16LittleEndian(data);
        if (magic == 0x9feb) throw new BtfException(".BTF: big-endian type information is not supported");
        if (magic != Magic) throw new BtfException($".BTF: invalid magic 0x{magic:x4} at offset 0, expected 0x{Magic:x4}");
        if (data[2] != 1) throw new BtfException($".BTF: unsupported version {data[2]} at offset 2, expected 1");
        uint header = BinaryPrimitives.ReadUInt32LittleEndian(data[4..]);
        if (header < HeaderLength || header > data.Length) throw new BtfException($".BTF: header length {header} at offset 4 is outside {HeaderLength}..{data.Length}");
        uint typeOffset = BinaryPrimitives.ReadUInt32LittleEndian(data[8..]), typeLength = BinaryPrimitives.ReadUInt32LittleEndian(data[12..]);
        uint stringOffset = BinaryPrimitives.ReadUInt32LittleEndian(data[16..]), stringLength = BinaryPrimitives.ReadUInt32LittleEndian(data[20..]);
        long room = data.Length - header;
        if ((ulong)typeOffset + typeLength > (ulong)room) throw new BtfException($".BTF: types at {typeOffset}+{typeLength} exceed the {room} bytes after the header");
        if ((ulong)stringOffset + stringLength > (ulong)room) throw new BtfException($".BTF: strings at {stringOffset}+{stringLength} exceed the {room} bytes after the header");
        if (typeOffset % 4 != 0) throw new BtfException($".BTF: type section offset {typeOffset} at offset 8 is not aligned to 4");
        if ((ulong)typeOffset + typeLength > stringOffset) throw new BtfException($".BTF: types {typeOffset}+{typeLength} overlap strings at {stringOffset}");
        int strings = (int)(header + stringOffset);
        if (stringLength == 0 || data[strings] != 0 || data[strings + (int)stringLength - 1] != 0)
            throw new BtfException($".BTF: string section at {strings}+{stringLength} does not begin and end with NUL");
        return ((int)(header + typeOffset), (int)typeLength, strings, (int)stringLength);
    }

    private static int[] FindTypes(byte[] data, int start, int length)
    {
        // Types of kernels take 21 bytes on average; growing from there copies little.
        int[] offsets = new int[Math.Max(16, length / 20)];
        int count = 1, position = start, end = start + length;
        while (position < end)
        {
            if (end - position < 12) throw new BtfException($".BTF: type {count} at offset {position} is cut off by the end of the section");
            uint info = BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(position + 4));
            uint kind = (info >> 24) & 0x1f;
            if (kind == 0 || kind >= FixedExtra.Length) throw new BtfException($".BTF: type {count} at offset {position} has unknown kind {kind}");
            int size = 12 + FixedExtra[(int)kind] + ItemExtra[(int)kind] * (int)(info & 0xffff);
            if (end - position < size) throw new BtfException($".BTF: type {count} at offset {position} needs {size} bytes, {end - position} are left");
            if (count == offsets.Length) Array.Resize(ref offsets, checked(offsets.Length * 2));
            offsets[count++] = position;
            position += size;
        }
        Array.Resize(ref offsets, count);
        return offsets;
    }

    /// <summary>
    /// Checks that every type that a type refers to exists, so that no later access can leave the data. Names are not
    /// checked, as in libbpf: one outside the string section reads as empty, and the rest stays usable for CO-RE.
    /// </summary>
    private void CheckReferences()
    {
        uint count = TypeCount;
        for (uint id = 1; id < count; id++)
        {
            int at = _offsets[id];
            uint info = ReadU32(at + 4);
            int items = (int)(info & 0xffff), item = at + 12;
            switch ((BtfKind)((info >> 24) & 0x1f))
            {
                case BtfKind.Ptr or BtfKind.Typedef or BtfKind.Volatile or BtfKind.Const or BtfKind.Restrict or BtfKind.Func or BtfKind.Var or BtfKind.DeclTag or BtfKind.TypeTag:
                    if (ReadU32(at + 8) >= count) throw BadReference(id, at, "type", ReadU32(at + 8), count);
                    break;
                case BtfKind.Array:
                    if (ReadU32(item) >= count) throw BadReference(id, at, "element type", ReadU32(item), count);
                    if (ReadU32(item + 4) >= count) throw BadReference(id, at, "index type", ReadU32(item + 4), count);
                    break;
                case BtfKind.Struct or BtfKind.Union:
                    for (; items > 0; items--, item += 12)
                        if (ReadU32(item + 4) >= count) throw BadReference(id, item, "member type", ReadU32(item + 4), count);
                    break;
                case BtfKind.FuncProto:
                    if (ReadU32(at + 8) >= count) throw BadReference(id, at, "return type", ReadU32(at + 8), count);
                    for (; items > 0; items--, item += 8)
                        if (ReadU32(item + 4) >= count) throw BadReference(id, item, "parameter type", ReadU32(item + 4), count);
                    break;
                case BtfKind.Datasec:
                    for (; items > 0; items--, item += 12)
                        if (ReadU32(item) >= count) throw BadReference(id, item, "variable", ReadU32(item), count);
                    break;
            }
        }
    }

    private static BtfException BadReference(uint id, int at, string what, uint value, uint limit) =>
        new($".BTF: type {id} refers at offset {at} to {what} {value}, which is not below {limit}");
}
