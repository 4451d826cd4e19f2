using System.CommandLine;
using System.Text.Json;
using BpfSim.Kernel.Host;
using BpfSim.Vm.Jit;

namespace BpfSim.Cli.Bench;

/// <summary><c>bpfsim bench vm</c>: the engines against each other, the host kernel's JIT and gcc -O2.</summary>
internal sealed class BenchVmCommand : CliCommand
{
    private static readonly string[] Sources = ["bench.h", "compute.c", "tables.c"];

    private readonly Option<string?> _program = new("--program") { Description = "Only programs whose name contains this", HelpName = "NAME" };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Rounds of which the best counts", HelpName = "N", DefaultValueFactory = _ => 60 };
    private readonly Option<string[]> _without = new("--without")
    {
        Description = "Optimisations of the JIT to turn off: " + string.Join(", ", SwitchNames()),
        HelpName = "NAME",
        AllowMultipleArgumentsPerToken = true,
    };

    public BenchVmCommand() : base("vm", "Measures interpreter, JIT, the host kernel's JIT and gcc -O2 on the same programs",
        "bpfsim bench vm", "bpfsim bench vm --program divide --without ReciprocalDivision")
    {
        _without.AcceptOnlyFromAmong(SwitchNames());
        Options.Add(_program);
        Options.Add(_rounds);
        Options.Add(_without);
        SetAction(Run);
    }

    private static string[] SwitchNames() => [.. typeof(JitOptions).GetProperties().Where(p => p.PropertyType == typeof(bool)).Select(p => p.Name)];

    private int Run(ParseResult parsed)
    {
        if (!JitEngine.IsSupported) throw new CliException(JitEngine.UnsupportedReason!, ExitCode.Failed);
        JitOptions options = JitOptions.Default with { };
        foreach (string name in parsed.GetValue(_without) ?? []) typeof(JitOptions).GetProperty(name)!.SetValue(options, false);
        string? only = parsed.GetValue(_program);
        List<VmBenchProgram> programs = [.. Load().Where(p => only == null || p.Name.Contains(only, StringComparison.Ordinal))];
        if (programs.Count == 0) throw new CliException($"--program {only}: no program has this in its name");
        using VmBenchGcc gcc = new(Sources.ToDictionary(name => name, Resource));
        if (gcc.Reason != null) Console.Error.WriteLine($"gcc -O2 is left out: {gcc.Reason}");
        if (!HostKernel.IsAvailable) Console.Error.WriteLine($"the host kernel's JIT is left out: {HostKernel.UnavailableReason}");
        VmBenchRunner runner = new(TimeSpan.FromMicroseconds(400), Math.Max(1, parsed.GetValue(_rounds)), gcc.Library);
        VmBenchRunner.WarmUp(programs, options);
        List<VmBenchRow> rows = [];
        bool json = parsed.GetValue(CliOptions.Json);
        foreach (VmBenchProgram program in programs) rows.Add(runner.Measure(program, options));
        VmBenchRunner.MeasureCompilation(programs, options, rows);
        foreach (VmBenchProgram program in programs) program.Dispose();
        if (json) WriteJson(rows);
        else VmBenchTable.Write(Console.Out, rows);
        return rows.Exists(r => r.Note != null) ? ExitCode.Failed : ExitCode.Done;
    }

    private static IEnumerable<VmBenchProgram> Load()
    {
        foreach ((string name, bool compute) in new[] { ("compute", true), ("tables", true), ("maps", false) })
            foreach (VmBenchProgram program in VmBenchProgram.Load(name, Resource($"{name}.bpf.o"), compute)) yield return program;
    }

    /// <summary>An embedded file of the benchmark.</summary>
    internal static byte[] Resource(string name)
    {
        using Stream stream = typeof(BenchVmCommand).Assembly.GetManifestResourceStream($"bench.vm.{name}")
            ?? throw new CliException($"the resource bench.vm.{name} is missing from the build");
        using MemoryStream bytes = new();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static void WriteJson(List<VmBenchRow> rows)
    {
        using Stream output = Console.OpenStandardOutput();
        using Utf8JsonWriter writer = new(output, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteStartArray("programs");
        foreach (VmBenchRow row in rows)
        {
            writer.WriteStartObject();
            writer.WriteString("name", row.Name);
            writer.WriteBoolean("compute", row.IsCompute);
            writer.WriteNumber("insns", row.Insns);
            foreach ((string name, double? value) in new[] { ("interpreter", row.Interpreter), ("jit", row.Jit), ("kernel", row.Kernel), ("gcc", row.Gcc) })
            {
                if (value == null) continue;
                writer.WriteNumber($"{name}_ns_per_run", Math.Round(value.Value, 2));
                if (row.Insns > 0) writer.WriteNumber($"{name}_ns_per_insn", Math.Round(value.Value / row.Insns, 4));
            }
            writer.WriteNumber("jited_bytes", row.JitedBytes);
            writer.WriteNumber("jited_insns", row.JitedInsns);
            writer.WriteNumber("compile_ns", Math.Round(row.CompileNs));
            if (row.Note != null) writer.WriteString("note", row.Note);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartObject("geomean");
        foreach ((string name, double? value) in VmBenchTable.Means(rows))
            if (value != null) writer.WriteNumber(name, Math.Round(value.Value, 4));
        writer.WriteEndObject();
        writer.WriteEndObject();
    }
}
