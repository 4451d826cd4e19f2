using BpfSim.Kernel.Subsystems;

namespace BpfSim.Kernel.Time;

/// <summary>Something that a subsystem will do at a moment.</summary>
/// <param name="TimeNs">When, in nanoseconds since boot.</param>
/// <param name="Source">Which subsystem asked for it; orders events of one moment.</param>
/// <param name="Sequence">Orders events of one moment and source.</param>
/// <param name="Target">Which subsystem does it.</param>
/// <param name="Kind">What; the target knows the numbers.</param>
/// <param name="Value">A number that goes with it.</param>
/// <param name="Subject">The task, request or socket that it is about.</param>
internal readonly record struct SimEvent(
    ulong TimeNs, SubsystemId Source, ulong Sequence, SubsystemId Target, int Kind, ulong Value, object? Subject);

/// <summary>The queue of all that is going to happen, in the order (time, source, sequence).</summary>
internal sealed class Calendar
{
    private SimEvent[] _heap = new SimEvent[256];
    private ulong _sequence;

    /// <summary>Events waiting.</summary>
    public int Count { get; private set; }

    /// <summary>Enters an event.</summary>
    public void Add(ulong timeNs, SubsystemId source, SubsystemId target, int kind, ulong value, object? subject)
    {
        if (Count == _heap.Length) Array.Resize(ref _heap, Count * 2);
        var added = new SimEvent(timeNs, source, ++_sequence, target, kind, value, subject);
        int i = Count++;
        while (i > 0)
        {
            int parent = (i - 1) / 4;
            if (!Before(added, _heap[parent])) break;
            _heap[i] = _heap[parent];
            i = parent;
        }
        _heap[i] = added;
    }

    /// <summary>The next event, left in the queue.</summary>
    public ref readonly SimEvent Peek() => ref _heap[0];

    /// <summary>Takes the next event out.</summary>
    public SimEvent Pop()
    {
        SimEvent result = _heap[0];
        SimEvent last = _heap[--Count];
        _heap[Count] = default;
        int i = 0;
        while (true)
        {
            int first = i * 4 + 1;
            if (first >= Count) break;
            int best = first, end = Math.Min(first + 4, Count);
            for (int child = first + 1; child < end; child++)
                if (Before(_heap[child], _heap[best])) best = child;
            if (!Before(_heap[best], last)) break;
            _heap[i] = _heap[best];
            i = best;
        }
        if (Count > 0) _heap[i] = last;
        return result;
    }

    private static bool Before(in SimEvent a, in SimEvent b)
    {
        if (a.TimeNs != b.TimeNs) return a.TimeNs < b.TimeNs;
        if (a.Source != b.Source) return a.Source < b.Source;
        return a.Sequence < b.Sequence;
    }
}
