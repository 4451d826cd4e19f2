using System.Collections.Frozen;
using System.Globalization;

namespace BpfSim.Agent.Decoders;

/// <summary>Tables of numbers and names that are embedded as text, one <c>NUMBER NAME</c> a line.</summary>
internal static class NumberNames
{
    private static readonly Lazy<FrozenDictionary<ulong, string>> s_syscalls = new(() => Read("syscalls.txt"));
    private static readonly Lazy<FrozenDictionary<ulong, string>> s_errnos = new(() => Read("errno.txt"));

    /// <summary>System calls of x86-64 Linux 6.18.</summary>
    public static FrozenDictionary<ulong, string> Syscalls => s_syscalls.Value;

    /// <summary>Error numbers (errno(3)).</summary>
    public static FrozenDictionary<ulong, string> Errnos => s_errnos.Value;

    private static FrozenDictionary<ulong, string> Read(string name)
    {
        using Stream stream = typeof(NumberNames).Assembly.GetManifestResourceStream($"BpfSim.Agent.Decoders.{name}")!;
        using StreamReader reader = new(stream);
        Dictionary<ulong, string> table = [];
        while (reader.ReadLine() is { } line)
        {
            int space = line.IndexOf(' ', StringComparison.Ordinal);
            table[ulong.Parse(line.AsSpan(0, space), CultureInfo.InvariantCulture)] = line[(space + 1)..];
        }
        return table.ToFrozenDictionary();
    }
}
