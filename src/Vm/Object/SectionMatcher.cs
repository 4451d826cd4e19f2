using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

/// <summary>Finds the definition that a program's SEC() string belongs to.</summary>
internal sealed class SectionMatcher
{
    private readonly SectionDefinition[] _rows;

    /// <summary>Takes the rows of the program type table.</summary>
    public SectionMatcher(IEnumerable<SectionDefinition> rows) => _rows = [.. rows];

    /// <summary>Parses a SEC() string, such as <c>?kprobe/do_sys_openat2</c>.</summary>
    public ParsedSection Parse(string section)
    {
        bool autoLoad = !section.StartsWith('?');
        string name = autoLoad ? section : section[1..];
        foreach (SectionDefinition row in _rows)
        {
            if (Match(row.Prefix, name, out string? target)) return new ParsedSection(row, target, autoLoad);
        }
        return new ParsedSection(null, null, autoLoad);
    }

    private static bool Match(string pattern, string name, out string? target)
    {
        target = null;
        if (pattern.EndsWith('/'))
        {
            if (!name.StartsWith(pattern, StringComparison.Ordinal)) return false;
            target = name[pattern.Length..];
            return true;
        }
        if (!pattern.EndsWith('+')) return name == pattern;
        int stem = pattern.Length - 1;
        if (!name.AsSpan().StartsWith(pattern.AsSpan(0, stem), StringComparison.Ordinal)) return false;
        if (name.Length == stem) return true;
        if (name[stem] != '/') return false;
        target = name[(stem + 1)..];
        return true;
    }
}

/// <summary>A SEC() string taken apart.</summary>
/// <param name="Definition">The row that it matches, null if none does.</param>
/// <param name="Target">What follows the slash, null without one.</param>
/// <param name="AutoLoad">False for a leading question mark.</param>
internal readonly record struct ParsedSection(SectionDefinition? Definition, string? Target, bool AutoLoad);
