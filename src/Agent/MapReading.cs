using Akka.Actor;
using BpfSim.Agent.Metrics;
using BpfSim.Maps;

namespace BpfSim.Agent;

/// <summary>Copies maps for the agent.</summary>
internal static class MapReading
{
    /// <summary>Asks a map's actor for all elements.</summary>
    /// <returns>The contents, or null if the map did not answer in time.</returns>
    public static async Task<MapContent?> ReadAsync(ObservedMap map, TimeSpan limit)
    {
        try
        {
            MapSnapshot snapshot = await map.Actor.Ask<MapSnapshot>(new GetSnapshot(), limit).ConfigureAwait(false);
            return new MapContent(map.Spec, map.Cpus, [.. snapshot.Entries()]);
        }
        catch (AskTimeoutException)
        {
            return null;
        }
    }
}
