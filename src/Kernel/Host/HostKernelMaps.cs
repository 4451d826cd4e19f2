using BpfSim.Maps;

namespace BpfSim.Kernel.Host;

public static unsafe partial class HostKernel
{
    /// <summary>
    /// MAP_CREATE on the host: a descriptor. <paramref name="innerMapFd"/> is needed for maps of maps;
    /// <paramref name="btfFd"/> with the type ids of the spec for maps whose values have special fields.
    /// </summary>
    public static int CreateMap(MapSpec spec, int innerMapFd = 0, int btfFd = 0)
    {
        AttributeWriter attr = new(80);
        attr.U32(0, (uint)spec.Type);
        attr.U32(4, spec.KeySize);
        attr.U32(8, spec.ValueSize);
        attr.U32(12, spec.MaxEntries);
        attr.U32(16, spec.Flags);
        attr.U32(20, (uint)innerMapFd);
        attr.U32(24, (uint)Math.Max(0, spec.NumaNode));
        attr.Name(28, spec.Name);
        if (btfFd > 0)
        {
            attr.U32(48, (uint)btfFd);
            attr.U32(52, spec.BtfKeyTypeId);
            attr.U32(56, spec.BtfValueTypeId);
        }
        attr.U64(64, spec.MapExtra);
        return Bpf(BpfCommand.MapCreate, attr.Bytes);
    }

    /// <summary>MAP_LOOKUP_ELEM; the value must have room for all possible CPUs' copies of a per-CPU map.</summary>
    public static int LookupMap(int mapFd, ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0) =>
        Element(BpfCommand.MapLookupElem, mapFd, key, value, flags);

    /// <summary>MAP_LOOKUP_AND_DELETE_ELEM.</summary>
    public static int LookupAndDeleteMap(int mapFd, ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0) =>
        Element(BpfCommand.MapLookupAndDeleteElem, mapFd, key, value, flags);

    /// <summary>MAP_UPDATE_ELEM.</summary>
    public static int UpdateMap(int mapFd, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags = 0) =>
        Element(BpfCommand.MapUpdateElem, mapFd, key, value, flags);

    /// <summary>MAP_DELETE_ELEM.</summary>
    public static int DeleteMap(int mapFd, ReadOnlySpan<byte> key) => Element(BpfCommand.MapDeleteElem, mapFd, key, [], 0);

    /// <summary>MAP_GET_NEXT_KEY; an empty key asks for the first.</summary>
    public static int NextKey(int mapFd, ReadOnlySpan<byte> key, Span<byte> next) =>
        Element(BpfCommand.MapGetNextKey, mapFd, key, next, 0);

    /// <summary>MAP_FREEZE.</summary>
    public static int FreezeMap(int mapFd)
    {
        AttributeWriter attr = new(4);
        attr.U32(0, (uint)mapFd);
        return Bpf(BpfCommand.MapFreeze, attr.Bytes);
    }

    /// <summary>
    /// One of the batch commands. <paramref name="count"/> goes in as the number wanted or given and comes
    /// back as the number done, also on failure. Batch tokens are at least 4 bytes and as long as the key;
    /// an empty <paramref name="inBatch"/> starts from the beginning.
    /// </summary>
    public static int Batch(BpfCommand command, int mapFd, ReadOnlySpan<byte> inBatch, Span<byte> outBatch,
        ReadOnlySpan<byte> keys, ReadOnlySpan<byte> values, ref uint count, ulong elemFlags = 0)
    {
        fixed (byte* i = inBatch, o = outBatch, k = keys, v = values)
        {
            AttributeWriter attr = new(56);
            attr.U64(0, (ulong)i);
            attr.U64(8, (ulong)o);
            attr.U64(16, (ulong)k);
            attr.U64(24, (ulong)v);
            attr.U32(32, count);
            attr.U32(36, (uint)mapFd);
            attr.U64(40, elemFlags);
            int result = Bpf(command, attr.Bytes);
            count = attr.GetU32(32);
            return result;
        }
    }

    private static int Element(BpfCommand command, int mapFd, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* k = key, v = value)
        {
            AttributeWriter attr = new(32);
            attr.U32(0, (uint)mapFd);
            attr.U64(8, (ulong)k);
            attr.U64(16, (ulong)v);
            attr.U64(24, flags);
            return Bpf(command, attr.Bytes);
        }
    }
}
