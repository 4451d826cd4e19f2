using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Bpf;

/// <summary>What BPF_MAP_CREATE reads out of a map's BTF: that the sizes agree, and the fields with a meaning of their own.</summary>
internal static class MapBtf
{
    /// <summary>Checks key and value type against the sizes and fills <see cref="MapSpec.SpecialFields"/>.</summary>
    public static int Check(ref MapSpec spec, BtfData btf)
    {
        if (spec.BtfValueTypeId >= btf.TypeCount || spec.BtfKeyTypeId >= btf.TypeCount) return -(int)Errno.EINVAL;
        if (spec.BtfKeyTypeId != 0 && btf.SizeOf(spec.BtfKeyTypeId) != spec.KeySize) return -(int)Errno.EINVAL;
        if (spec.BtfValueTypeId == 0) return 0;
        if (btf.SizeOf(spec.BtfValueTypeId) != spec.ValueSize) return -(int)Errno.EINVAL;
        spec = spec with { Btf = btf, SpecialFields = SpecialFieldFinder.Find(btf[spec.BtfValueTypeId]) };
        return 0;
    }
}
