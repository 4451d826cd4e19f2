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
        // Some kinds keep their key's type void: global data, local storage.
        if (spec.BtfKeyTypeId != 0 && btf.SizeOf(spec.BtfKeyTypeId) != spec.KeySize) return -(int)Errno.EINVAL;
        BtfType value = btf.Resolve(spec.BtfValueTypeId);
        long size = btf.SizeOf(spec.BtfValueTypeId);
        if (value.Kind == BtfKind.Datasec ? size > spec.ValueSize : size != spec.ValueSize) return -(int)Errno.EINVAL;
        IReadOnlyList<SpecialField> fields = SpecialFieldFinder.Find(btf[spec.BtfValueTypeId]);
        if (fields.Count != 0) spec = spec with { SpecialFields = fields };
        return 0;
    }
}
