using BpfSim.Maps;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const int MaxBtfBytes = 16 * 1024 * 1024;

    /// <summary>BPF_BTF_LOAD: parses and checks type information. Returns its descriptor or -errno.</summary>
    public int BtfLoad(BtfLoadAttr attr) => Traced(BpfCommand.BPF_BTF_LOAD, attr, LoadBtf(attr));

    private int LoadBtf(BtfLoadAttr attr)
    {
        if (attr.Btf.Length > MaxBtfBytes) return -(int)Errno.E2BIG;
        if ((attr.LogLevel & ~15u) != 0 || (attr.LogLevel == 0 && attr.LogSize != 0)) return -(int)Errno.EINVAL;
        BtfData data;
        try
        {
            data = BtfData.Parse(attr.Btf);
        }
        catch (BtfException e)
        {
            attr.LogBuf = e.Message + "\n";
            attr.LogTrueSize = (uint)attr.LogBuf.Length + 1;
            return -(int)Errno.EINVAL;
        }
        var value = new BtfObject(attr.Btf, data);
        _btfs.Add(value);
        return Fds.Install(value);
    }
}
