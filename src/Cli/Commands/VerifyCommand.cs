using System.CommandLine;
using System.Runtime.ExceptionServices;
using System.Text.Json;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Maps;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim verify FILE…</c>: the kernel's verdict on every program of each object file.</summary>
internal sealed class VerifyCommand : CliCommand
{
    // Deep recursion in hostile input must end in a verdict, not in the end of the process.
    private const int StackSize = 256 << 20;

    private readonly Argument<string[]> _files = new("FILE") { Description = "BPF object files, or assembler text (*.s)", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string?> _program = new("--program") { Description = "Only the program with this name", HelpName = "NAME" };
    private readonly Option<uint> _logLevel = new("--log-level")
    {
        Description = "The verifier's log: bits 1 (path of a rejection), 2 (all paths), 4 (statistics)",
        HelpName = "N",
        DefaultValueFactory = _ => 1,
    };
    private readonly Option<string?> _btf = ObjectInput.BtfOption();
    private readonly Option<bool> _unprivileged = new("--unprivileged") { Description = "Load as a user without capabilities" };
    private readonly Option<string?> _caps = new("--caps")
    {
        Description = "Load as a user with these capabilities: bpf, perfmon, net_admin, sys_admin",
        HelpName = "LIST",
    };

    public VerifyCommand() : base("verify", "Gives the kernel's verdict on every program of each object file",
        "bpfsim verify programs/opensnoop.bpf.o", "bpfsim verify --json --btf /sys/kernel/btf/vmlinux build/*.bpf.o")
    {
        Arguments.Add(_files);
        Options.Add(_program);
        Options.Add(_logLevel);
        Options.Add(_btf);
        Options.Add(_unprivileged);
        Options.Add(_caps);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        Capabilities loader = Capabilities.None;
        try
        {
            if (!parsed.GetValue(_unprivileged)) loader = CapabilityText.Parse(parsed.GetValue(_caps));
        }
        catch (FormatException e)
        {
            throw new CliException($"--caps: {e.Message}");
        }

        var verifier = new ObjectVerifier(ObjectInput.Profile(parsed.GetValue(_btf)))
        {
            LogLevel = parsed.GetValue(_logLevel),
            Capabilities = loader,
        };
        using Stream output = Console.OpenStandardOutput();
        using VerdictWriter writer = parsed.GetValue(CliOptions.Json) ? new JsonVerdictWriter(output) : new TextVerdictWriter(output);
        int exitCode = ExitCode.Done;
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                exitCode = Verify(parsed, verifier, writer);
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        }, StackSize);
        thread.Start();
        thread.Join();
        failure?.Throw();
        return exitCode;
    }

    private int Verify(ParseResult parsed, ObjectVerifier verifier, VerdictWriter writer)
    {
        int exitCode = ExitCode.Done;
        string[] files = parsed.GetValue(_files)!;
        string? only = parsed.GetValue(_program);
        writer.Begin(files);
        bool found = false;
        foreach (string file in files)
        {
            ObjectSpec spec;
            try
            {
                spec = ObjectSource.Open(file);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                writer.Unreadable(file, Errno.ENOENT, e.Message);
                exitCode = ExitCode.Usage;
                continue;
            }
            catch (Exception e)
            {
                writer.Unreadable(file, Errno.EINVAL, e is ObjectException ? e.Message : $"internal error: {e.GetType().Name}: {e.Message}");
                exitCode = ExitCode.Usage;
                continue;
            }
            foreach (ProgramVerdict verdict in verifier.Verify(spec, only))
            {
                found = true;
                writer.Verdict(file, verdict);
                if (!verdict.Accepted && exitCode == ExitCode.Done) exitCode = ExitCode.Failed;
            }
        }
        writer.End();
        if (only != null && !found && exitCode == ExitCode.Done) throw new CliException($"no program '{only}' in {string.Join(", ", files)}");
        return exitCode;
    }
}

/// <summary>Prints verdicts as they come.</summary>
internal abstract class VerdictWriter : IDisposable
{
    public abstract void Begin(string[] files);

    public abstract void Verdict(string file, ProgramVerdict verdict);

    /// <summary>A file that is no object at all.</summary>
    public virtual void Unreadable(string file, Errno errno, string message) => Console.Error.WriteLine($"bpfsim: {file}: {message}");

    public abstract void End();

    public abstract void Dispose();
}

/// <summary>The JSON document of <c>verify --json</c>, written as it grows.</summary>
internal sealed class JsonVerdictWriter(Stream output) : VerdictWriter
{
    private readonly Utf8JsonWriter _json = new(output, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    public override void Begin(string[] files)
    {
        _json.WriteStartObject();
        _json.WriteStartArray("files");
        foreach (string file in files) _json.WriteStringValue(file);
        _json.WriteEndArray();
        _json.WriteStartArray("programs");
    }

    public override void Verdict(string file, ProgramVerdict verdict)
    {
        _json.WriteStartObject();
        _json.WriteString("file", file);
        _json.WriteString("name", verdict.Program.Name);
        _json.WriteString("section", verdict.Program.Section);
        _json.WriteString("type", ProgramTypeTable.Find(verdict.Program.Type)?.Name ?? "unspec");
        WriteOutcome(verdict.Errno, verdict.Message);
        _json.WriteNumber("insns_processed", verdict.Result?.InsnsProcessed ?? 0);
        _json.WriteNumber("total_states", verdict.Result?.TotalStates ?? 0);
        _json.WriteNumber("peak_states", verdict.Result?.PeakStates ?? 0);
        _json.WriteNumber("stack_depth", verdict.Result?.StackDepth ?? 0);
        _json.WriteNumber("verification_time_us", (long)verdict.Time.TotalMicroseconds);
        _json.WriteString("log", verdict.Log);
        if (verdict.Result?.Hint is { } hint) _json.WriteString("hint", hint);
        if (verdict.InternalError is { } error) _json.WriteString("internal_error", error.ToString());
        _json.WriteEndObject();
        if (_json.BytesPending > 1 << 16) _json.Flush();
    }

    public override void Unreadable(string file, Errno errno, string message)
    {
        base.Unreadable(file, errno, message);
        _json.WriteStartObject();
        _json.WriteString("file", file);
        _json.WriteNull("name");
        _json.WriteNull("section");
        _json.WriteNull("type");
        WriteOutcome(errno, message);
        _json.WriteNumber("insns_processed", 0);
        _json.WriteNumber("total_states", 0);
        _json.WriteNumber("peak_states", 0);
        _json.WriteNumber("stack_depth", 0);
        _json.WriteNumber("verification_time_us", 0);
        _json.WriteString("log", "");
        _json.WriteEndObject();
    }

    private void WriteOutcome(Errno errno, string? message)
    {
        bool accepted = errno == Errno.None;
        _json.WriteString("verdict", accepted ? "accept" : "reject");
        if (accepted) _json.WriteNull("errno");
        else _json.WriteString("errno", errno.ToString());
        if (accepted || message == null) _json.WriteNull("message");
        else _json.WriteString("message", message);
    }

    public override void End()
    {
        _json.WriteEndArray();
        _json.WriteEndObject();
        _json.Flush();
        output.Write("\n"u8);
    }

    public override void Dispose() => _json.Dispose();
}

/// <summary>A line for each program, and under a rejection the log and the hint.</summary>
internal sealed class TextVerdictWriter(Stream output) : VerdictWriter
{
    private readonly StreamWriter _text = new(output, leaveOpen: true);
    private int _accepted, _rejected;

    public override void Begin(string[] files)
    {
    }

    public override void Verdict(string file, ProgramVerdict verdict)
    {
        string type = ProgramTypeTable.Find(verdict.Program.Type)?.Name ?? "unspec";
        string where = $"{file}: {verdict.Program.Name} ({verdict.Program.Section}, {type})";
        if (verdict.Accepted)
        {
            _accepted++;
            _text.WriteLine($"accept  {where}: {verdict.Result!.InsnsProcessed} insns processed in {verdict.Time.TotalMicroseconds:0} us");
        }
        else
        {
            _rejected++;
            _text.WriteLine($"reject  {where}: {verdict.Errno}: {verdict.Message}");
        }
        if (verdict.Log.Length != 0) _text.Write(verdict.Log.EndsWith('\n') ? verdict.Log : verdict.Log + "\n");
        if (verdict.Result?.Hint is { } hint) _text.WriteLine($"hint: {hint}");
    }

    public override void End() => _text.WriteLine($"{_accepted} accepted, {_rejected} rejected");

    public override void Dispose() => _text.Dispose();
}
