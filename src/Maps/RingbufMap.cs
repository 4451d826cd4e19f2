using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// ringbuf: one buffer for all CPUs, in which records stand in the order of their reservation. A record is reserved, filled
/// and submitted or discarded; the consumer stops at the first that is still busy; nothing is ever overwritten.
/// <para>Layout as in the kernel, page-aligned (<see cref="RingbufLayout"/>): <c>Extra</c> is the consumer's page, behind it lie the
/// producer's page and the data (<c>Data</c>). A record is 8 bytes
/// of header (u32 length with bit 31 = busy and bit 30 = discarded, u32 distance in pages from the map's own page, which stands before the
/// consumer's and begins with <see cref="MapHeader.Self"/>), then the sample, rounded up to 8. The kernel maps the data twice in
/// a row, so that a record may run over the end; here the second half is memory of its own, which no other record uses.</para>
/// </summary>
public sealed unsafe class RingbufMap : BpfMap
{
    /// <summary>BPF_RB_NO_WAKEUP.</summary>
    public const ulong NoWakeup = 1;

    /// <summary>BPF_RB_FORCE_WAKEUP.</summary>
    public const ulong ForceWakeup = 2;

    /// <summary>Bit of a record's length: reserved, not yet submitted.</summary>
    public const uint BusyBit = 1u << 31;

    /// <summary>Bit of a record's length: discarded.</summary>
    public const uint DiscardBit = 1u << 30;

    private const uint HeaderSize = RingbufLayout.HeaderSize;
    private const uint Page = RingbufLayout.Page;
    private const uint LargestSample = uint.MaxValue / 4;
    private readonly Control* _control;
    private readonly ulong* _consumer;
    private readonly byte* _data;
    private readonly ulong _mask;
    private readonly WakeSignal _signal = new();

    internal RingbufMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _mask = spec.MaxEntries - 1;
        var own = Memory.Allocate((4 * Page) + (2 * (nuint)spec.MaxEntries));
        own = (byte*)(((nuint)own + Page - 1) & ~(nuint)(Page - 1));
        *(nint*)own = Header->Self;
        *(ulong*)(own + RingbufLayout.OwnMask) = _mask;
        var area = own + Page;
        _consumer = (ulong*)area;
        _control = (Control*)(area + Page);
        _data = area + (2 * Page);
        Header->Data = _data;
        Header->Extra = area;
        Header->Mask = _mask;
    }

    /// <inheritdoc/>
    public override ulong MemoryBytes => KernelMemory.Ringbuf(Spec.MaxEntries);

    /// <summary>Bytes between the consumer's and the producer's position.</summary>
    public ulong Available => ProducerPosition - ConsumerPosition;

    /// <summary>Where the next record will start, counted from the beginning of time.</summary>
    public ulong ProducerPosition => Volatile.Read(ref _control->Producer);

    /// <summary>Up to where records have been consumed.</summary>
    public ulong ConsumerPosition => Volatile.Read(ref *_consumer);

    /// <inheritdoc/>
    public override uint Count => (uint)Math.Min(uint.MaxValue, Available);

    /// <summary>bpf_ringbuf_reserve: address of <paramref name="size"/> bytes to fill, or null if there is no room (counted as a drop).</summary>
    public byte* Reserve(ulong size, ulong flags)
    {
        if (flags != 0 || size > LargestSample) return null;
        var length = RingbufLayout.RecordLength(size);
        if (length > _mask + 1)
        {
            Interlocked.Increment(ref _control->Drops);
            return null;
        }

        MapSpinLock.Acquire(&_control->Lock);
        var from = _control->Producer;
        var to = from + length;
        // Records may be submitted out of order: room counts from the oldest that is busy, so that none is run over
        // even by a consumer that has gone past discarded ones.
        var pending = _control->Pending;
        while (pending < from)
        {
            var word = Volatile.Read(ref *(uint*)(_data + (pending & _mask)));
            if ((word & BusyBit) != 0) break;
            pending += ((word & ~DiscardBit) + HeaderSize + 7) & ~7ul;
        }

        _control->Pending = pending;
        if (to - ConsumerPosition > _mask || to - pending > _mask)
        {
            _control->Drops++;
            MapSpinLock.Release(&_control->Lock);
            return null;
        }

        var header = (uint*)(_data + (from & _mask));
        header[0] = (uint)size | BusyBit;
        header[1] = (uint)(((byte*)header - (byte*)_consumer) / Page) + 1;
        Volatile.Write(ref _control->Producer, to);
        MapSpinLock.Release(&_control->Lock);
        return (byte*)(header + 2);
    }

    /// <summary>bpf_ringbuf_submit; flags: NO_WAKEUP, FORCE_WAKEUP.</summary>
    public void Submit(byte* sample, ulong flags) => Commit(sample, flags, 0);

    /// <summary>bpf_ringbuf_discard.</summary>
    public void Discard(byte* sample, ulong flags) => Commit(sample, flags, DiscardBit);

    /// <summary>The ring buffer that a reserved sample belongs to: the submitting helpers are given nothing else.</summary>
    public static RingbufMap FromSample(byte* sample)
    {
        var header = (uint*)(sample - HeaderSize);
        return FromOwnPage((byte*)((nuint)header & ~(nuint)(Page - 1)) - ((ulong)header[1] * Page));
    }

    /// <summary>The ring buffer that a page of its own belongs to.</summary>
    public static RingbufMap FromOwnPage(byte* own) => Unsafe.As<RingbufMap>(GCHandle.FromIntPtr(*(nint*)own).Target!);

    /// <summary>bpf_ringbuf_output: copies a sample in; -EAGAIN if there is no room, -EINVAL for unknown flags.</summary>
    public int Output(byte* data, ulong size, ulong flags)
    {
        if ((flags & ~(NoWakeup | ForceWakeup)) != 0) return -(int)Errno.EINVAL;
        var sample = Reserve(size, 0);
        if (sample == null) return -(int)Errno.EAGAIN;
        Buffer.MemoryCopy(data, sample, size, size);
        Commit(sample, flags, 0);
        return 0;
    }

    /// <summary>bpf_ringbuf_query: 0 = bytes available, 1 = size, 2 = consumer's position, 3 = producer's; else 0.</summary>
    public ulong Query(ulong flags) => flags switch
    {
        0 => Available,
        1 => _mask + 1,
        2 => ConsumerPosition,
        3 => ProducerPosition,
        _ => 0,
    };

    /// <summary>Records that found no room so far.</summary>
    public long Drops => Volatile.Read(ref _control->Drops);

    /// <summary>
    /// Hands the records that are ready to <paramref name="handler"/>, which returns less than 0 to stop, as ring_buffer__consume
    /// does. Returns how many it got, or its negative answer. One consumer at a time.
    /// </summary>
    public int Consume(SampleHandler handler, int atMost = int.MaxValue)
    {
        var count = 0;
        var at = ConsumerPosition;
        while (count < atMost && at < ProducerPosition)
        {
            var header = (uint*)(_data + (at & _mask));
            var word = Volatile.Read(ref *header);
            if ((word & BusyBit) != 0) break;
            var size = word & ~DiscardBit;
            at += (size + HeaderSize + 7) & ~7ul;
            var answer = 0;
            if ((word & DiscardBit) == 0)
            {
                answer = handler(new ReadOnlySpan<byte>(header + 2, (int)size));
                count++;
            }

            Interlocked.Exchange(ref *_consumer, at);
            if (answer < 0) return answer;
        }

        return count;
    }

    /// <summary>Waits, like epoll, until there are records or a producer wakes the consumer.</summary>
    public ValueTask WaitAsync(CancellationToken cancellation = default) => _signal.WaitAsync(() => HasReady, cancellation);

    /// <summary>All records, as they come, until cancelled; each a copy.</summary>
    public async IAsyncEnumerable<byte[]> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var batch = new List<byte[]>();
        while (!cancellation.IsCancellationRequested)
        {
            batch.Clear();
            Consume(sample =>
            {
                batch.Add(sample.ToArray());
                return 0;
            }, 256);
            foreach (var sample in batch) yield return sample;
            if (batch.Count > 0) continue;
            try
            {
                await WaitAsync(cancellation).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                yield break;
            }
        }
    }

    /// <summary>Wakes a waiting consumer without a record, as when a machine stops.</summary>
    public void Wake() => _signal.Wake();

    private bool HasReady
    {
        get
        {
            var at = ConsumerPosition;
            return at < ProducerPosition && (Volatile.Read(ref *(uint*)(_data + (at & _mask))) & BusyBit) == 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Commit(byte* sample, ulong flags, uint discard)
    {
        var header = (uint*)(sample - HeaderSize);
        // A full fence: the record must be visible before the consumer's position is looked at.
        Interlocked.Exchange(ref *header, (*header & ~BusyBit) | discard);
        if ((flags & ForceWakeup) != 0 || ((flags & NoWakeup) == 0 && _data + (ConsumerPosition & _mask) == (byte*)header)) _signal.Wake();
    }

    [StructLayout(LayoutKind.Explicit)]
    private struct Control
    {
        [FieldOffset(0)] public ulong Producer;
        [FieldOffset(8)] public ulong Pending;
        [FieldOffset(128)] public int Lock;
        [FieldOffset(256)] public long Drops;
    }
}

/// <summary>Gets one sample; the memory is good until it returns. A negative answer stops the consumption.</summary>
public delegate int SampleHandler(ReadOnlySpan<byte> sample);
