using System.CommandLine;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using BpfSim.Agent;
using BpfSim.Agent.Export;
using BpfSim.Agent.Scenarios;
using BpfSim.Cli.Output;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Laboratory;
using BpfSim.Kernel.Libbpf;

namespace BpfSim.Cli.Commands;

/// <summary><c>bpfsim run [SCENARIO]</c>: runs a scenario and prints trace, maps, metrics and reconciliation.</summary>
internal sealed class RunCommand : CliCommand
{
    private readonly ScenarioOptions _scenario;
    private readonly Option<string?> _otlp = new("--otlp") { Description = "Send metrics to this OTLP collector", HelpName = "URL" };
    private readonly Option<string> _protocol = new("--otlp-protocol") { Description = "How to speak to the collector", DefaultValueFactory = _ => "grpc" };
    private readonly Option<string?> _prometheus = new("--prometheus") { Description = "Serve /metrics for Prometheus", HelpName = "[HOST:]PORT" };
    private readonly Option<bool> _keepRunning = new("--keep-running") { Description = "Serve and send metrics until Ctrl-C after the run" };

    public RunCommand() : base("run", "Runs a scenario: a YAML file, or the name of a built-in one",
        "bpfsim run hello-world --seed 7", "bpfsim run scenario.yaml --duration 10s --prometheus 9435 --keep-running")
    {
        _scenario = new ScenarioOptions(this);
        _protocol.AcceptOnlyFromAmong("grpc", "http/protobuf");
        foreach (Option option in (Option[])[_otlp, _protocol, _prometheus, _keepRunning]) Options.Add(option);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancel)
    {
        ScenarioRunOptions options = RunOptions(parsed);
        Scenario scenario = _scenario.Open(parsed);
        bool json = parsed.GetValue(CliOptions.Json);
        if (scenario.Contention.Count > 0)
        {
            var results = await Task.Run(() => Bench.ContentionPrinter.Run(scenario.Contention, print: !json, cancel), cancel).ConfigureAwait(false);
            if (json) await Console.Out.WriteLineAsync(ContentionReport.Json(results)).ConfigureAwait(false);
            return ExitCode.Done;
        }

        if (scenario.Agent.Spans.Count > 0) Console.Error.WriteLine("note: spans are checked, but not exported");
        using ScenarioRun run = Start(scenario, options);
        if (run.PrometheusPort != 0) Console.Error.WriteLine($"metrics for Prometheus on port {run.PrometheusPort}, path /metrics");

        using StreamWriter output = new(Console.OpenStandardOutput(), new UTF8Encoding(false), 1 << 16);
        using ProgressBar progress = new(scenario.Name);
        List<string> trace = [];
        int lines = 0;
        run.Machine.Trace.LineWritten += line =>
        {
            if (json)
            {
                trace.Add(line.ToString());
                return;
            }
            progress.Hide();
            output.Write(line.ToString());
            output.Write('\n');
            // The first line shows at once that something runs; after that whole buffers do.
            if (lines++ == 0) output.Flush();
        };
        Stopwatch watch = Stopwatch.StartNew();
        await Task.Run(() => run.Run(progress.Report, cancel), CancellationToken.None).ConfigureAwait(false);
        progress.Dispose();
        TimeSpan wall = watch.Elapsed;

        Flushed flushed = await run.FlushAsync().ConfigureAwait(false);
        Reconciliation account = run.Reconcile(flushed.Metrics);
        if (json) output.Write(RunPrinter.Json(run, trace, flushed.Metrics, account).ToJsonString() + "\n");
        else RunPrinter.Print(output, run, flushed.Metrics, account);
        await output.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        ulong events = account.Hooks.Aggregate(0UL, (sum, h) => sum + h.Events);
        Console.Error.WriteLine($"{run.Machine.Elapsed.TotalSeconds:0.###} s simulated in {wall.TotalSeconds:0.###} s, {events} program runs, {scenario.Machine.Engine.ToString().ToLowerInvariant()}");
        foreach (string problem in flushed.Problems) Console.Error.WriteLine($"bpfsim: {problem}");

        bool failed = !account.Holds || flushed.Problems.Count > 0;
        if (parsed.GetValue(_keepRunning) && !cancel.IsCancellationRequested) await KeepRunningAsync(run, cancel).ConfigureAwait(false);
        return cancel.IsCancellationRequested ? ExitCode.Interrupted : failed ? ExitCode.Failed : ExitCode.Done;
    }

    private ScenarioRunOptions RunOptions(ParseResult parsed)
    {
        OtlpEndpoint? otlp = null;
        if (parsed.GetValue(_otlp) is { } url && !OtlpEndpoint.TryParse(url, parsed.GetValue(_protocol) != "grpc", out otlp))
            throw new CliException($"--otlp: '{url}' is not an http or https URL");
        (string, int)? prometheus = null;
        if (parsed.GetValue(_prometheus) is { } address)
            prometheus = PrometheusServer.TryParseEndpoint(address, out string host, out int port) ? (host, port)
                : throw new CliException($"--prometheus: '{address}' is not [HOST:]PORT");
        return new ScenarioRunOptions { Otlp = otlp, Prometheus = prometheus };
    }

    /// <summary>Builds the run; what the machine refuses becomes one line, with the verifier's log before it.</summary>
    internal static ScenarioRun Start(Scenario scenario, ScenarioRunOptions options, Action<BpfCall>? calls = null)
    {
        try
        {
            return new ScenarioRun(scenario, options, calls);
        }
        catch (BpfObjectException e)
        {
            if (e.Log.Length > 0) Console.Error.WriteLine(e.Log.TrimEnd());
            throw new CliException($"{scenario.File}: {e.Message}", ExitCode.Failed);
        }
        catch (SocketException e)
        {
            (string host, int port) = options.Prometheus!.Value;
            string why = e.SocketErrorCode == SocketError.AddressAlreadyInUse ? "the port is in use" : e.Message;
            throw new CliException($"--prometheus {(host.Length > 0 ? host + ":" : "")}{port}: {why}", ExitCode.Failed);
        }
    }

    private static async Task KeepRunningAsync(ScenarioRun run, CancellationToken cancel)
    {
        Console.Error.WriteLine("still serving metrics; Ctrl-C ends");
        try
        {
            await Task.Delay(Timeout.Infinite, cancel).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            foreach (string problem in (await run.FlushAsync().ConfigureAwait(false)).Problems) Console.Error.WriteLine($"bpfsim: {problem}");
        }
    }
}
