using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Object;

/// <summary>
/// Reads a BTF-defined map: the struct type of a variable in .maps, whose members (<c>__uint(type, …)</c>,
/// <c>__type(key, …)</c>, …) carry the definition in their types.
/// </summary>
internal sealed class MapDefinitionParser(BtfData btf, string name)
{
    private const int MaxNesting = 1;

    /// <summary>Offset in bytes of the flexible member <c>values</c> in the definition, -1 without one.</summary>
    public long ValuesOffset { get; private set; } = -1;

    public MapSpec Parse(BtfType definition) => Parse(definition, name, 0);

    private MapSpec Parse(BtfType definition, string mapName, int depth)
    {
        uint type = 0, keySize = 0, valueSize = 0, maxEntries = 0, flags = 0, keyType = 0, valueType = 0;
        bool hasKeySize = false, hasValueSize = false, pin = false;
        int numaNode = -1;
        ulong extra = 0;
        MapSpec? inner = null;
        int count = definition.Vlen;
        for (int i = 0; i < count; i++)
        {
            BtfMember member = definition.Members[i];
            switch (member.Name)
            {
                case "type": type = Number(mapName, member); break;
                case "max_entries": maxEntries = Number(mapName, member); break;
                case "map_flags": flags = Number(mapName, member); break;
                case "numa_node": numaNode = (int)Number(mapName, member); break;
                case "map_extra": extra = Wide(mapName, member); break;
                case "key_size":
                    Agree(mapName, "key", hasKeySize ? keySize : null, keySize = Number(mapName, member));
                    hasKeySize = true;
                    break;
                case "value_size":
                    Agree(mapName, "value", hasValueSize ? valueSize : null, valueSize = Number(mapName, member));
                    hasValueSize = true;
                    break;
                case "key":
                    keyType = Pointee(mapName, member);
                    uint sizeOfKey = SizeOf(mapName, "key", keyType);
                    Agree(mapName, "key", hasKeySize ? keySize : null, keySize = sizeOfKey);
                    hasKeySize = true;
                    break;
                case "value":
                    valueType = Pointee(mapName, member);
                    uint sizeOfValue = SizeOf(mapName, "value", valueType);
                    Agree(mapName, "value", hasValueSize ? valueSize : null, valueSize = sizeOfValue);
                    hasValueSize = true;
                    break;
                case "values":
                    inner = ParseValues(mapName, member, (MapType)type, i == count - 1, depth);
                    Agree(mapName, "value", hasValueSize ? valueSize : null, valueSize = 4);
                    hasValueSize = true;
                    break;
                case "pinning":
                    if (depth > 0) throw new ObjectException($"map '{mapName}': inner def can't be pinned");
                    uint mode = Number(mapName, member);
                    if (mode > 1) throw new ObjectException($"map '{mapName}': invalid pinning value {mode}");
                    pin = mode == 1;
                    break;
                default:
                    throw new ObjectException($"map '{mapName}': unknown field '{member.Name}'");
            }
        }
        if (type == 0) throw new ObjectException($"map '{mapName}': map type isn't specified");
        BtfType? value = valueType == 0 ? null : btf[valueType];
        return new MapSpec
        {
            Name = mapName,
            Type = (MapType)type,
            KeySize = keySize,
            ValueSize = valueSize,
            MaxEntries = maxEntries,
            Flags = flags,
            NumaNode = numaNode,
            MapExtra = extra,
            PinByName = pin,
            InnerMap = inner,
            Btf = btf,
            BtfKeyTypeId = keyType,
            BtfValueTypeId = valueType,
            SpecialFields = value is { } v ? SpecialFieldFinder.Find(v) : [],
        };
    }

    private MapSpec? ParseValues(string mapName, BtfMember member, MapType type, bool last, int depth)
    {
        if (depth >= MaxNesting) throw new ObjectException($"map '{mapName}': multi-level inner maps not supported");
        if (!last) throw new ObjectException($"map '{mapName}': 'values' member should be last");
        bool mapInMap = type is MapType.ArrayOfMaps or MapType.HashOfMaps, programs = type == MapType.ProgArray;
        if (!mapInMap && !programs) throw new ObjectException($"map '{mapName}': should be map-in-map or prog array");
        BtfType array = btf[member.TypeId];
        if (array.Kind != BtfKind.Array || array.ArrayCount != 0) throw new ObjectException($"map '{mapName}': 'values' spec is not a zero-sized array");
        BtfType pointer = btf.Resolve(array.ArrayElementTypeId);
        if (pointer.Kind != BtfKind.Ptr) throw new ObjectException($"map '{mapName}': inner def is of unexpected kind {pointer.Kind}");
        ValuesOffset = member.ByteOffset;
        BtfType target = btf.Resolve(pointer.TypeId);
        if (programs)
        {
            if (target.Kind != BtfKind.FuncProto) throw new ObjectException($"map '{mapName}': prog-array value def is of unexpected kind {target.Kind}");
            return null;
        }
        if (target.Kind != BtfKind.Struct) throw new ObjectException($"map '{mapName}': inner def is of unexpected kind {target.Kind}");
        long outer = ValuesOffset;
        MapSpec inner = Parse(target, mapName + ".inner", depth + 1);
        ValuesOffset = outer;
        return inner;
    }

    /// <summary>A number as <c>__uint</c> writes it (pointer to an array of that length) or <c>__ulong</c> (an enum with one constant).</summary>
    private uint Number(string mapName, BtfMember member)
    {
        BtfType type = btf.Resolve(member.TypeId);
        if (type.IsAnyEnum && type.Vlen == 1) return (uint)type.Enumerators[0].Value;
        if (type.Kind != BtfKind.Ptr) throw new ObjectException($"map '{mapName}': attr '{member.Name}': expected PTR, got {type.Kind}");
        BtfType array = btf[type.TypeId];
        if (array.Kind != BtfKind.Array) throw new ObjectException($"map '{mapName}': attr '{member.Name}': expected ARRAY, got {array.Kind}");
        return array.ArrayCount;
    }

    private ulong Wide(string mapName, BtfMember member)
    {
        BtfType type = btf.Resolve(member.TypeId);
        return type.IsAnyEnum && type.Vlen == 1 ? (ulong)type.Enumerators[0].Value : Number(mapName, member);
    }

    private uint Pointee(string mapName, BtfMember member)
    {
        BtfType type = btf[member.TypeId];
        return type.Kind == BtfKind.Ptr ? type.TypeId : throw new ObjectException($"map '{mapName}': {member.Name} spec is not PTR: {type.Kind}");
    }

    private uint SizeOf(string mapName, string what, uint typeId)
    {
        long size = btf.SizeOf(typeId);
        if (size < 0 || size > int.MaxValue) throw new ObjectException($"map '{mapName}': can't determine {what} size for type [{typeId}]: {size}");
        return (uint)size;
    }

    private static void Agree(string mapName, string what, uint? before, uint now)
    {
        if (before is { } size && size != now) throw new ObjectException($"map '{mapName}': conflicting {what} size {size} != {now}");
    }
}
