using CsCheck;

namespace BpfSim.Maps.Tests;

/// <summary>Ring buffers and perf buffers: order, room, busy records, wake-ups, losses.</summary>
public class RingbufTests
{
    private static RingbufMap Create(uint size = 4096) => (RingbufMap)MapFactory.Create(new MapSpec { Type = MapType.Ringbuf, MaxEntries = size }, 2).Map!;

    [Fact]
    public unsafe void RecordsComeInOrderOfReservationAndWaitForBusyOnes()
    {
        using var ring = Create();
        var first = ring.Reserve(8, 0);
        var second = ring.Reserve(4, 0);
        var third = ring.Reserve(16, 0);
        *(long*)first = 1;
        *(int*)second = 2;
        *(long*)third = 3;
        Assert.Equal(16 + 16 + 24ul, ring.ProducerPosition);
        ring.Submit(third, 0);
        RingbufMap.FromSample(second).Discard(second, 0);
        var seen = new List<int>();
        Assert.Equal(0, ring.Consume(s => Add(seen, s)));
        ring.Submit(first, 0);
        Assert.Equal(2, ring.Consume(s => Add(seen, s)));
        Assert.Equal([8, 1, 16, 3], seen);
        Assert.Equal(ring.ProducerPosition, ring.ConsumerPosition);
        Assert.Same(ring, RingbufMap.FromSample(third));

        static int Add(List<int> seen, ReadOnlySpan<byte> sample)
        {
            seen.Add(sample.Length);
            seen.Add(sample[0]);
            return 0;
        }
    }

    [Fact]
    public unsafe void NothingIsOverwrittenAndWhatHasNoRoomIsCounted()
    {
        using var ring = Create();
        var data = stackalloc byte[100];
        var stored = 0;
        while (ring.Output(data, 100, 0) == 0) stored++;
        // 112 bytes a record, and the last byte of the ring is never used.
        Assert.Equal(4095 / 112, stored);
        Assert.Equal(-(int)Errno.EAGAIN, ring.Output(data, 100, 0));
        Assert.True(ring.Reserve(1 << 20, 0) == null);
        Assert.Equal(3, ring.Drops);
        Assert.Equal(-(int)Errno.EINVAL, ring.Output(data, 1, 4));
        Assert.True(ring.Reserve(8, 1) == null);
        Assert.Equal((ulong)stored * 112, ring.Query(0));
        Assert.Equal(4096ul, ring.Query(1));
        Assert.Equal(0ul, ring.Query(2));
        Assert.Equal((ulong)stored * 112, ring.Query(3));
        Assert.Equal(0ul, ring.Query(99));
        Assert.Equal(stored, ring.Consume(_ => 0));
        Assert.Equal(0ul, ring.Query(0));
    }

    [Fact]
    public unsafe void ARingBehavesAsAQueueOfBytes() => Gen.Select(Gen.Int[0, 5], Gen.Int[0, 700]).Array[0, 200].Sample(ops =>
    {
        using var ring = Create();
        var model = new Queue<byte[]>();
        byte fill = 0;
        foreach (var (kind, size) in ops)
        {
            if (kind < 4)
            {
                var sample = ring.Reserve((ulong)size, 0);
                if (sample == null) continue;
                var bytes = new byte[size];
                bytes.AsSpan().Fill(++fill);
                bytes.CopyTo(new Span<byte>(sample, size));
                if (kind == 3) ring.Discard(sample, 0);
                else
                {
                    ring.Submit(sample, 0);
                    model.Enqueue(bytes);
                }
            }
            else ring.Consume(s => s.SequenceEqual(model.Dequeue()) ? 0 : throw new InvalidOperationException("wrong record"), kind == 4 ? 2 : int.MaxValue);
        }

        ring.Consume(s => s.SequenceEqual(model.Dequeue()) ? 0 : throw new InvalidOperationException("wrong record"));
        Assert.Empty(model);
    }, iter: 500);

    [Fact]
    public async Task AConsumerSleepsUntilItIsWoken()
    {
        using var ring = Create(65536);
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var sum = 0L;
        var consumer = Task.Run(async () =>
        {
            await foreach (var sample in ring.ReadAllAsync(stop.Token))
            {
                sum += BitConverter.ToInt64(sample);
                if (sum == 2 * (10000L * 9999 / 2)) break;
            }
        });
        var producers = Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            for (long i = 0; i < 10000;)
                if (Put(ring, i)) i++;
                else Thread.Yield();
        }));
        await Task.WhenAll(producers);
        await consumer;
        Assert.Equal(2 * (10000L * 9999 / 2), sum);

        static unsafe bool Put(RingbufMap ring, long value) => ring.Output((byte*)&value, 8, 0) == 0;
    }

    [Fact]
    public async Task NoWakeupLetsTheConsumerSleepAndForceWakesIt()
    {
        using var ring = Create();
        var waiting = ring.WaitAsync().AsTask();
        Output(ring, RingbufMap.NoWakeup);
        await Task.Delay(30);
        Assert.False(waiting.IsCompleted);
        Output(ring, RingbufMap.ForceWakeup);
        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        await ring.WaitAsync();

        static unsafe void Output(RingbufMap ring, ulong flags)
        {
            long value = 1;
            Assert.Equal(0, ring.Output((byte*)&value, 8, flags));
        }
    }

    [Fact]
    public unsafe void AUserRingIsDrainedInOrder()
    {
        using var ring = (UserRingbufMap)MapFactory.Create(new MapSpec { Type = MapType.UserRingbuf, MaxEntries = 4096 }, 2).Map!;
        for (var round = 0; round < 100; round++)
        {
            for (var i = 0; i < 20; i++) Assert.Equal(0, ring.Write(BitConverter.GetBytes(i)));
            Assert.Equal(0, ring.BeginDrain());
            Assert.Equal(-(int)Errno.EBUSY, ring.BeginDrain());
            for (var i = 0; i < 20; i++)
            {
                Assert.Equal(4, ring.PeekSample(out var sample));
                Assert.Equal(i, *(int*)sample);
                ring.ReleaseSample(4);
            }

            Assert.Equal(-(int)Errno.ENODATA, ring.PeekSample(out _));
            ring.EndDrain();
        }

        Assert.Equal(0, ring.Reserve(8, out _));
        Assert.Equal(-(int)Errno.EAGAIN, ring.PeekSample(out _));
        Assert.Equal(-(int)Errno.E2BIG, ring.Reserve(8000, out _));
        Assert.Equal(-(int)Errno.ENOSPC, ring.Reserve(4080, out _));
    }

    [Fact]
    public unsafe void PerfBuffersReportWhatTheyLost()
    {
        using var map = (PerfEventArrayMap)MapFactory.Create(TestData.ParseSpec("4 4 4 2 0"), 2).Map!;
        var buffer = new PerfEventBuffer(0, 1);
        Assert.Equal(0, map.UpdateReference([0, 0, 0, 0], buffer));
        buffer.Dispose();
        byte[] data = [1, 2, 3, 4, 5];
        Assert.Equal(-(int)Errno.E2BIG, map.Output(7, data, 0));
        Assert.Equal(-(int)Errno.ENOENT, map.Output(1, data, 1));
        Assert.Equal(-(int)Errno.EOPNOTSUPP, map.Output(0, data, 1));
        var stored = 0;
        while (map.Output(PerfEventArrayMap.CurrentCpu, data, 0) == 0) stored++;
        Assert.Equal(4096 / 24, stored);
        for (var i = 0; i < 6; i++) map.Output(PerfEventArrayMap.CurrentCpu, data, 0);
        var (samples, lost) = (0, 0ul);
        // 5 bytes and the length make 9, padded to 16: the sample shows 12.
        Assert.Equal(stored, buffer.Consume(s => s.Length == 12 && s[..5].SequenceEqual(data) ? 0 * samples++ : throw new InvalidOperationException()));
        Assert.Equal(0, map.Output(PerfEventArrayMap.CurrentCpu, data, 0));
        buffer.Consume(s => 0 * samples++, n => lost += n);
        Assert.Equal(7ul, lost);
        Assert.Equal(stored + 1, samples);
        Assert.Equal(7ul, buffer.Lost);
    }
}
