namespace BpfSim.Tests.Shared;

/// <summary>What an operation on the one key of a history was.</summary>
internal enum KeyOperation { Lookup, Update, Insert, Replace, Delete }

/// <summary>
/// What threads did to one key, and when: a history is linearizable if each operation can be thought to have happened at one
/// moment between its beginning and its end, such that all results are those of one thread that did them in this order.
/// </summary>
internal sealed class KeyHistory(int threads)
{
    /// <param name="Operation">What was asked: Insert is an update with NOEXIST, Replace one with EXIST.</param>
    /// <param name="Value">The value written, or found; 0 for none.</param>
    /// <param name="Done">Whether it succeeded; a lookup: whether it found something.</param>
    /// <param name="Begin">When it began.</param>
    /// <param name="End">When it had ended.</param>
    public readonly record struct Event(KeyOperation Operation, ulong Value, bool Done, long Begin, long End);

    private readonly List<Event>[] _events = [.. Enumerable.Range(0, threads).Select(_ => new List<Event>())];

    /// <summary>Notes an operation of a thread; each thread its own, in order.</summary>
    public void Add(int thread, Event happened) => _events[thread].Add(happened);

    /// <summary>
    /// Whether there is such an order, when the key held <paramref name="first"/> at first (0 = nothing). Tries the operations that may come
    /// next, those that began before any other pending one ended, and remembers the states from which there was no way.
    /// </summary>
    public bool IsLinearizable(ulong first)
    {
        var hopeless = new HashSet<(string Position, ulong Value)>();
        var at = new int[_events.Length];
        return Search(first);

        bool Search(ulong value)
        {
            long earliestEnd = long.MaxValue;
            for (int t = 0; t < at.Length; t++)
                if (at[t] < _events[t].Count) earliestEnd = Math.Min(earliestEnd, _events[t][at[t]].End);
            if (earliestEnd == long.MaxValue) return true;
            (string, ulong) state = (string.Join(',', at), value);
            if (hopeless.Contains(state)) return false;
            for (int t = 0; t < at.Length; t++)
            {
                if (at[t] == _events[t].Count || _events[t][at[t]] is var next && next.Begin > earliestEnd || After(next, value) is not { } then) continue;
                at[t]++;
                if (Search(then)) return true;
                at[t]--;
            }
            hopeless.Add(state);
            return false;
        }
    }

    /// <summary>The key's value after an operation; null if the operation cannot have had its result.</summary>
    private static ulong? After(Event e, ulong value)
    {
        bool there = value != 0;
        return e.Operation switch
        {
            KeyOperation.Lookup => e.Value == value ? value : null,
            KeyOperation.Update => e.Done ? e.Value : null,
            KeyOperation.Insert => e.Done == there ? null : e.Done ? e.Value : value,
            KeyOperation.Replace => e.Done != there ? null : e.Done ? e.Value : value,
            _ => e.Done != there ? null : 0,
        };
    }
}
