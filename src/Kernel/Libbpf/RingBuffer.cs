using BpfSim.Maps;

namespace BpfSim.Kernel.Libbpf;

/// <summary>Consumes ring buffer maps, as libbpf's ring_buffer: one callback a map, called in the order of the records.</summary>
public sealed class RingBuffer
{
    private readonly List<(RingbufMap Map, SampleHandler Handler)> _rings = [];

    /// <summary>A consumer of one map; more can be added.</summary>
    /// <exception cref="ArgumentException">The map is not a ring buffer.</exception>
    public RingBuffer(BpfObjectMap map, SampleHandler handler) => Add(map, handler);

    /// <summary>Consumes another map too.</summary>
    /// <exception cref="ArgumentException">The map is not a ring buffer.</exception>
    public void Add(BpfObjectMap map, SampleHandler handler) => _rings.Add((
        map.Live as RingbufMap ?? throw new ArgumentException($"map '{map.Name}' is of type {map.Spec.Type}, not Ringbuf", nameof(map)), handler));

    /// <summary>Takes everything that is ready. Returns the number of records, or the first negative answer of a callback.</summary>
    public int Consume()
    {
        int total = 0;
        foreach ((RingbufMap map, SampleHandler handler) in _rings)
        {
            int count = map.Consume(handler);
            if (count < 0) return count;
            total += count;
        }
        return total;
    }
}

/// <summary>Consumes a perf event array, as libbpf's perf_buffer: a buffer for each CPU.</summary>
public sealed class PerfBuffer : IDisposable
{
    private readonly List<PerfEventBuffer> _buffers = [];

    /// <summary>Puts a buffer into each CPU's slot of the map.</summary>
    /// <param name="map">The perf event array.</param>
    /// <param name="pages">Pages of 4096 bytes a CPU, a power of two.</param>
    /// <exception cref="ArgumentException">The map is not a perf event array.</exception>
    public PerfBuffer(BpfObjectMap map, uint pages = 8)
    {
        if (map.Live is not PerfEventArrayMap array) throw new ArgumentException($"map '{map.Name}' is of type {map.Spec.Type}, not PerfEventArray", nameof(map));
        for (uint cpu = 0; cpu < array.Cpus && cpu < array.Spec.MaxEntries; cpu++)
        {
            var buffer = new PerfEventBuffer(cpu, pages);
            _buffers.Add(buffer);
            array.UpdateReference(BitConverter.GetBytes(cpu), buffer);
        }
    }

    /// <summary>Records lost because a buffer was full, over all CPUs.</summary>
    public ulong Lost => _buffers.Aggregate(0ul, static (sum, b) => sum + b.Lost);

    /// <summary>Takes everything that is there: samples CPU by CPU, with the CPU's number; losses as counts.</summary>
    /// <returns>The number of samples.</returns>
    public int Consume(Action<uint, byte[]> sample, Action<uint, ulong>? lost = null)
    {
        int total = 0;
        foreach (PerfEventBuffer buffer in _buffers)
        {
            int count = buffer.Consume(bytes =>
            {
                sample(buffer.Cpu, bytes.ToArray());
                return 0;
            }, n => lost?.Invoke(buffer.Cpu, n));
            if (count > 0) total += count;
        }
        return total;
    }

    /// <summary>Closes the buffers.</summary>
    public void Dispose()
    {
        foreach (PerfEventBuffer buffer in _buffers) buffer.Dispose();
    }
}
