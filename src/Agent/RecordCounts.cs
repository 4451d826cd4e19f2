using BpfSim.Agent.Metrics;
using BpfSim.Maps;

namespace BpfSim.Agent;

/// <summary>
/// How often each record came out of a perf_event_array. No map holds these counts, so they live outside of the
/// agent's actor and survive its crashes. Any thread may use it.
/// </summary>
/// <param name="map">The map's blueprint.</param>
/// <param name="keySize">Bytes of a record that make its key; what stands behind them is the kernel's padding.</param>
/// <param name="limit">Different keys at most; records with others are counted as <see cref="Lost"/>.</param>
public sealed class RecordCounts(MapSpec map, int keySize, int limit)
{
    private readonly Dictionary<byte[], ulong> _counts = new(new ByteComparer());
    private readonly Lock _lock = new();
    private ulong _lost, _neverCame;

    /// <summary>The map's name, which is the metric's.</summary>
    public string Name => map.Name;

    /// <summary>Records that are in no count: the buffer was full, they were too short, or there were too many different ones.</summary>
    public ulong Lost
    {
        get { lock (_lock) return _lost + _neverCame; }
    }

    /// <summary>Counts a record.</summary>
    public void Add(ReadOnlySpan<byte> record)
    {
        byte[]? key = record.Length < keySize ? null : record[..keySize].ToArray();
        lock (_lock)
        {
            if (key == null || _counts.Count >= limit && !_counts.ContainsKey(key)) _lost++;
            else _counts[key] = _counts.GetValueOrDefault(key) + 1;
        }
    }

    /// <summary>Records so far for which the buffer had no room.</summary>
    public ulong NeverCame
    {
        get { lock (_lock) return _neverCame; }
        set { lock (_lock) _neverCame = value; }
    }

    /// <summary>Forgets all counts: flush_interval is over.</summary>
    public void Drop()
    {
        lock (_lock) _counts.Clear();
    }

    /// <summary>The counts as if a map held them: the record is the key, the count the value.</summary>
    public MapContent Content()
    {
        lock (_lock)
            return new MapContent(map with { Type = MapType.Hash, ValueSize = sizeof(ulong) }, 1, [.. _counts.Select(c => (c.Key, BitConverter.GetBytes(c.Value)))]);
    }

    private sealed class ByteComparer : IEqualityComparer<byte[]>
    {
        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] bytes)
        {
            HashCode hash = default;
            hash.AddBytes(bytes);
            return hash.ToHashCode();
        }
    }
}
