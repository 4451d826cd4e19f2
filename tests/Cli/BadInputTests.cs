using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace BpfSim.Cli.Tests;

/// <summary>Wrong usage and bad input: one clear line, no stack trace, the right exit code.</summary>
public sealed class BadInputTests
{
    public static TheoryData<string, int, string> Lines => new()
    {
        { "bogus", 2, "unknown command 'bogus'" },
        { "--bogus", 2, "unknown option '--bogus'" },
        { "run --bogus", 2, "unknown option '--bogus'" },
        { "run a b", 2, "Unrecognized command or argument 'b'" },
        { "run --seed x", 2, "--seed: 'x' is not a whole number from 0 on" },
        { "prog show nowhere.o", 2, "nowhere.o: no such file" },
        { "prog show src", 2, "src: a directory, not a file" },
        { "prog show tests/data/bad.bpf.s", 2, "tests/data/bad.bpf.s: line 3, column 4: unknown operator at 'is 0'" },
        { "run --cpus 0", 2, "--cpus must be from 1 to 256, not 0" },
        { "run --cpus 257", 2, "--cpus must be from 1 to 256, not 257" },
        { "run --duration soon", 2, "'soon' is not a time such as 10s, 250ms or 2m" },
        { "run --engine turbo", 2, "Argument 'turbo' not recognized. Must be one of: 'jit' 'interpreter' 'checked'" },
        { "run --mode turbo", 2, "turbo" },
        { "run --otlp ftp://x", 2, "--otlp: 'ftp://x' is not an http or https URL" },
        { "run --otlp-protocol smoke", 2, "smoke" },
        { "run --prometheus x", 2, "--prometheus: 'x' is not [HOST:]PORT" },
        { "run nowhere.yaml", 2, "nowhere.yaml: no such file" },
        { "run src", 2, "src: is a directory" },
        { "strace nowhere.yaml", 2, "nowhere.yaml: no such file" },
        { "map", 2, "Required command was not provided" },
        { "map dump hello-world id x", 2, "'x' is not a map id" },
        { "map dump hello-world name nothing", 1, "no such map" },
        { "agent check nowhere.yaml", 2, "nowhere.yaml: no such file" },
        { "agent check README.md", 2, "README.md:" },
        { "run --otlp http://127.0.0.1:1", 1, "OTLP export to http://127.0.0.1:1/ failed: " },
        { "run --otlp http://127.0.0.1:1 --otlp-protocol http/protobuf", 1, "OTLP export to http://127.0.0.1:1/v1/metrics failed: " },
    };

    [Theory]
    [MemberData(nameof(Lines))]
    public async Task A_line_says_what_is_wrong(string arguments, int exit, string message)
    {
        (int code, _, string errors) = await Bpfsim.RunAsync(arguments.Split(' '));
        Assert.Equal((exit, true), (code, errors.Contains(message, StringComparison.Ordinal)));
        AssertOneLine(errors);
    }

    [Theory]
    [InlineData("cpus: [", "not valid YAML")]
    [InlineData("", "bad.yaml: nothing to run")]
    [InlineData("cpus: 0", "bad.yaml:1: 'cpus' must be from 1 to 256, not 0")]
    [InlineData("programs:\n  - {asm: nothing.s}", "bad.yaml:2: no such file 'nothing.s'")]
    [InlineData("programs:\n  - {asm: bad.yaml}", "bad.yaml:2:")]
    [InlineData("programs:\n  - {object: bad.yaml}", "bad.yaml:2:")]
    [InlineData("programs:\n  - {bytes: bad.yaml, attach: {bad: kprobe/x}}", "bad.yaml:2:")]
    [InlineData("processes: 3", "bad.yaml:1: 'processes' must be a list")]
    public async Task A_bad_scenario_is_named_with_file_and_line(string yaml, string message)
    {
        string folder = Directory.CreateTempSubdirectory("bpfsim-bad").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "bad.yaml"), yaml);
        (int code, string output, string errors) = await Bpfsim.RunInAsync(folder, "run", "bad.yaml");
        Directory.Delete(folder, true);
        Assert.Equal((2, true, ""), (code, errors.Contains(message, StringComparison.Ordinal), output));
        AssertOneLine(errors);
    }

    [Fact]
    public async Task A_rejected_program_ends_with_1_and_its_log()
    {
        string folder = Directory.CreateTempSubdirectory("bpfsim-bad").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "p.bpf.s"), ".license \"GPL\"\n.section kprobe/do_sys_openat2\n.func p\nr0 = r3\nexit\n");
        await File.WriteAllTextAsync(Path.Combine(folder, "s.yaml"), "programs:\n  - asm: p.bpf.s\n");
        (int code, _, string errors) = await Bpfsim.RunInAsync(folder, "run", "s.yaml");
        Directory.Delete(folder, true);
        Assert.Equal(1, code);
        Assert.Contains("R3 !read_ok", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_is_said_before_anything_runs()
    {
        using TcpListener other = new(IPAddress.Loopback, 0);
        other.Start();
        int port = ((IPEndPoint)other.LocalEndpoint).Port;
        (int code, string output, string errors) = await Bpfsim.RunAsync("run", "--prometheus", $"127.0.0.1:{port}");
        Assert.Equal((1, "", true), (code, output, errors.Contains($"--prometheus 127.0.0.1:{port}: the port is in use", StringComparison.Ordinal)));
        AssertOneLine(errors);
    }

    [Fact]
    public async Task A_collector_that_never_answers_does_not_hold_up_the_run()
    {
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        Stopwatch watch = Stopwatch.StartNew();
        (int code, string output, string errors) = await Bpfsim.RunAsync("run", "--otlp", $"http://127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}");
        Assert.Equal((1, true), (code, errors.Contains("failed: no answer within 3 s", StringComparison.Ordinal)));
        Assert.Contains("every event is accounted for", output, StringComparison.Ordinal);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"took {watch.Elapsed}");
    }

    [Fact]
    public async Task Every_command_has_help_with_an_example()
    {
        Assert.All(Names(CommandLine.CreateRoot(), ""), name => Assert.NotEqual("", name));
        foreach (string name in Names(CommandLine.CreateRoot(), "").Take(6))
        {
            (int code, string output, string errors) = await Bpfsim.RunAsync([.. name.Split(' '), "--help"]);
            Assert.Equal((0, ""), (code, errors));
            Assert.Contains("Example", output, StringComparison.Ordinal);
            Assert.Contains("  bpfsim ", output, StringComparison.Ordinal);
        }
    }

    private static IEnumerable<string> Names(System.CommandLine.Command command, string prefix) =>
        command.Subcommands.SelectMany(c => c.Subcommands.Count == 0 ? [prefix + c.Name] : Names(c, $"{prefix}{c.Name} "));

    private static void AssertOneLine(string errors)
    {
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries), l => l.StartsWith("bpfsim: ", StringComparison.Ordinal));
    }
}
