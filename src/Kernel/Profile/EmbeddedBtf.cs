using System.IO.Compression;
using BpfSim.Vm.Btf;

namespace BpfSim.Kernel.Profile;

/// <summary>The trimmed BTF of Linux 6.18 that is built into this assembly (see docs/kernel-profile.md for how it was made).</summary>
internal static class EmbeddedBtf
{
    private const string ResourceName = "linux-6.18.btf.br";

    public static BtfData? Read()
    {
        using Stream? stream = typeof(EmbeddedBtf).Assembly.GetManifestResourceStream(ResourceName);
        if (stream == null) return null;
        using var decoder = new BrotliStream(stream, CompressionMode.Decompress);
        using var bytes = new MemoryStream(5 * (int)stream.Length);
        decoder.CopyTo(bytes);
        return BtfData.Parse(bytes.ToArray());
    }
}
