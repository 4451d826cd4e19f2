using System.Diagnostics;
using BpfSim.Maps;
using HdrHistogram;

namespace BpfSim.Kernel.Laboratory;

/// <summary>
/// CPUs that send records through a ring buffer, or each through a perf buffer of its own, and one consumer that sleeps until there are
/// some: the kernel's benchmark "ringbufs". What finds no room is lost; what the consumer got is counted.
/// </summary>
internal sealed class RecordRun
{
    private const int SampleEvery = 16, BatchSize = 64;
    private readonly ContentionSpec _spec;
    private readonly uint _cpus;
    private readonly BpfMap _map;
    private readonly PerfEventBuffer[] _buffers = [];
    private bool _stop;
    private long _consumed;

    private RecordRun(ContentionSpec spec, uint cpus, BpfMap map)
    {
        (_spec, _cpus, _map) = (spec, cpus, map);
        if (map is not PerfEventArrayMap array) return;
        // The memory of one ring buffer, shared out.
        uint pages = Math.Max(1, System.Numerics.BitOperations.RoundUpToPowerOf2((spec.MaxEntries / 4096 / cpus) + 1) / 2);
        _buffers = [.. Enumerable.Range(0, (int)cpus).Select(i => new PerfEventBuffer((uint)i, pages))];
        foreach (PerfEventBuffer buffer in _buffers) array.UpdateReference(BitConverter.GetBytes(buffer.Cpu), buffer);
    }

    /// <summary>Runs for the spec's duration.</summary>
    public static ContentionRun Measure(ContentionSpec spec, uint cpus)
    {
        (BpfMap? map, Errno errno) = MapFactory.Create(spec.MapSpec(cpus), cpus);
        if (map is null) throw new ArgumentException($"the map cannot be created: {errno}", nameof(spec));
        using (map) return new RecordRun(spec, cpus, map).Run();
    }

    private ContentionRun Run()
    {
        using var done = new CancellationTokenSource();
        var consumer = new Thread(() => Consume(done.Token)) { IsBackground = true };
        consumer.Start();
        using var start = new Barrier((int)_cpus + 1);
        Producer[] producers = [.. Enumerable.Range(0, (int)_cpus).Select(i => new Producer((uint)i))];
        Thread[] threads = [.. producers.Select(p => new Thread(() =>
        {
            start.SignalAndWait();
            Produce(p);
        })
        { IsBackground = true })];
        foreach (Thread thread in threads) thread.Start();
        start.SignalAndWait();
        long begin = Stopwatch.GetTimestamp();
        Thread.Sleep(_spec.Duration);
        Volatile.Write(ref _stop, true);
        foreach (Thread thread in threads) thread.Join();
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        done.Cancel();
        consumer.Join();
        var latency = new LongHistogram(TimeSpan.TicksPerMinute * 100, 3);
        foreach (Producer producer in producers) latency.Add(producer.Latency);
        foreach (PerfEventBuffer buffer in _buffers) buffer.Dispose();
        long Percentile(double percent) => latency.TotalCount == 0 ? 0 : latency.GetValueAtPercentile(percent);
        return new ContentionRun(_cpus, seconds, producers.Sum(p => p.Sent), [.. producers.Select(p => p.Sent)],
            new LatencyPercentiles(Percentile(50), Percentile(90), Percentile(99), Percentile(99.9), Percentile(100)),
            producers.Sum(p => p.Sent + p.Failed), _consumed, producers.Sum(p => p.Failed), 0, _map.Statistics.Total.LockWaits, _map.MemoryBytes, _map.NativeBytes);
    }

    private unsafe void Produce(Producer producer)
    {
        byte[] record = new byte[_spec.ValueSize];
        while (!Volatile.Read(ref _stop))
        {
            for (int i = 0; i < BatchSize; i++)
            {
                bool sampled = i % SampleEvery == 0;
                long begin = sampled ? Stopwatch.GetTimestamp() : 0;
                bool sent;
                if (_map is RingbufMap ring)
                {
                    byte* sample = ring.Reserve((ulong)record.Length, 0);
                    sent = sample != null;
                    if (sent)
                    {
                        *(long*)sample = producer.Sent;
                        ring.Submit(sample, 0);
                    }
                }
                else
                {
                    sent = ((PerfEventArrayMap)_map).Output(PerfEventArrayMap.CurrentCpu, record, producer.Cpu) == 0;
                }

                if (sampled) producer.Latency.RecordValue(Math.Max(1, RealTime.NanosecondsSince(begin) - RealTime.ClockCost));
                if (sent) producer.Sent++;
                else producer.Failed++;
            }
        }
    }

    private void Consume(CancellationToken done)
    {
        while (true)
        {
            bool last = done.IsCancellationRequested;
            long before = _consumed;
            if (_map is RingbufMap ring) ring.Consume(Count);
            foreach (PerfEventBuffer buffer in _buffers) buffer.Consume(Count);
            if (_consumed != before) continue;
            if (last) return;
            try
            {
                if (_map is RingbufMap waiting) waiting.WaitAsync(done).AsTask().GetAwaiter().GetResult();
                else Task.WhenAny(_buffers.Select(b => b.WaitAsync(done).AsTask())).Unwrap().GetAwaiter().GetResult();
            }
            catch (OperationCanceledException)
            {
                // Once more, for what came last.
            }
        }
    }

    private int Count(ReadOnlySpan<byte> sample)
    {
        _consumed++;
        return 0;
    }

    private sealed class Producer(uint cpu)
    {
        public uint Cpu { get; } = cpu;

        public long Sent { get; set; }

        public long Failed { get; set; }

        public LongHistogram Latency { get; } = new(TimeSpan.TicksPerMinute * 100, 3);
    }
}
