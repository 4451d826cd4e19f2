using System.CommandLine;

namespace BpfSim.Cli.Commands.Btf;

/// <summary>The commands under <c>bpfsim btf</c>.</summary>
internal static class BtfCommands
{
    public static Command Create() => new CommandGroup("btf", "Shows type information", "bpfsim btf dump file a.bpf.o format c",
        new BtfDumpCommand(), new BtfTrimCommand());
}
