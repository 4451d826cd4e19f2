using System.Diagnostics;

namespace BpfSim.Kernel.Laboratory;

/// <summary>The wall clock of measurements; the simulation's own time is elsewhere.</summary>
internal static class RealTime
{
    /// <summary>Nanoseconds that taking two timestamps costs by itself.</summary>
    public static long ClockCost { get; } = Calibrate();

    /// <summary>Nanoseconds since a timestamp of <see cref="Stopwatch.GetTimestamp"/>.</summary>
    public static long NanosecondsSince(long begin) => (long)((Stopwatch.GetTimestamp() - begin) * (1e9 / Stopwatch.Frequency));

    private static long Calibrate()
    {
        var best = long.MaxValue;
        for (var i = 0; i < 10_000; i++) best = Math.Min(best, NanosecondsSince(Stopwatch.GetTimestamp()));
        return best;
    }
}
