using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Bpf;

/// <summary>What BPF_MAP_CREATE reads out of a map's BTF: that the sizes agree, and the fields with a meaning of their own.</summary>
internal static class MapBtf
{
    /// <summary>Checks key and value type against the sizes and fills <see cref="MapSpec.SpecialFields"/>; 0 or -EINVAL.</summary>
    public static int Check(ref MapSpec spec, BtfData btf)
    {
        if (spec.BtfKeyTypeId >= btf.TypeCount || spec.BtfValueTypeId >= btf.TypeCount) return -(int)Errno.EINVAL;
        BtfType value = btf.Resolve(spec.BtfValueTypeId);
        bool untyped = spec.Type is MapType.PerfEventArray or MapType.StackTrace or MapType.CgroupArray or MapType.ArrayOfMaps or MapType.HashOfMaps
            or MapType.Devmap or MapType.DevmapHash or MapType.Sockmap or MapType.Sockhash or MapType.Cpumap or MapType.Xskmap;
        if (spec.BtfKeyTypeId == 0)
        {
            // Without a key's type: bloom filters, and global data, which is an array of one section.
            bool section = spec is { Type: MapType.Array or MapType.PercpuArray, MaxEntries: 1 } && value.Kind == BtfKind.Datasec;
            if (!untyped && !section && spec.Type is not (MapType.BloomFilter or MapType.Arena)) return -(int)Errno.EINVAL;
        }
        else if (btf.SizeOf(spec.BtfKeyTypeId) != spec.KeySize)
        {
            return -(int)Errno.EINVAL;
        }
        long size = btf.SizeOf(spec.BtfValueTypeId);
        if (value.Kind == BtfKind.Datasec ? size > spec.ValueSize : size != spec.ValueSize) return -(int)Errno.EINVAL;
        IReadOnlyList<SpecialField> fields = SpecialFieldFinder.Find(btf[spec.BtfValueTypeId]);
        if (fields.Count != 0) spec = spec with { SpecialFields = fields };
        // Kinds that allow no special field say so first, when they are made.
        return untyped && fields.Count == 0 ? -(int)Errno.ENOTSUPP : 0;
    }
}
