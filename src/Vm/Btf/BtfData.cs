namespace BpfSim.Vm.Btf;

/// <summary>The type information of one object or kernel: the parsed content of a .BTF section.</summary>
public sealed partial class BtfData
{
}
