using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// user_ringbuf: user space writes records, a program drains them with bpf_user_ringbuf_drain. Layout as of
/// <see cref="RingbufMap"/>, with the roles exchanged.
/// </summary>
public sealed unsafe class UserRingbufMap : BpfMap
{
    /// <summary>The most samples that one drain hands out.</summary>
    public const int MostSamples = 128 * 1024;

    private const uint HeaderSize = 8;
    private const uint Page = 4096;
    private readonly ulong* _consumer;
    private readonly ulong* _producer;
    private readonly byte* _data;
    private readonly ulong _mask;
    private readonly Lock _write = new();
    private readonly WakeSignal _room = new();
    private int _draining;

    internal UserRingbufMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _mask = spec.MaxEntries - 1;
        var area = Memory.Allocate((2 * Page) + (2 * (nuint)spec.MaxEntries));
        _consumer = (ulong*)area;
        _producer = (ulong*)(area + Page);
        _data = area + (2 * Page);
        Header->Data = _data;
        Header->Extra = area;
        Header->Mask = _mask;
    }

    /// <inheritdoc/>
    public override ulong MemoryBytes => KernelMemory.Ringbuf(Spec.MaxEntries);

    /// <inheritdoc/>
    public override uint Count => (uint)(Volatile.Read(ref *_producer) - Volatile.Read(ref *_consumer));

    /// <summary>
    /// user_ring_buffer__reserve: room for a sample of user space. Returns 0 and the address, -E2BIG if it can never fit, -ENOSPC if
    /// there is no room now.
    /// </summary>
    public int Reserve(uint size, out byte* sample)
    {
        sample = null;
        if ((size & (RingbufMap.BusyBit | RingbufMap.DiscardBit)) != 0) return -(int)Errno.E2BIG;
        var length = ((ulong)size + HeaderSize + 7) & ~7ul;
        if (length > _mask + 1) return -(int)Errno.E2BIG;
        lock (_write)
        {
            var from = *_producer;
            if (_mask + 1 - (from - Volatile.Read(ref *_consumer)) < length) return -(int)Errno.ENOSPC;
            var header = (uint*)(_data + (from & _mask));
            header[0] = size | RingbufMap.BusyBit;
            header[1] = 0;
            Volatile.Write(ref *_producer, from + length);
            sample = (byte*)(header + 2);
            return 0;
        }
    }

    /// <summary>user_ring_buffer__submit.</summary>
    public static void Submit(byte* sample) => Commit(sample, 0);

    /// <summary>user_ring_buffer__discard.</summary>
    public static void Discard(byte* sample) => Commit(sample, RingbufMap.DiscardBit);

    /// <summary>Reserves, copies and submits; 0 or the error of <see cref="Reserve"/>.</summary>
    public int Write(ReadOnlySpan<byte> data)
    {
        var errno = Reserve((uint)data.Length, out var sample);
        if (errno != 0) return errno;
        data.CopyTo(new Span<byte>(sample, data.Length));
        Submit(sample);
        return 0;
    }

    /// <summary>Completes when a drain has made room (user_ring_buffer__reserve_blocking waits so).</summary>
    public ValueTask WaitForRoomAsync(uint size, CancellationToken cancellation = default) => _room.WaitAsync(
        () => _mask + 1 - (Volatile.Read(ref *_producer) - Volatile.Read(ref *_consumer)) >= (((ulong)size + HeaderSize + 7) & ~7ul), cancellation);

    /// <summary>Starts a drain: 0, or -EBUSY if a program is draining already. End it with <see cref="EndDrain"/>.</summary>
    public int BeginDrain() => Interlocked.CompareExchange(ref _draining, 1, 0) == 0 ? 0 : -(int)Errno.EBUSY;

    /// <summary>
    /// The next sample for the callback: its size, or -ENODATA if there is none, -EAGAIN if the next is busy. Discarded ones are
    /// skipped. <see cref="ReleaseSample"/> follows each.
    /// </summary>
    public int PeekSample(out byte* sample)
    {
        while (true)
        {
            sample = null;
            var at = *_consumer;
            if (at >= Volatile.Read(ref *_producer)) return -(int)Errno.ENODATA;
            var header = (uint*)(_data + (at & _mask));
            var word = Volatile.Read(ref *header);
            if ((word & RingbufMap.BusyBit) != 0) return -(int)Errno.EAGAIN;
            if ((word & RingbufMap.DiscardBit) == 0)
            {
                sample = (byte*)(header + 2);
                return (int)word;
            }

            Volatile.Write(ref *_consumer, at + (((word & ~RingbufMap.DiscardBit) + HeaderSize + 7) & ~7ul));
        }
    }

    /// <summary>Gives the place of the sample that <see cref="PeekSample"/> returned back to user space.</summary>
    public void ReleaseSample(int size) => Volatile.Write(ref *_consumer, *_consumer + (((ulong)size + HeaderSize + 7) & ~7ul));

    /// <summary>Ends a drain and wakes a producer that waits for room.</summary>
    public void EndDrain()
    {
        Interlocked.Exchange(ref _draining, 0);
        _room.Wake();
    }

    private static void Commit(byte* sample, uint discard)
    {
        var header = (uint*)(sample - HeaderSize);
        Interlocked.Exchange(ref *header, (*header & ~RingbufMap.BusyBit) | discard);
    }
}
