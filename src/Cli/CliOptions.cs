using System.CommandLine;
using System.CommandLine.Parsing;
using BpfSim.Agent.Config;

namespace BpfSim.Cli;

/// <summary>Options that mean the same in every command.</summary>
internal static class CliOptions
{
    /// <summary>One JSON document on standard output and nothing else there. Understood by every command.</summary>
    public static Option<bool> Json { get; } = new("--json", "-j")
    {
        Description = "Print one JSON document on standard output",
        Recursive = true,
    };

    /// <summary>How programs are run.</summary>
    public static Option<string> Engine() => new Option<string>("--engine")
    {
        Description = "How programs are run",
        DefaultValueFactory = _ => "jit",
    }.AcceptOnly("jit", "interpreter", "checked");

    /// <summary>A span of time such as <c>10s</c>, <c>250ms</c>, <c>2m</c>; a bare number is seconds.</summary>
    public static Option<TimeSpan?> Duration(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "TIME",
        CustomParser = ParseDuration,
    };

    private static TimeSpan? ParseDuration(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (DurationText.TryParse(text, out TimeSpan value)) return value;
        result.AddError($"'{text}' is not a time such as 10s, 250ms or 2m");
        return null;
    }

    private static Option<T> AcceptOnly<T>(this Option<T> option, params string[] values)
    {
        option.AcceptOnlyFromAmong(values);
        return option;
    }
}
