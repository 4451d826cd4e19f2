using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Cpus;

/// <summary>
/// The head of one event in a batch. Behind it stand, each 8 bytes: the number of arguments, the arguments,
/// and the result (so that the place of the arguments is a tracing program's context as it is); then a
/// tracepoint's record, padded to 8.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EventRecord
{
    /// <summary>Place in the order of all events of the machine.</summary>
    public ulong Sequence;

    /// <summary>Nanoseconds since boot.</summary>
    public ulong TimeNs;

    /// <summary>The site's index; -1 for a write to kernel memory: address in the first argument, bytes in the record.</summary>
    public int Site;

    /// <summary>Index of the current task's identity.</summary>
    public int Task;

    /// <summary>The call chain (<see cref="StackTable"/>).</summary>
    public int Stack;

    /// <summary>Number of arguments.</summary>
    public ushort ArgCount;

    /// <summary>Bytes of the record.</summary>
    public ushort RecordBytes;

    /// <summary>Bytes from here to the next event.</summary>
    public uint Bytes;

    /// <summary>Flood mode: 1 if the event comes after the call's latency, which was drawn when the event was sent.</summary>
    public uint AfterLatency;

    /// <summary>The arguments of the event at this address.</summary>
    public static ulong* Args(EventRecord* record) => (ulong*)(record + 1) + 1;

    /// <summary>The tracepoint record of the event at this address.</summary>
    public static byte* Record(EventRecord* record) => (byte*)(Args(record) + record->ArgCount + 1);
}

/// <summary>
/// A buffer of events on their way from the subsystems to one CPU. It is the credit: a producer can only
/// send as many as the CPU's pool holds, and the CPU gives each one back.
/// </summary>
internal sealed unsafe class EventBatch : IDisposable
{
    /// <summary>Bytes of a batch.</summary>
    public const int Capacity = 64 * 1024;

    /// <summary>Events in a batch at most.</summary>
    public const int MaxEvents = 256;

    public EventBatch(BatchPool pool)
    {
        Pool = pool;
        Memory = (byte*)NativeMemory.AlignedAlloc(Capacity, 64);
    }

    /// <summary>Where it goes back to.</summary>
    public BatchPool Pool { get; }

    /// <summary>First event.</summary>
    public byte* Memory { get; private set; }

    /// <summary>Bytes in use.</summary>
    public int Used { get; private set; }

    /// <summary>Events in it.</summary>
    public int Count { get; private set; }

    /// <summary>Where the consumer stands, in bytes.</summary>
    public int Position { get; set; }

    /// <summary>Room for an event, or null if the batch is full; the caller fills everything but the size.</summary>
    public EventRecord* Add(int argCount, int recordBytes)
    {
        int bytes = sizeof(EventRecord) + (argCount + 2) * 8 + (recordBytes + 7 & ~7);
        if (Count == MaxEvents || Used + bytes > Capacity) return null;
        var record = (EventRecord*)(Memory + Used);
        record->ArgCount = (ushort)argCount;
        record->RecordBytes = (ushort)recordBytes;
        record->Bytes = (uint)bytes;
        *(ulong*)(record + 1) = (ulong)argCount;
        Used += bytes;
        Count++;
        return record;
    }

    /// <summary>Appends events that were laid out before; null if they do not fit, else the first of them.</summary>
    public EventRecord* Append(ReadOnlySpan<byte> events, int count)
    {
        if (Count + count > MaxEvents || Used + events.Length > Capacity) return null;
        byte* to = Memory + Used;
        events.CopyTo(new Span<byte>(to, events.Length));
        Used += events.Length;
        Count += count;
        return (EventRecord*)to;
    }

    /// <summary>Empties the batch for its next use.</summary>
    public void Reset()
    {
        Used = 0;
        Count = 0;
        Position = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(Memory);
        Memory = null;
    }
}

/// <summary>The batches of one CPU: as many as it will ever have on the way.</summary>
internal sealed class BatchPool : IDisposable
{
    private readonly ConcurrentQueue<EventBatch> _free = new();
    private readonly EventBatch[] _all;

    public BatchPool(uint cpu, int size)
    {
        Cpu = cpu;
        _all = new EventBatch[size];
        for (int i = 0; i < size; i++) _free.Enqueue(_all[i] = new EventBatch(this));
    }

    /// <summary>Whose batches they are.</summary>
    public uint Cpu { get; }

    /// <summary>Batches that are free now.</summary>
    public int Free => _free.Count;

    /// <summary>Takes one, or null if all are on the way.</summary>
    public EventBatch? Take() => _free.TryDequeue(out EventBatch? batch) ? batch : null;

    /// <summary>Gives one back, emptied.</summary>
    public void Return(EventBatch batch)
    {
        batch.Reset();
        _free.Enqueue(batch);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (EventBatch batch in _all) batch.Dispose();
    }
}
