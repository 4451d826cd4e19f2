using System.Buffers.Binary;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Object;

/// <summary>
/// The content of a .BTF.ext section: by ELF section, which function starts where, which source line each
/// instruction came from, and the CO-RE relocations. Offsets are bytes into the ELF section.
/// </summary>
internal sealed class BtfExtInfo
{
    private readonly byte[] _data;
    private readonly BtfData _btf;

    private BtfExtInfo(byte[] data, BtfData btf)
    {
        _data = data;
        _btf = btf;
    }

    public Dictionary<string, List<FuncRecord>> Functions { get; } = [];

    public Dictionary<string, List<LineRecord>> Lines { get; } = [];

    public Dictionary<string, List<CoreRecord>> CoreRelocations { get; } = [];

    public static BtfExtInfo Parse(ReadOnlySpan<byte> section, BtfData btf)
    {
        var ext = new BtfExtInfo(section.ToArray(), btf);
        if (section.Length < 24) throw Bad(0, $"{section.Length} bytes are too few for the header");
        ushort magic = BinaryPrimitives.ReadUInt16LittleEndian(section);
        if (magic != BtfData.Magic) throw Bad(0, $"invalid magic 0x{magic:x4}");
        if (section[2] != 1) throw Bad(2, $"unsupported version {section[2]}");
        uint header = ext.U32(4);
        if (header < 24 || header > section.Length) throw Bad(4, $"invalid header length {header}");
        ext.ReadPart(header, 8, 8, "func_info", (name, at) => Add(ext.Functions, name, new FuncRecord(ext.U32(at), ext.U32(at + 4))));
        ext.ReadPart(header, 16, 16, "line_info", (name, at) =>
            Add(ext.Lines, name, new LineRecord(ext.U32(at), ext.U32(at + 4), ext.U32(at + 8), ext.U32(at + 12))));
        if (header >= 32)
            ext.ReadPart(header, 24, 16, "core_relo", (name, at) =>
                Add(ext.CoreRelocations, name, new CoreRecord(ext.U32(at), ext.U32(at + 4), ext.U32(at + 8), ext.U32(at + 12))));
        return ext;
    }

    private static void Add<T>(Dictionary<string, List<T>> map, string section, T record)
    {
        if (!map.TryGetValue(section, out List<T>? list)) map[section] = list = [];
        list.Add(record);
    }

    private void ReadPart(uint header, int field, uint smallestRecord, string what, Action<string, int> record)
    {
        long start = (long)header + U32(field), length = U32(field + 4), end = start + length;
        if (length == 0) return;
        if (end > _data.Length) throw Bad(field, $"{what} at {start}+{length} exceeds the section of {_data.Length} bytes");
        if (length < 4) throw Bad(start, $"{what} is cut off");
        uint recordSize = U32((int)start);
        if (recordSize < smallestRecord || recordSize % 4 != 0) throw Bad(start, $"{what} has records of {recordSize} bytes");
        long at = start + 4;
        while (at < end)
        {
            if (end - at < 8) throw Bad(at, $"{what} is cut off");
            string section = _btf.GetString(U32((int)at));
            uint count = U32((int)at + 4);
            at += 8;
            if (count == 0 || count > (end - at) / recordSize) throw Bad(at - 4, $"{what} of section '{section}' has {count} records, which do not fit");
            for (uint i = 0; i < count; i++, at += recordSize) record(section, (int)at);
        }
    }

    private uint U32(int at) => at + 4 <= _data.Length ? BinaryPrimitives.ReadUInt32LittleEndian(_data.AsSpan(at)) : throw Bad(at, "is cut off");

    private static ObjectException Bad(long at, string what) => new($"section '.BTF.ext' at offset {at}: {what}");
}

internal readonly record struct FuncRecord(uint Offset, uint TypeId);

internal readonly record struct LineRecord(uint Offset, uint FileOffset, uint LineOffset, uint LineColumn);

internal readonly record struct CoreRecord(uint Offset, uint TypeId, uint AccessOffset, uint Kind);
