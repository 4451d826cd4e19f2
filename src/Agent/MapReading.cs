using Akka.Actor;
using BpfSim.Agent.Metrics;
using BpfSim.Maps;

namespace BpfSim.Agent;

/// <summary>Copies maps for the agent and for the command line.</summary>
public static class MapReading
{
    /// <summary>Asks a map's actor for all elements.</summary>
    /// <returns>The contents, or null if the map did not answer in time.</returns>
    internal static async Task<MapContent?> ReadAsync(ObservedMap map, TimeSpan limit)
    {
        try
        {
            return await map.Actor.Ask<MapContent>(map.Name, limit).ConfigureAwait(false);
        }
        catch (AskTimeoutException)
        {
            return null;
        }
    }

    /// <summary>Copies a map element by element, as a loop of BPF_MAP_GET_NEXT_KEY and BPF_MAP_LOOKUP_ELEM does.</summary>
    /// <param name="map">The map; kinds without keys give no elements.</param>
    /// <param name="userValueSize">Bytes of a value as user space copies it.</param>
    public static MapContent Copy(BpfMap map, uint userValueSize)
    {
        List<(byte[], byte[])> elements = [];
        byte[] key = [], next = new byte[map.Spec.KeySize];
        // A map that programs change meanwhile may send the iteration back to its start: capacity bounds it.
        for (uint i = 0; i <= map.Spec.MaxEntries && map.Spec.KeySize > 0 && map.GetNextKey(key, next) == 0; i++)
        {
            byte[] value = new byte[userValueSize];
            key = [.. next];
            if (map.Lookup(key, value) == 0) elements.Add((key, value));
        }
        return new MapContent(map.Spec, map.Cpus, elements);
    }
}
