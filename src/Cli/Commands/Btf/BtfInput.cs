using BpfSim.Vm.Btf;
using BpfSim.Vm.Object;

namespace BpfSim.Cli.Commands.Btf;

/// <summary>Reads BTF from wherever bpftool would: a raw file, or the .BTF section of an ELF file.</summary>
internal static class BtfInput
{
    /// <summary>The types in a file.</summary>
    public static BtfData Read(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        try
        {
            return bytes.AsSpan().StartsWith("\u007fELF"u8) ? ObjectFile.ReadBtf(bytes) : BtfData.Parse(bytes);
        }
        catch (Exception e) when (e is BtfException or ObjectException)
        {
            throw new CliException($"{path}: {e.Message}");
        }
    }
}
