using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

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

/// <summary>Times as people write them: a number and a unit.</summary>
internal static class DurationText
{
    private static readonly (string Unit, double Seconds)[] s_units =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1), ("m", 60), ("h", 3600)];

    /// <summary>Reads <c>10s</c>, <c>250ms</c>, <c>1.5m</c> or a bare number of seconds; refuses negative times.</summary>
    public static bool TryParse(string text, out TimeSpan value)
    {
        value = default;
        text = text.Trim();
        (string unit, double seconds) = ("", 1);
        foreach (var candidate in s_units)
            if (text.EndsWith(candidate.Unit, StringComparison.Ordinal) && candidate.Unit.Length > unit.Length)
                (unit, seconds) = candidate;
        if (!double.TryParse(text[..^unit.Length].TrimEnd(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            || number < 0 || !double.IsFinite(number) || number * seconds > 1e9)
            return false;
        value = TimeSpan.FromTicks((long)Math.Round(number * seconds * TimeSpan.TicksPerSecond));
        return true;
    }
}
