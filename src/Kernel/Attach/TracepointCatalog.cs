using BpfSim.Kernel.Bpf;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// The tracepoints of Linux 6.18 and their records, from <c>Data/tracepoints.txt</c>: a line a tracepoint,
/// <c>category:name id field@offset+size…</c> behind the common fields; <c>d</c> marks a <c>__data_loc</c>,
/// <c>s</c> a signed field.
/// </summary>
public static class TracepointCatalog
{
    private static readonly Lazy<Dictionary<string, string>> s_lines = new(() =>
        EmbeddedData.Lines("tracepoints.txt").ToDictionary(l => l[..l.IndexOf(' ')], l => l));

    private static readonly Lazy<Dictionary<string, string>> s_categories = new(() =>
    {
        var byName = new Dictionary<string, string>();
        foreach (string full in s_lines.Value.Keys)
        {
            int colon = full.IndexOf(':');
            byName.TryAdd(full[(colon + 1)..], full[..colon]);
        }
        return byName;
    });

    /// <summary>All names, as <c>category:name</c>.</summary>
    public static IEnumerable<string> Names => s_lines.Value.Keys;

    /// <summary>Whether there is a tracepoint <c>category:name</c>.</summary>
    public static bool Contains(string fullName) => s_lines.Value.ContainsKey(fullName);

    /// <summary>The category of a tracepoint by its bare name, or null. The events of single system calls are no tracepoints of their own.</summary>
    public static string? CategoryOf(string name) =>
        s_categories.Value.TryGetValue(name, out string? category) && category != "syscalls" ? category : null;

    /// <summary>The record of a tracepoint, or null if there is none by this name.</summary>
    public static TracepointLayout? Find(string category, string name)
    {
        if (!s_lines.Value.TryGetValue($"{category}:{name}", out string? line)) return null;
        string[] parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var fields = new List<TracepointField>(parts.Length);
        foreach (string part in parts.AsSpan(2))
        {
            int at = part.IndexOf('@'), plus = part.IndexOf('+', at), end = plus + 1;
            while (end < part.Length && char.IsAsciiDigit(part[end])) end++;
            fields.Add(new TracepointField(part[..at], int.Parse(part.AsSpan(at + 1, plus - at - 1)), int.Parse(part.AsSpan(plus + 1, end - plus - 1)),
                part.AsSpan(end).Contains('s'), part.AsSpan(end).Contains('d')));
        }
        return new TracepointLayout(name, ushort.Parse(parts[1]), fields);
    }
}
