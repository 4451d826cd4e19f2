using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Bpf;

/// <summary>What BPF_MAP_CREATE reads out of a map's BTF: that the sizes agree, and the fields with a meaning of their own.</summary>
internal static class MapBtf
{
    /// <summary>Checks key and value type against the sizes and fills <see cref="MapSpec.SpecialFields"/>.</summary>
    public static int Check(ref MapSpec spec, BtfData btf)
    {
        return 0;
    }
}
