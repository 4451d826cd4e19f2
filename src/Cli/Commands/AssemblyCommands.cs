using System.CommandLine;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Object;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim asm FILE [-o OUT.o]</c>: text to object.</summary>
internal sealed class AsmCommand : CliCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "Assembler text; - is standard input" };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The object to write; - is standard output (default: FILE with .o)", HelpName = "OUT.o" };
    private readonly Option<bool> _hex = new("--hex") { Description = "Print the first program's instructions as hexadecimal bytes instead" };

    public AsmCommand() : base("asm", "Assembles text in the kernel's syntax into a BPF object", "bpfsim asm programs/hello_world.s -o hello_world.o", "bpfsim asm --hex prog.s | bpfsim conformance")
    {
        Arguments.Add(_file);
        Options.Add(_output);
        Options.Add(_hex);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string file = parsed.GetValue(_file)!;
        string text = AssemblyInput.Text(file), name = file == "-" ? "<stdin>" : file;
        try
        {
            if (parsed.GetValue(_hex))
            {
                Console.Out.WriteLine(Convert.ToHexString(Insn.ToBytes(BpfAssembler.Insns(text, HelperCatalog.Table, name))).ToLowerInvariant());
                return ExitCode.Done;
            }

            byte[] bytes = BpfAssembler.ToElf(text, HelperCatalog.Table, name);
            string output = parsed.GetValue(_output) ?? (file == "-" ? "-" : Path.ChangeExtension(file, ".o"));
            if (output == "-")
            {
                using Stream stream = Console.OpenStandardOutput();
                stream.Write(bytes);
            }
            else File.WriteAllBytes(output, bytes);
            return ExitCode.Done;
        }
        catch (AssemblerException e)
        {
            throw new CliException(e.Message, ExitCode.Failed);
        }
        catch (IOException e)
        {
            throw new CliException(e.Message);
        }
    }
}

/// <summary><c>bpfsim disasm FILE</c>: an object, raw instructions or hexadecimal bytes as text that assembles again.</summary>
internal sealed class DisasmCommand : CliCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "A BPF object, raw instruction bytes, or their hexadecimal text; - is standard input" };

    public DisasmCommand() : base("disasm", "Prints a BPF object as text in the kernel's syntax", "bpfsim disasm hello_world.o")
    {
        Arguments.Add(_file);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string file = parsed.GetValue(_file)!;
        byte[] bytes = AssemblyInput.Bytes(file);
        var names = new HelperNames();
        try
        {
            bool elf = bytes.AsSpan().StartsWith("\u007fELF"u8);
            Console.Out.Write(elf
                ? ProgramText.Of(ObjectFile.Parse(bytes, ObjectFile.NameOf(file), SectionTable.All), names)
                : ProgramText.Of(AssemblyInput.Insns(bytes, file), names));
            return ExitCode.Done;
        }
        catch (ObjectException e)
        {
            throw new CliException($"{file}: {e.Message}");
        }
    }

    private sealed class HelperNames : InsnNames
    {
        public override string? Helper(int id) => HelperCatalog.Table.Find(id)?.Name;
    }
}

/// <summary>Reading what asm, disasm and conformance take.</summary>
internal static class AssemblyInput
{
    public static string Text(string file)
    {
        try
        {
            return file == "-" ? Console.In.ReadToEnd() : File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException(e.Message);
        }
    }

    public static byte[] Bytes(string file)
    {
        try
        {
            if (file != "-") return File.ReadAllBytes(file);
            using Stream input = Console.OpenStandardInput();
            using var copy = new MemoryStream();
            input.CopyTo(copy);
            return copy.ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException(e.Message);
        }
    }

    /// <summary>Instructions from raw bytes, or from hexadecimal text.</summary>
    public static Insn[] Insns(byte[] bytes, string file)
    {
        bool text = bytes.All(b => char.IsAsciiHexDigit((char)b) || char.IsWhiteSpace((char)b) || b is (byte)'x' or (byte)',');
        if (text) bytes = Hex(System.Text.Encoding.ASCII.GetString(bytes), file);
        if (bytes.Length == 0 || bytes.Length % 8 != 0) throw new CliException($"{file}: {bytes.Length} bytes are no whole number of 8-byte instructions");
        return Insn.FromBytes(bytes);
    }

    /// <summary>Bytes from hexadecimal digits; spaces, commas and 0x between them do not matter.</summary>
    public static byte[] Hex(string text, string what)
    {
        var digits = new System.Text.StringBuilder();
        foreach (string word in text.Split([' ', '\t', '\r', '\n', ','], StringSplitOptions.RemoveEmptyEntries))
        {
            string hex = word.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? word[2..] : word;
            digits.Append(hex.Length == 1 ? "0" + hex : hex);
        }

        try
        {
            return Convert.FromHexString(digits.ToString());
        }
        catch (FormatException)
        {
            throw new CliException($"{what}: not an even number of hexadecimal digits", ExitCode.Failed);
        }
    }
}
