using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Commands.Prog;

/// <summary><c>bpfsim prog run</c>: BPF_PROG_TEST_RUN.</summary>
internal sealed class ProgRunCommand : CliCommand
{
    private readonly Argument<string> _file = new("FILE") { Description = "BPF object file, or assembler text (*.s)" };
    private readonly Option<string?> _program = new("--program") { Description = "The program; may be left out if there is only one", HelpName = "NAME" };
    private readonly Option<string?> _dataIn = new("--data-in") { Description = "Packet, at least 14 bytes (default for packet types: 64 zero bytes)", HelpName = "HEX|@FILE" };
    private readonly Option<string?> _ctxIn = new("--ctx-in") { Description = "First contents of the context", HelpName = "HEX|@FILE" };
    private readonly Option<uint> _repeat = new("--repeat") { Description = "Number of runs", HelpName = "N", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _engine = CliOptions.Engine();
    private readonly Option<string?> _btf = ObjectInput.BtfOption();

    public ProgRunCommand() : base("run", "Runs a program once or often on a packet or context",
        "bpfsim prog run filter.bpf.o --program classify --data-in @packet.bin --repeat 1000", "bpfsim prog run sys.bpf.o --ctx-in 0100000000000000 --json")
    {
        Arguments.Add(_file);
        foreach (Option option in (Option[])[_program, _dataIn, _ctxIn, _repeat, _engine, _btf]) Options.Add(option);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string file = parsed.GetValue(_file)!, engine = parsed.GetValue(_engine)!;
        byte[]? dataIn = Bytes(parsed.GetValue(_dataIn), "--data-in"), ctxIn = Bytes(parsed.GetValue(_ctxIn), "--ctx-in");
        using LoadedFile loaded = LoadedFile.Load(file, parsed.GetValue(_program), parsed.GetValue(_btf), LoadedFile.ParseEngine(engine));
        if (loaded.Object.Programs.Count(p => p.AutoLoad) != 1)
            throw new CliException($"{file} has {loaded.Object.Programs.Count} programs, choose one with --program: {string.Join(", ", loaded.Object.Programs.Select(p => p.Name))}");
        BpfObjectProgram program = loaded.Object.Programs.First(p => p.AutoLoad);
        if (!program.IsLoaded) return ExitCode.Failed;

        bool packet = program.Spec.Type is not (ProgramType.RawTracepoint or ProgramType.RawTracepointWritable or ProgramType.Syscall);
        byte[] data = dataIn ?? (packet ? new byte[64] : []);
        if (packet && data.Length < 14) throw new CliException($"--data-in: {data.Length} bytes are not a packet, which has at least 14");
        uint repeat = Math.Max(1, parsed.GetValue(_repeat));
        var attr = new TestRunAttr
        {
            ProgFd = program.Fd,
            DataIn = data,
            CtxIn = ctxIn,
            Repeat = packet ? repeat : 0,
            DataSizeOut = packet ? (uint)data.Length + 1024 : 0,
        };
        int result = 0;
        double total = 0;
        // The kernel repeats packet programs only; the others are asked again.
        for (uint i = 0; i < (packet ? 1 : repeat) && result == 0; i++)
        {
            result = loaded.Machine.Bpf.ProgTestRun(attr);
            total += attr.DurationNs;
        }
        if (result != 0)
        {
            var errno = (Errno)(-result);
            string reason = errno == Errno.ENOTSUPP ? $": Linux does not run programs of type {ProgramTypeTable.Find(program.Spec.Type)?.Name} this way" : "";
            if (errno == Errno.EFAULT && CheckedProgram.Report is { } report) reason = $": {report}";
            throw new CliException($"prog run {program.Name}: {errno}{reason}", ExitCode.Failed);
        }
        Print(parsed.GetValue(CliOptions.Json), attr, packet ? attr.DurationNs : total / repeat, repeat, engine);
        return ExitCode.Done;
    }

    private static void Print(bool json, TestRunAttr attr, double duration, uint repeat, string engine)
    {
        if (!json)
        {
            Console.WriteLine($"Return value: {attr.Retval}, duration (average): {duration.ToString("0.#", CultureInfo.InvariantCulture)}ns");
            return;
        }
        using var output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteNumber("retval", attr.Retval);
            writer.WriteNumber("duration_ns", Math.Round(duration, 1));
            writer.WriteNumber("repeat", repeat);
            writer.WriteString("engine", engine);
            writer.WriteString("data_out", Convert.ToHexStringLower(attr.DataOut));
            writer.WriteEndObject();
        }
        output.WriteByte((byte)'\n');
    }

    private static byte[]? Bytes(string? text, string option)
    {
        if (text == null) return null;
        if (text.StartsWith('@')) return File.ReadAllBytes(text[1..]);
        string hex = text.Replace(" ", "").Replace(":", "");
        if (hex.StartsWith("0x", StringComparison.OrdinalIgnoreCase)) hex = hex[2..];
        try
        {
            return Convert.FromHexString(hex);
        }
        catch (FormatException)
        {
            throw new CliException($"{option}: '{text}' is neither hex digits in pairs nor @FILE");
        }
    }
}
