using System.Globalization;

namespace BpfSim.Agent.Config;

/// <summary>Times as people write them: a number and a unit.</summary>
public static class DurationText
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
