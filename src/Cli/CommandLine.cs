using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using BpfSim.Agent.Config;
using BpfSim.Kernel.Profile;

namespace BpfSim.Cli;

/// <summary>From arguments to an exit code: parses, runs one command, and turns every failure into one line.</summary>
internal static class CommandLine
{
    /// <summary>Runs what the arguments ask for; <c>bpfsim</c> alone, or with options only, is <c>bpfsim run</c>.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0 || (args[0].StartsWith('-') && args[0] is not ("-h" or "--help" or "-?" or "--version")))
            args = ["run", .. args];
        // These will ask for the kernel's types, which are read while the arguments are.
        if (args[0] is "run" or "verify" or "strace" or "map" && !args.Contains("--btf")) KernelProfile.Embedded.Warm();
        ParseResult parsed = CreateRoot().Parse(args);
        if (UsageError(parsed, args) is { } error)
            return Fail($"{error} (see {CommandPath(parsed)} --help)", ExitCode.Usage);
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = TimeSpan.FromSeconds(30),
            }).ConfigureAwait(false);
        }
        catch (CliException e)
        {
            return Fail(e.Message, e.ExitCode);
        }
        catch (ConfigException e)
        {
            return Fail(e.Message, ExitCode.Usage);
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException)
        {
            return Fail(e.Message, ExitCode.Usage);
        }
        catch (Exception e)
        {
            if (Environment.GetEnvironmentVariable("BPFSIM_DEBUG") == "1") Console.Error.WriteLine(e);
            return Fail($"internal error: {e.GetType().Name}: {e.Message} (BPFSIM_DEBUG=1 shows where)", ExitCode.Failed);
        }
    }

    /// <summary>The whole command tree.</summary>
    public static RootCommand CreateRoot()
    {
        RootCommand root = new("Runs eBPF tracing pipelines without a kernel. Without a command: bpfsim run hello-world.");
        foreach (Command command in CommandList.Create()) root.Subcommands.Add(command);
        root.Options.Add(CliOptions.Json);
        foreach (Option option in root.Options)
            if (option is HelpOption { Action: HelpAction help })
                option.Action = new HelpWithExamples(help);
        return root;
    }

    /// <summary>What is wrong with the arguments, or null. The parser takes an unknown option for an argument; we do not.</summary>
    private static string? UsageError(ParseResult parsed, string[] args)
    {
        if (parsed.Action is HelpWithExamples) return null;
        if (parsed.CommandResult.Command is RootCommand or CommandGroup && parsed.UnmatchedTokens.Count > 0
            && !parsed.UnmatchedTokens[0].StartsWith('-'))
            return $"unknown command '{parsed.UnmatchedTokens[0]}'";
        string? option = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens)
            .Select(t => t.Value).Concat(parsed.UnmatchedTokens).FirstOrDefault(t => t.Length > 1 && t[0] == '-');
        if (option != null && !args.Contains("--")) return $"unknown option '{option}'";
        return parsed.Errors.Count > 0 ? Text(parsed.Errors[0]) : null;
    }

    /// <summary>The parser's words, without its type names and its list over several lines.</summary>
    private static string Text(ParseError error)
    {
        if (error.SymbolResult is OptionResult { Tokens: [var token] } option
            && Nullable.GetUnderlyingType(option.Option.ValueType) is var underlying
            && (underlying ?? option.Option.ValueType) is { IsPrimitive: true } type && type != typeof(bool)
            && error.Message.Contains(type.Name, StringComparison.Ordinal))
            return $"{option.Option.Name}: '{token.Value}' is not a {(type == typeof(double) ? "number" : type.Name.StartsWith('U') ? "whole number from 0 on" : "whole number")}";
        return string.Join(' ', error.Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.');
    }

    private static string CommandPath(ParseResult parsed)
    {
        string path = "";
        for (SymbolResult? at = parsed.CommandResult; at is CommandResult command; at = at.Parent)
            path = $" {(command.Command is RootCommand ? "bpfsim" : command.Command.Name)}{path}";
        return path.TrimStart();
    }

    private static int Fail(string message, int exitCode)
    {
        Console.Error.WriteLine($"bpfsim: {message.ReplaceLineEndings(" ").Trim()}");
        return exitCode;
    }

    /// <summary>The standard help, then the command's examples.</summary>
    private sealed class HelpWithExamples(HelpAction standard) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            int result = standard.Invoke(parseResult);
            IReadOnlyList<string> examples = parseResult.CommandResult.Command is CliCommand command
                ? command.Examples
                : ["bpfsim run hello-world --seed 7", "bpfsim verify programs/opensnoop.bpf.o"];
            Console.Out.WriteLine(examples.Count > 1 ? "Examples:" : "Example:");
            foreach (string example in examples) Console.Out.WriteLine($"  {example}");
            return result;
        }
    }
}
