using System.Diagnostics;
using System.Text;
using BpfSim.Tests.Shared;

namespace BpfSim.Cli.Tests;

/// <summary>The built command, run as its users run it.</summary>
internal sealed class Bpfsim : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _errors = new();
    private readonly Task<string> _output;

    private Bpfsim(string[] arguments, string? folder)
    {
        ProcessStartInfo start = new(Path.Combine(Folder, "bpfsim"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder ?? Repository.Root,
        };
        start.Environment["NO_COLOR"] = "1";
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += (_, e) =>
        {
            if (e.Data == null) return;
            lock (_errors) _errors.Append(e.Data).Append('\n');
        };
        _process.BeginErrorReadLine();
        _output = _process.StandardOutput.ReadToEndAsync();
    }

    /// <summary>Where the build left the command, of the same configuration as the tests.</summary>
    public static string Folder { get; } = Repository.PathOf("src", "Cli", "bin",
        AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Release" : "Debug", "net10.0");

    /// <summary>What it has written to standard error so far.</summary>
    public string Errors
    {
        get { lock (_errors) return _errors.ToString(); }
    }

    /// <summary>Starts it and lets it run.</summary>
    public static Bpfsim Start(params string[] arguments) => new(arguments, null);

    /// <summary>Runs it to its end.</summary>
    public static Task<(int Exit, string Output, string Errors)> RunAsync(params string[] arguments) => RunInAsync(null, arguments);

    /// <summary>Runs it to its end in a folder.</summary>
    public static async Task<(int Exit, string Output, string Errors)> RunInAsync(string? folder, params string[] arguments)
    {
        using Bpfsim command = new(arguments, folder);
        command._process.StandardInput.Close();
        return await command.EndAsync();
    }

    /// <summary>Runs it to its end with a text on standard input.</summary>
    public static async Task<(int Exit, string Output, string Errors)> RunWithInputAsync(string input, params string[] arguments)
    {
        using Bpfsim command = new(arguments, null);
        await command._process.StandardInput.WriteAsync(input);
        command._process.StandardInput.Close();
        return await command.EndAsync();
    }

    /// <summary>Waits until standard error holds a text.</summary>
    public async Task<string> WaitForErrorAsync(string text)
    {
        for (int i = 0; !Errors.Contains(text, StringComparison.Ordinal); i++)
        {
            Assert.True(i < 600 && !_process.HasExited, $"'{text}' did not come; standard error: {Errors}");
            await Task.Delay(100);
        }
        return Errors;
    }

    /// <summary>Ctrl-C.</summary>
    public void Interrupt() => Process.Start("kill", ["-INT", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)])!.WaitForExit();

    /// <summary>Waits for its end.</summary>
    public async Task<(int Exit, string Output, string Errors)> EndAsync()
    {
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(2));
        string output = await _output.WaitAsync(limit.Token);
        await _process.WaitForExitAsync(limit.Token);
        return (_process.ExitCode, output, Errors);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }
}
