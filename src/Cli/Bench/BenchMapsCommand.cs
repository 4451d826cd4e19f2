using System.CommandLine;
using BpfSim.Kernel.Laboratory;
using BpfSim.Maps;
using Spectre.Console;

namespace BpfSim.Cli.Bench;

/// <summary><c>bpfsim bench maps</c>: the contention laboratory, and the cost of single map operations.</summary>
internal sealed class BenchMapsCommand : CliCommand
{
    private readonly Argument<string[]> _names = new("BENCHMARK")
    {
        Description = $"micro, custom, or presets: {string.Join(", ", ContentionPresets.All.Select(p => p.Name))}; default: micro and the presets with --compare off",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<string?> _kind = new("--kind") { Description = "Map kind: array, hash, lru_hash (bpftool's names)" };
    private readonly Option<string?> _style = new Option<string?>("--style") { Description = "plain, atomic, spinlock, percpu or mailbox" };
    private readonly Option<string?> _distribution = new("--distribution") { Description = "uniform, zipf, hot or disjoint" };
    private readonly Option<double?> _zipf = new("--zipf") { Description = "Exponent of the Zipf distribution; implies it" };
    private readonly Option<uint?> _keys = new("--keys") { Description = "Number of different keys" };
    private readonly Option<uint?> _maxEntries = new("--max-entries") { Description = "Capacity of the map" };
    private readonly Option<uint?> _keySize = new("--key-size") { Description = "Bytes of a key" };
    private readonly Option<uint?> _valueSize = new("--value-size") { Description = "Bytes of a value" };
    private readonly Option<int?> _read = new("--read") { Description = "Per cent of operations that only look" };
    private readonly Option<int?> _delete = new("--delete") { Description = "Per cent of operations that delete; the rest update" };
    private readonly Option<bool> _noPrealloc = new("--no-prealloc") { Description = "BPF_F_NO_PREALLOC" };
    private readonly Option<bool> _noCommonLru = new("--no-common-lru") { Description = "BPF_F_NO_COMMON_LRU" };
    private readonly Option<bool> _fullUpdate = new("--full-update") { Description = "Replace whole elements instead of adding in place" };
    private readonly Option<bool> _noCompare = new("--no-compare") { Description = "Do not try other kinds and styles" };
    private readonly Option<string?> _cpus = new("--cpus") { Description = "Highest number of CPUs, or a list such as 1,2,4; default: the processors of this machine" };
    private readonly Option<TimeSpan?> _duration = CliOptions.Duration("--duration", "How long each run lasts; default 500ms");
    private readonly Option<ulong?> _seed = new("--seed") { Description = "Seed of the choice of keys" };
    private readonly Option<bool> _csv = new("--csv") { Description = "Print comma-separated values" };
    private readonly Option<FileInfo?> _html = new("--html") { Description = "Also write a self-contained HTML page with plots" };

    public BenchMapsCommand() : base("maps", "Measures maps: single operations against rivals, and contention between CPUs",
        "bpfsim bench maps hot-counter --cpus 4", "bpfsim bench maps custom --kind lru_hash --keys 20000 --max-entries 10000 --zipf 1.1 --html report.html")
    {
        Arguments.Add(_names);
        foreach (Option option in new Option[]
        {
            _kind, _style, _distribution, _zipf, _keys, _maxEntries, _keySize, _valueSize, _read, _delete, _noPrealloc, _noCommonLru, _fullUpdate, _noCompare,
            _cpus, _duration, _seed, _csv, _html,
        })
            Options.Add(option);
        SetAction((parsed, cancellation) => Task.Run(() => Run(parsed, cancellation), cancellation));
    }

    private int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var names = parsed.GetValue(_names) is { Length: > 0 } given ? given : ["micro", .. ContentionPresets.All.Select(p => p.Name)];
        var explicitly = parsed.GetValue(_names) is { Length: > 0 };
        var json = parsed.GetValue(CliOptions.Json);
        var specs = names.Where(n => n != "micro").Select(n => Spec(parsed, n, explicitly)).ToList();
        foreach (var spec in specs)
            if (spec.Problem() is { } problem) throw new CliException($"bench maps {spec.Name}: {problem}");
        var micro = names.Contains("micro") ? MapMicroBenchmarks.Run(cancellation) : [];
        if (micro.Count > 0 && !json && !parsed.GetValue(_csv)) PrintMicro(micro);
        var results = ContentionPrinter.Run(specs, print: !json && !parsed.GetValue(_csv), cancellation);
        if (json) Console.Out.WriteLine(MapMicroBenchmarks.Json(micro, results));
        else if (parsed.GetValue(_csv)) Console.Out.Write(MapMicroBenchmarks.Csv(micro) + (results.Count > 0 ? ContentionReport.Csv(results) : ""));
        if (parsed.GetValue(_html) is { } file) Write(file, ContentionReport.Html(results));
        return cancellation.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Done;
    }

    private ContentionSpec Spec(ParseResult parsed, string name, bool compare)
    {
        var spec = name == "custom" ? new ContentionSpec() : ContentionPresets.Find(name)
            ?? throw new CliException($"bench maps: unknown benchmark '{name}': it is micro, custom, {string.Join(", ", ContentionPresets.All.Select(p => p.Name))}");
        if (parsed.GetValue(_kind) is { } kind) spec = spec with { Kind = (MapTypes.Find(kind) ?? throw new CliException($"--kind {kind}: no such map kind")).Type };
        if (parsed.GetValue(_zipf) is { } exponent) spec = spec with { Distribution = KeyDistribution.Zipf, ZipfExponent = exponent };
        return spec with
        {
            Style = Choice(parsed, _style, spec.Style),
            Distribution = Choice(parsed, _distribution, spec.Distribution),
            Keys = parsed.GetValue(_keys) ?? spec.Keys,
            MaxEntries = parsed.GetValue(_maxEntries) ?? spec.MaxEntries,
            KeySize = parsed.GetValue(_keySize) ?? spec.KeySize,
            ValueSize = parsed.GetValue(_valueSize) ?? spec.ValueSize,
            ReadPercent = parsed.GetValue(_read) ?? spec.ReadPercent,
            DeletePercent = parsed.GetValue(_delete) ?? spec.DeletePercent,
            Preallocate = spec.Preallocate && !parsed.GetValue(_noPrealloc),
            OwnLruLists = parsed.GetValue(_noCommonLru),
            FullUpdate = spec.FullUpdate || parsed.GetValue(_fullUpdate),
            Compare = compare && !parsed.GetValue(_noCompare),
            Cpus = Cpus(parsed.GetValue(_cpus)),
            Duration = parsed.GetValue(_duration) ?? spec.Duration,
            Seed = parsed.GetValue(_seed) ?? spec.Seed,
        };
    }

    private static T Choice<T>(ParseResult parsed, Option<string?> option, T otherwise) where T : struct, Enum
    {
        if (parsed.GetValue(option) is not { } text) return otherwise;
        return Enum.TryParse<T>(text, ignoreCase: true, out var value) && !char.IsAsciiDigit(text[0]) ? value
            : throw new CliException($"{option.Name} {text}: it is {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}");
    }

    private static uint[] Cpus(string? text)
    {
        if (text is not null && text.Contains(','))
            return [.. text.Split(',').Select(Number).Distinct().Order()];
        var most = text is null ? (uint)Environment.ProcessorCount : Number(text);
        var counts = new List<uint>();
        for (var n = 1u; n < most; n *= 2) counts.Add(n);
        return [.. counts, most];

        static uint Number(string text) => uint.TryParse(text, out var n) && n is > 0 and <= 256 ? n : throw new CliException($"--cpus {text}: numbers from 1 to 256");
    }

    private static void PrintMicro(IReadOnlyList<MicroResult> results)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("operation", "ns", "target", "kernel ns", "ConcurrentDictionary ns", "times kernel", "times CD");
        foreach (var r in results)
            table.AddRow(Markup.Escape(r.Operation), Show(r.Nanoseconds), r.Target is null ? "" : $"{(r.HigherIsBetter ? ">=" : "<=")} {Show(r.Target)}", Show(r.KernelNanoseconds),
                Show(r.DictionaryNanoseconds), Ratio(r.KernelNanoseconds, r), Ratio(r.DictionaryNanoseconds, r));
        ContentionPrinter.PrintTable(table);

        static string Show(double? value) => value is { } v ? v.ToString("0.0#", System.Globalization.CultureInfo.InvariantCulture) : "-";
        static string Ratio(double? rival, MicroResult r) => rival is { } v && r.Nanoseconds is > 0 ? Show(v / r.Nanoseconds) : "-";
    }

    private static void Write(FileInfo file, string page)
    {
        try
        {
            File.WriteAllText(file.FullName, page);
            Console.Error.WriteLine($"wrote {file.FullName}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"--html {file}: {e.Message}", ExitCode.Failed);
        }
    }
}
