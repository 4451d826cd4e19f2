using System.Diagnostics;

namespace BpfSim.Kernel.Time;

/// <summary>The only place where the simulation sees real time: for pacing, statistics and load tests.</summary>
internal static class WallClock
{
    /// <summary>Nanoseconds from some fixed moment; never runs backward.</summary>
    public static ulong NowNs => (ulong)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));
}
