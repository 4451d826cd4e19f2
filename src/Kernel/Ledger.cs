using System.Numerics;

namespace BpfSim.Kernel;

/// <summary>Whose the events of a ledger entry are.</summary>
/// <param name="Measure">What is measured: a system call's name, <c>block_io</c>, <c>runqlat</c>, …</param>
/// <param name="Pid">Thread group id.</param>
/// <param name="Comm">Task name.</param>
/// <param name="Detail">What else tells entries apart: a device, an operation, a peer; empty if nothing does.</param>
public readonly record struct LedgerKey(string Measure, uint Pid, string Comm, string Detail);

/// <summary>Number, sum and distribution of one measure.</summary>
public sealed class LedgerEntry
{
    private readonly ulong[] _slots = new ulong[64];
    private readonly List<ulong>? _values;

    internal LedgerEntry(bool keepValues) => _values = keepValues ? [] : null;

    /// <summary>Events.</summary>
    public ulong Count { get; private set; }

    /// <summary>Sum of the values (nanoseconds, bytes).</summary>
    public ulong Sum { get; private set; }

    /// <summary>Largest value.</summary>
    public ulong Max { get; private set; }

    /// <summary>Events whose result was an error.</summary>
    public ulong Errors { get; private set; }

    /// <summary>Counts by log2: slot k holds values from 2^k to 2^(k+1) - 1; 0 is in slot 0.</summary>
    public IReadOnlyList<ulong> Slots => _slots;

    /// <summary>Every value in order, where they were kept (not in flood mode).</summary>
    public IReadOnlyList<ulong> Values => _values ?? [];

    /// <summary>Counts by log2 of the values divided by a unit, such as 1000 for microseconds. Needs <see cref="Values"/>.</summary>
    public ulong[] SlotsIn(ulong unit)
    {
        var slots = new ulong[64];
        foreach (ulong value in Values) slots[SlotOf(value / unit)]++;
        return slots;
    }

    /// <summary>The log2 slot of a value.</summary>
    public static int SlotOf(ulong value) => value == 0 ? 0 : BitOperations.Log2(value);

    internal void Add(LedgerEntry other)
    {
        Count += other.Count;
        Sum += other.Sum;
        Max = Math.Max(Max, other.Max);
        Errors += other.Errors;
        for (int i = 0; i < _slots.Length; i++) _slots[i] += other._slots[i];
    }

    internal void Add(ulong value, bool error)
    {
        Count++;
        Sum += value;
        Max = Math.Max(Max, value);
        if (error) Errors++;
        _slots[SlotOf(value)]++;
        _values?.Add(value);
    }
}

/// <summary>
/// The ground truth: every event that the simulation let happen, with the latency that was drawn for it.
/// What programs count is checked against it. Written by the simulation alone; read it between runs.
/// </summary>
public sealed class Ledger
{
    private readonly SortedDictionary<LedgerKey, LedgerEntry> _entries = new(Comparer<LedgerKey>.Create(Compare));
    private readonly Dictionary<LedgerKey, LedgerEntry> _index = [];
    private readonly bool _keepValues;

    internal Ledger(bool keepValues) => _keepValues = keepValues;

    /// <summary>All entries, ordered by measure, pid, name, detail.</summary>
    public IReadOnlyDictionary<LedgerKey, LedgerEntry> Entries => _entries;

    /// <summary>The entries of one measure.</summary>
    public IEnumerable<KeyValuePair<LedgerKey, LedgerEntry>> Of(string measure) => _entries.Where(e => e.Key.Measure == measure);

    /// <summary>Number of events of a measure.</summary>
    public ulong Count(string measure) => Of(measure).Aggregate(0ul, (sum, e) => sum + e.Value.Count);

    /// <summary>Sum of the values of a measure.</summary>
    public ulong Sum(string measure) => Of(measure).Aggregate(0ul, (sum, e) => sum + e.Value.Sum);

    internal void Add(string measure, uint pid, string comm, string detail, ulong value, bool error = false)
    {
        var key = new LedgerKey(measure, pid, comm, detail);
        if (!_index.TryGetValue(key, out LedgerEntry? entry))
        {
            entry = new LedgerEntry(_keepValues);
            _index.Add(key, entry);
            _entries.Add(key, entry);
        }
        entry.Add(value, error);
    }

    /// <summary>Adds what somebody else counted.</summary>
    internal void Merge(string measure, uint pid, string comm, LedgerEntry counted)
    {
        if (counted.Count == 0) return;
        var key = new LedgerKey(measure, pid, comm, "");
        if (!_index.TryGetValue(key, out LedgerEntry? entry))
        {
            entry = new LedgerEntry(_keepValues);
            _index.Add(key, entry);
            _entries.Add(key, entry);
        }
        entry.Add(counted);
    }

    private static int Compare(LedgerKey a, LedgerKey b)
    {
        int order = string.CompareOrdinal(a.Measure, b.Measure);
        if (order == 0) order = a.Pid.CompareTo(b.Pid);
        if (order == 0) order = string.CompareOrdinal(a.Comm, b.Comm);
        return order != 0 ? order : string.CompareOrdinal(a.Detail, b.Detail);
    }
}
