using System.Globalization;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>The kernel functions that programs may call by BTF: their flags and who may call them, from kfuncs.txt.</summary>
public static class KfuncTable
{
    private readonly record struct Row(KfuncFlags Flags, HashSet<string>? Contexts);

    private static readonly Dictionary<string, Row> s_rows = Parse();

    /// <summary>All names.</summary>
    public static IReadOnlyCollection<string> Names => s_rows.Keys;

    /// <summary>The flags of a function, or null if programs of this type may not call it.</summary>
    public static KfuncFlags? Find(string typeName, ProgramAttributes program, string name)
    {
        if (!s_rows.TryGetValue(name, out Row row)) return null;
        if (row.Contexts is null || row.Contexts.Contains(typeName)) return row.Flags;
        return row.Contexts.Contains(string.Create(CultureInfo.InvariantCulture, $"{typeName}/{program.ExpectedAttachType}"))
            ? row.Flags : null;
    }

    private static Dictionary<string, Row> Parse()
    {
        var rows = new Dictionary<string, Row>();
        foreach (string line in EmbeddedData.Lines("kfuncs.txt"))
        {
            string[] words = line.Split(' ');
            KfuncFlags flags = 0;
            if (words[1] != "-")
            {
                foreach (string word in words[1].Split(',')) flags |= Enum.Parse<KfuncFlags>(word.Replace("_", "", StringComparison.Ordinal), true);
            }

            rows[words[0]] = new Row(flags, words[2] == "*" ? null : [.. words.AsSpan(2)]);
        }

        return rows;
    }
}
