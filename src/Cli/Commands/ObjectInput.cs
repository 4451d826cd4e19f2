using System.CommandLine;
using BpfSim.Kernel.Profile;
using BpfSim.Vm.Btf;

namespace BpfSim.Cli.Commands;

/// <summary>What the commands that read object files have in common.</summary>
internal static class ObjectInput
{
    /// <summary>The option <c>--btf FILE</c>.</summary>
    public static Option<string?> BtfOption() => new("--btf")
    {
        Description = "vmlinux BTF of the kernel to load into (default: the embedded profile of Linux 6.18)",
        HelpName = "FILE",
    };

    /// <summary>The kernel profile that the option asks for.</summary>
    public static KernelProfile Profile(string? btf)
    {
        if (btf == null) return KernelProfile.Embedded;
        try
        {
            return KernelProfile.FromBtf(btf);
        }
        catch (Exception e) when (e is BtfException or IOException or UnauthorizedAccessException)
        {
            throw new CliException($"--btf {btf}: {e.Message}");
        }
    }
}
