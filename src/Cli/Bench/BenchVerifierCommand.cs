using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Cli.Bench;

/// <summary><c>bpfsim bench verifier</c>: time and work of the verifier, against the running kernel's where bpf(2) is allowed.</summary>
internal sealed class BenchVerifierCommand : CliCommand
{
    private readonly Option<string?> _filter = new("--filter") { Description = "Only programs whose name contains this" };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Best of at least so many runs", DefaultValueFactory = _ => 3 };
    private readonly Option<bool> _withoutKernel = new("--without-kernel") { Description = "Do not ask the running kernel" };

    public BenchVerifierCommand() : base("verifier", "Measures the verifier against the running kernel's", "bpfsim bench verifier --filter lookups")
    {
        Options.Add(_filter);
        Options.Add(_rounds);
        Options.Add(_withoutKernel);
        SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), cancellation));
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        string? filter = parsed.GetValue(_filter);
        int rounds = Math.Max(1, parsed.GetValue(_rounds));
        bool withKernel = !parsed.GetValue(_withoutKernel) && HostKernel.IsAvailable;
        var rows = new List<Row>();
        foreach (VerifierBenchProgram program in VerifierBenchPrograms.All())
        {
            cancellation.ThrowIfCancellationRequested();
            if (filter == null || program.Name.Contains(filter, StringComparison.OrdinalIgnoreCase)) rows.Add(Measure(program, rounds, withKernel));
        }

        if (parsed.GetValue(CliOptions.Json)) PrintJson(rows);
        else PrintTable(rows);
        return 0;
    }

    /// <summary>One line of the table; the kernel's columns are empty where bpf(2) is not allowed.</summary>
    private sealed record Row(string Name, VerifierResult Result, TimeSpan Ours, TimeSpan? Kernel, long? KernelInsns, int KernelErrno);

    /// <summary>Runs go on for this long at the least, so that .NET has compiled the verifier for good.</summary>
    private static readonly TimeSpan s_enough = TimeSpan.FromMilliseconds(400);

    private static readonly TimeSpan s_kernelLimit = TimeSpan.FromSeconds(2);

    private static Row Measure(VerifierBenchProgram program, int rounds, bool withKernel)
    {
        BpfMap[] maps = [.. program.Maps.Select(m => MapFactory.Create(m, 1).Map!)];
        foreach (BpfMap map in maps)
        {
            foreach ((uint slot, byte[] value) in map.Spec.InitialValues) map.Update(BitConverter.GetBytes(slot), value);
            if (map.Spec.FreezeAfterLoad) map.Freeze();
        }

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
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < rounds || Stopwatch.GetElapsedTime(began) < s_enough; i++)
        {
            long start = Stopwatch.GetTimestamp();
            result = EbpfVerifier.Verify(input);
            ours = Min(ours, Stopwatch.GetElapsedTime(start));
        }

        began = Stopwatch.GetTimestamp();
        for (int i = 0; withKernel && i < rounds && Stopwatch.GetElapsedTime(began) < s_kernelLimit; i++)
            kernel = Min(kernel, LoadOnHost(program, out errno, out kernelInsns));
        foreach (BpfMap map in maps) map.Dispose();
        return new Row(program.Name, result!, ours, withKernel ? kernel : null, kernelInsns, errno);
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static TimeSpan LoadOnHost(VerifierBenchProgram program, out int errno, out long? insns)
    {
        int[] fds = [.. program.Maps.Select(CreateOnHost)];
        Insn[] linked = [.. program.Insns];
        for (int i = 0; i < linked.Length; i++)
        {
            if (!linked[i].IsLdImm64) continue;
            if (linked[i].Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapValue) linked[i] = linked[i] with { Imm = fds[linked[i].Imm] };
            i++;
        }

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

    private static int CreateOnHost(MapSpec map)
    {
        int fd = HostKernel.CreateMap(map);
        if (fd < 0) throw new CliException($"map {map.Name}: {HostKernel.ErrnoName(fd)}", ExitCode.Failed);
        foreach ((uint slot, byte[] value) in map.InitialValues) HostKernel.UpdateMap(fd, BitConverter.GetBytes(slot), value);
        if (map.FreezeAfterLoad) HostKernel.FreezeMap(fd);
        return fd;
    }

    private static double Rate(Row row) => row.Result.InsnsProcessed / row.Ours.TotalSeconds / 1e6;

    private static void PrintTable(List<Row> rows)
    {
        Console.WriteLine($"{"program",-28} {"verdict",-8} {"insns",8} {"kernel's",8} {"ms",9} {"kernel's",9} {"ratio",6} {"M/s",6} {"states",7} {"MiB",6}");
        foreach (Row row in rows)
        {
            string verdict = Verdict((int)row.Result.Errno);
            if (row.Kernel != null && row.KernelErrno != (int)row.Result.Errno) verdict += $", kernel: {Verdict(row.KernelErrno)}";
            string kernelInsns = row.KernelInsns is { } k ? Text($"{k}") : "-";
            string kernelMs = row.Kernel is { } t ? Text($"{t.TotalMilliseconds:F2}") : "-";
            string ratio = row.Kernel is { } r ? Text($"{row.Ours / r:F2}") : "-";
            Console.WriteLine(Text(
                $"{row.Name,-28} {verdict,-8} {row.Result.InsnsProcessed,8} {kernelInsns,8} {row.Ours.TotalMilliseconds,9:F2} {kernelMs,9} {ratio,6} {Rate(row),6:F2} {row.Result.TotalStates,7} {row.Result.PeakStateBytes / 1048576.0,6:F1}"));
        }

        Console.WriteLine("The kernel's time is all of BPF_PROG_LOAD: verification, rewrites and its JIT. MiB: explored states at their most.");
    }

    private static string Verdict(int errno) => errno == 0 ? "accept" : ((Errno)errno).ToString();

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void PrintJson(List<Row> rows) => Console.WriteLine(System.Text.Json.JsonSerializer.Serialize(rows.Select(row => new
    {
        name = row.Name,
        errno = (int)row.Result.Errno,
        insns_processed = row.Result.InsnsProcessed,
        total_states = row.Result.TotalStates,
        peak_state_bytes = row.Result.PeakStateBytes,
        ms = row.Ours.TotalMilliseconds,
        kernel_ms = row.Kernel?.TotalMilliseconds,
        kernel_insns = row.KernelInsns,
        kernel_errno = row.KernelErrno,
    })));
}
