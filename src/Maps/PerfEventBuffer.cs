using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace BpfSim.Maps;

/// <summary>
/// The ring of one perf event (PERF_COUNT_SW_BPF_OUTPUT) of one CPU, as perf_buffer__new puts it into a perf_event_array. Records as
/// perf_event_open(2) describes them: type, misc, size; a sample carries a u32 length and its bytes, padded so that the record is a
/// multiple of 8; after an overflow the next record that fits is preceded by one with the number of lost ones.
/// </summary>
public sealed unsafe class PerfEventBuffer : IMapReferent, IDisposable
{
    private const uint RecordLost = 2;
    private const uint RecordSample = 9;
    private readonly MapMemory _memory = new();
    private readonly byte* _data;
    private readonly ulong _size;
    private readonly int* _lock;
    private readonly WakeSignal _signal;
    private ulong _head;
    private ulong _tail;
    private ulong _lostSinceRecord;
    private int _references = 1;

    /// <summary>A buffer for a CPU; <paramref name="pages"/> (4096 bytes each) must be a power of two.</summary>
    public PerfEventBuffer(uint cpu, uint pages) : this(cpu, pages, new WakeSignal())
    {
    }

    internal PerfEventBuffer(uint cpu, uint pages, WakeSignal signal)
    {
        if (!System.Numerics.BitOperations.IsPow2(pages)) throw new ArgumentException($"pages = {pages} is not a power of two", nameof(pages));
        (Cpu, _size, _signal) = (cpu, pages * 4096ul, signal);
        _data = _memory.Allocate((nuint)_size);
        _lock = (int*)_memory.Allocate(sizeof(int));
    }

    /// <summary>The CPU whose programs may write here.</summary>
    public uint Cpu { get; }

    /// <inheritdoc/>
    public uint Id { get; set; }

    /// <summary>Samples that found no room.</summary>
    public ulong Lost { get; private set; }

    /// <summary>Writes a sample made of up to two parts; false if it was lost.</summary>
    internal bool Write(ReadOnlySpan<byte> data, ReadOnlySpan<byte> tail)
    {
        var raw = (uint)((data.Length + tail.Length + 4 + 7) & ~7);
        var record = raw + 8;
        MapSpinLock.Acquire(_lock);
        var lostRecord = _lostSinceRecord > 0 ? 24u : 0;
        var fits = _head - Volatile.Read(ref _tail) + record + lostRecord <= _size;
        if (fits)
        {
            var at = _head;
            if (lostRecord > 0)
            {
                at = Header(at, RecordLost, 24);
                at = Put(at, Id);
                at = Put(at, _lostSinceRecord);
                _lostSinceRecord = 0;
            }

            at = Header(at, RecordSample, record);
            Span<byte> word = stackalloc byte[8];
            BinaryPrimitives.WriteUInt32LittleEndian(word, raw - 4);
            at = Put(at, word[..4]);
            at = Put(at, data);
            at = Put(at, tail);
            word.Clear();
            at = Put(at, word[..(int)(raw - 4 - data.Length - tail.Length)]);
            Volatile.Write(ref _head, at);
        }
        else
        {
            _lostSinceRecord++;
            Lost++;
        }

        MapSpinLock.Release(_lock);
        Interlocked.MemoryBarrier();
        if (fits) _signal.Wake();
        return fits;
    }

    /// <summary>
    /// Hands out what is there, samples to <paramref name="sample"/> (with the padding that the kernel adds) and numbers of lost samples to
    /// <paramref name="lost"/>. One consumer at a time. Returns the number of records.
    /// </summary>
    public int Consume(SampleHandler sample, Action<ulong>? lost = null)
    {
        var count = 0;
        var buffer = Array.Empty<byte>();
        Span<byte> head = stackalloc byte[8];
        Span<byte> length = stackalloc byte[4];
        for (; _tail < Volatile.Read(ref _head); count++)
        {
            Get(_tail, head);
            var size = BinaryPrimitives.ReadUInt16LittleEndian(head[6..]);
            // A sample may be larger than the 16 bits of the header say: its own length counts.
            if (head[0] == RecordSample)
            {
                Get(_tail + 8, length);
                var bytes = BinaryPrimitives.ReadUInt32LittleEndian(length);
                if (buffer.Length < bytes) buffer = new byte[bytes];
                Get(_tail + 12, buffer.AsSpan(0, (int)bytes));
                Volatile.Write(ref _tail, _tail + 12 + bytes);
                if (sample(buffer.AsSpan(0, (int)bytes)) < 0) return count + 1;
            }
            else
            {
                Get(_tail + 16, head);
                Volatile.Write(ref _tail, _tail + size);
                lost?.Invoke(BinaryPrimitives.ReadUInt64LittleEndian(head));
            }
        }

        return count;
    }

    /// <summary>Whether there is anything to consume.</summary>
    public bool HasRecords => Volatile.Read(ref _head) != Volatile.Read(ref _tail);

    /// <summary>Waits, like epoll, until there are records.</summary>
    public ValueTask WaitAsync(CancellationToken cancellation = default) => _signal.WaitAsync(() => HasRecords, cancellation);

    /// <summary>All samples, as they come, until cancelled.</summary>
    public async IAsyncEnumerable<byte[]> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var batch = new List<byte[]>();
        while (!cancellation.IsCancellationRequested)
        {
            batch.Clear();
            Consume(sample =>
            {
                batch.Add(sample.ToArray());
                return batch.Count < 256 ? 0 : -1;
            });
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

    /// <inheritdoc/>
    public void Retain() => Interlocked.Increment(ref _references);

    /// <summary>Gives up the creator's reference.</summary>
    public void Dispose()
    {
        if (Interlocked.Decrement(ref _references) == 0) _memory.Dispose();
    }

    void IMapReferent.Release() => MapEpoch.Defer(Dispose);

    private ulong Header(ulong at, uint type, uint size)
    {
        Span<byte> head = stackalloc byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(head, type);
        BinaryPrimitives.WriteUInt16LittleEndian(head[4..], 0);
        BinaryPrimitives.WriteUInt16LittleEndian(head[6..], (ushort)size);
        return Put(at, head);
    }

    private ulong Put(ulong at, ulong value)
    {
        Span<byte> word = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(word, value);
        return Put(at, word);
    }

    private ulong Put(ulong at, ReadOnlySpan<byte> bytes)
    {
        var from = at & (_size - 1);
        var first = (int)Math.Min((ulong)bytes.Length, _size - from);
        bytes[..first].CopyTo(new Span<byte>(_data + from, first));
        bytes[first..].CopyTo(new Span<byte>(_data, bytes.Length - first));
        return at + (ulong)bytes.Length;
    }

    private void Get(ulong at, Span<byte> bytes)
    {
        var from = at & (_size - 1);
        var first = (int)Math.Min((ulong)bytes.Length, _size - from);
        new ReadOnlySpan<byte>(_data + from, first).CopyTo(bytes);
        new ReadOnlySpan<byte>(_data, bytes.Length - first).CopyTo(bytes[first..]);
    }
}
