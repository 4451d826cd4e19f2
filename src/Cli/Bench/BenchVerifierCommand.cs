using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;
using Spectre.Console;

namespace BpfSim.Cli.Bench;

/// <summary><c>bpfsim bench verifier</c>: time and work of the verifier, against the running kernel's where bpf(2) is allowed.</summary>
internal sealed class BenchVerifierCommand : CliCommand
{
    private readonly Option<string?> _filter = new("--filter") { Description = "Only programs whose name contains this" };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Best of so many runs", DefaultValueFactory = _ => 3 };

    public BenchVerifierCommand() : base("verifier", "Measures the verifier against the running kernel's", "bpfsim bench verifier --filter lookups")
    {
        Options.Add(_filter);
        Options.Add(_rounds);
        SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), cancellation));
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        string? filter = parsed.GetValue(_filter);
        int rounds = Math.Max(1, parsed.GetValue(_rounds));
        var rows = new List<Row>();
        foreach (VerifierBenchProgram program in VerifierBenchPrograms.All())
        {
            cancellation.ThrowIfCancellationRequested();
            if (filter == null || program.Name.Contains(filter, StringComparison.OrdinalIgnoreCase)) rows.Add(Measure(program, rounds));
        }

        if (parsed.GetValue(CliOptions.Json)) PrintJson(rows);
        else PrintTable(rows);
        return 0;
    }

    /// <summary>One line of the table; the kernel's columns are empty where bpf(2) is not allowed.</summary>
    private sealed record Row(string Name, VerifierResult Result, TimeSpan Ours, TimeSpan? Kernel, long? KernelInsns, int KernelErrno);

    private static Row Measure(VerifierBenchProgram program, int rounds)
    {
        BpfMap[] maps = [.. program.Maps.Select(m => MapFactory.Create(m, 1).Map!)];
        var input = new VerifierInput
        {
            Name = "bench",
            Insns = program.Insns,
            ProgramType = ProgramTypeTable.Find(ProgramType.SocketFilter)!,
            Helpers = HelperCatalog.Table,
            Attributes = new ProgramAttributes { Type = ProgramType.SocketFilter, GplCompatible = true },
            Maps = maps,
            LogLevel = 0,
        };
        VerifierResult? result = null;
        TimeSpan ours = TimeSpan.MaxValue, kernel = TimeSpan.MaxValue;
        int errno = 0;
        long? kernelInsns = null;
        for (int i = 0; i < rounds; i++)
        {
            long start = Stopwatch.GetTimestamp();
            result = EbpfVerifier.Verify(input);
            ours = Min(ours, Stopwatch.GetElapsedTime(start));
            if (HostKernel.IsAvailable) kernel = Min(kernel, LoadOnHost(program, out errno, out kernelInsns));
        }

        foreach (BpfMap map in maps) map.Dispose();
        return new Row(program.Name, result!, ours, HostKernel.IsAvailable ? kernel : null, kernelInsns, errno);
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static TimeSpan LoadOnHost(VerifierBenchProgram program, out int errno, out long? insns)
    {
        int[] fds = [.. program.Maps.Select(m => HostKernel.CreateMap(m))];
        Insn[] linked = [.. program.Insns.Select(i => i.IsLdImm64 && i.Src == (int)PseudoSource.MapFd ? i with { Imm = fds[i.Imm] } : i)];
        byte[] bytes = Insn.ToBytes(linked);
        long start = Stopwatch.GetTimestamp();
        HostProgram loaded = HostKernel.LoadProgram(new HostProgramSpec { Type = (uint)ProgramType.SocketFilter, Insns = bytes, Name = "bench" });
        TimeSpan time = Stopwatch.GetElapsedTime(start);
        errno = loaded.Fd < 0 ? -loaded.Fd : 0;
        insns = loaded.Fd >= 0 ? HostKernel.GetProgramInfo(loaded.Fd).VerifiedInsns : null;
        if (loaded.Fd >= 0) HostKernel.Close(loaded.Fd);
        foreach (int fd in fds) HostKernel.Close(fd);
        return time;
    }

    private static double Rate(Row row) => row.Result.InsnsProcessed / row.Ours.TotalSeconds / 1e6;

    private static void PrintTable(List<Row> rows)
    {
        var table = new Table().Border(TableBorder.Simple)
            .AddColumns("program", "verdict", "insns walked", "kernel's", "ms", "kernel's ms", "ratio", "M insns/s", "states");
        foreach (Row row in rows)
        {
            table.AddRow(
                row.Name,
                Verdict((int)row.Result.Errno) + (row.Kernel != null && row.KernelErrno != (int)row.Result.Errno ? $" (kernel: {Verdict(row.KernelErrno)})" : ""),
                Text($"{row.Result.InsnsProcessed}"),
                row.KernelInsns is { } k ? Text($"{k}") : "-",
                Text($"{row.Ours.TotalMilliseconds:F2}"),
                row.Kernel is { } t ? Text($"{t.TotalMilliseconds:F2}") : "-",
                row.Kernel is { } r ? Text($"{row.Ours / r:F2}") : "-",
                Text($"{Rate(row):F1}"),
                Text($"{row.Result.TotalStates}"));
        }

        AnsiConsole.Write(table);
        AnsiConsole.MarkupLine("[dim]The kernel's time is all of BPF_PROG_LOAD: verification, rewrites and its JIT.[/]");
    }

    private static string Verdict(int errno) => errno == 0 ? "accept" : ((Errno)errno).ToString();

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void PrintJson(List<Row> rows) => Console.WriteLine(System.Text.Json.JsonSerializer.Serialize(rows.Select(row => new
    {
        name = row.Name,
        errno = (int)row.Result.Errno,
        insns_processed = row.Result.InsnsProcessed,
        total_states = row.Result.TotalStates,
        ms = row.Ours.TotalMilliseconds,
        kernel_ms = row.Kernel?.TotalMilliseconds,
        kernel_insns = row.KernelInsns,
        kernel_errno = row.KernelErrno,
    })));
}
