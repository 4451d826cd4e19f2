using System.CommandLine;
using BpfSim.Vm.Btf;

namespace BpfSim.Cli.Commands.Btf;

/// <summary><c>bpfsim btf trim</c>: makes the embedded kernel profile from a vmlinux BTF.</summary>
internal sealed class BtfTrimCommand : CliCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "The kernel's BTF" };
    private readonly Option<string> _output = new("--output", "-o") { Description = "File to write (Brotli-packed if it ends in .br)", Required = true };
    private readonly Option<string?> _drop = new("--drop") { Description = "File with beginnings of names that are not wanted; default: none" };

    public BtfTrimCommand() : base("trim", "Trims a kernel's BTF to what a profile needs",
        "bpfsim btf trim /sys/kernel/btf/vmlinux --drop src/Kernel/Profile/dropped-names.txt -o linux-6.18.btf.br")
    {
        Arguments.Add(_file);
        Options.Add(_output);
        Options.Add(_drop);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string output = parsed.GetValue(_output)!;
        string[] drop = parsed.GetValue(_drop) is { } list ? [.. File.ReadLines(list).Where(l => !l.StartsWith('#')).SelectMany(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))] : [];
        BtfData source = BtfInput.Read(parsed.GetValue(_file)!);
        BtfData trimmed = BtfTrimmer.Trim(source, drop);
        byte[] bytes = output.EndsWith(".br", StringComparison.Ordinal) ? BtfTrimmer.Pack(trimmed) : trimmed.Bytes.ToArray();
        File.WriteAllBytes(output, bytes);
        Console.Error.WriteLine($"{source.TypeCount} types in {source.Bytes.Length} bytes -> {trimmed.TypeCount} in {trimmed.Bytes.Length}, written as {bytes.Length}");
        return ExitCode.Done;
    }
}
