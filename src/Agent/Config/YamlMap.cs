using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace BpfSim.Agent.Config;

/// <summary>
/// A YAML mapping that is read key by key and remembers which keys were asked for, so that a misspelt one is
/// an error and not silence. Every error names file, line and value.
/// </summary>
internal sealed class YamlMap
{
    private readonly Dictionary<string, (YamlNode Key, YamlNode Value)> _entries = [];
    private readonly List<string> _known = [];

    private YamlMap(string file, YamlMappingNode node)
    {
        File = file;
        Line = node.Start.Line;
        foreach ((YamlNode key, YamlNode value) in node.Children)
            if (key is YamlScalarNode { Value: { } name }) _entries[name] = (key, value);
            else throw new ConfigException(file, key.Start.Line, "a key must be a plain word");
    }

    /// <summary>The file as the user named it.</summary>
    public string File { get; }

    /// <summary>Where the mapping starts.</summary>
    public long Line { get; }

    /// <summary>The keys, in the order of the file.</summary>
    public IEnumerable<string> Keys => _entries.Keys;

    /// <summary>Reads the one document of a file; an empty file is an empty mapping.</summary>
    public static YamlMap Parse(string file, string text)
    {
        YamlStream stream = [];
        try
        {
            stream.Load(new StringReader(text));
        }
        catch (YamlException e)
        {
            string problem = e.InnerException?.Message ?? e.Message;
            throw new ConfigException(file, e.Start.Line, $"not valid YAML: {problem.ReplaceLineEndings(" ")}");
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw new ConfigException(file, 0, $"not valid YAML: {e.Message.ReplaceLineEndings(" ")}");
        }
        if (stream.Documents.Count == 0) return new YamlMap(file, []);
        if (stream.Documents.Count > 1)
            throw new ConfigException(file, stream.Documents[1].RootNode.Start.Line, "a second YAML document is not expected");
        return stream.Documents[0].RootNode as YamlMappingNode is { } root
            ? new YamlMap(file, root)
            : throw new ConfigException(file, stream.Documents[0].RootNode.Start.Line, "a mapping (key: value) is expected at the top");
    }

    /// <summary>The line of a key, or of the mapping if the key is absent.</summary>
    public long LineOf(string key) => _entries.TryGetValue(key, out var entry) ? entry.Key.Start.Line : Line;

    /// <summary>Whether the key is there with a value.</summary>
    public bool Has(string key) => Find(key) != null;

    /// <summary>An error at a key.</summary>
    public ConfigException Error(string key, string problem) => new(File, LineOf(key), problem);

    /// <summary>A scalar's text, or null if absent.</summary>
    public string? Text(string key) => Find(key) switch
    {
        null => null,
        YamlScalarNode scalar => scalar.Value,
        _ => throw Error(key, $"'{key}' must be a single value"),
    };

    /// <summary>A scalar's text that must be there.</summary>
    public string RequiredText(string key)
    {
        string? text = Text(key);
        return string.IsNullOrEmpty(text) ? throw Error(key, $"'{key}' is missing") : text;
    }

    /// <summary>A whole number within a range, decimal or 0x….</summary>
    public long? Integer(string key, long min, long max)
    {
        if (Text(key) is not { } text) return null;
        bool hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        bool ok = hex
            ? long.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long value)
            : long.TryParse(text.Replace("_", "", StringComparison.Ordinal), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);
        if (!ok) throw Error(key, $"'{key}' must be a whole number, not '{text}'");
        return value >= min && value <= max ? value : throw Error(key, $"'{key}' must be from {min} to {max}, not {text}");
    }

    /// <summary>A number within a range.</summary>
    public double? Number(string key, double min, double max)
    {
        if (Text(key) is not { } text) return null;
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) || !double.IsFinite(value))
            throw Error(key, $"'{key}' must be a number, not '{text}'");
        return value >= min && value <= max
            ? value
            : throw Error(key, string.Create(CultureInfo.InvariantCulture, $"'{key}' must be from {min} to {max}, not {text}"));
    }

    /// <summary>true or false; false if absent.</summary>
    public bool Flag(string key) => Text(key) switch
    {
        null or "false" => false,
        "true" => true,
        string text => throw Error(key, $"'{key}' must be true or false, not '{text}'"),
    };

    /// <summary>One of several words, or null if absent.</summary>
    public string? Word(string key, params ReadOnlySpan<string> words)
    {
        if (Text(key) is not { } text) return null;
        return words.Contains(text) ? text : throw Error(key, $"'{key}' must be one of {string.Join(", ", words.ToArray())}, not '{text}'");
    }

    /// <summary>A mapping under a key, or null if absent.</summary>
    public YamlMap? Map(string key) => Find(key) switch
    {
        null => null,
        YamlMappingNode map => new YamlMap(File, map),
        _ => throw Error(key, $"'{key}' must be a mapping"),
    };

    /// <summary>A list of mappings; empty if absent.</summary>
    public IReadOnlyList<YamlMap> Maps(string key) =>
        [.. Items(key).Select(item => item is YamlMappingNode map ? new YamlMap(File, map)
            : throw new ConfigException(File, item.Start.Line, $"an entry of '{key}' must be a mapping"))];

    /// <summary>A list of plain values; one value alone is a list of one; empty if absent.</summary>
    public IReadOnlyList<string> Texts(string key)
    {
        if (Find(key) is YamlScalarNode single) return [single.Value ?? ""];
        return [.. Items(key).Select(item => item is YamlScalarNode scalar ? scalar.Value ?? ""
            : throw new ConfigException(File, item.Start.Line, $"an entry of '{key}' must be a single value"))];
    }

    /// <summary>A mapping of plain words to plain values; empty if absent.</summary>
    public IReadOnlyDictionary<string, string> Dictionary(string key)
    {
        Dictionary<string, string> result = [];
        if (Map(key) is not { } map) return result;
        foreach (string name in map.Keys) result[name] = map.Text(name) ?? "";
        return result;
    }

    /// <summary>Refuses keys that nobody asked for, with the nearest known one.</summary>
    public void RejectUnknownKeys()
    {
        foreach ((string name, var entry) in _entries)
        {
            if (_known.Contains(name)) continue;
            string? near = _known.MinBy(k => Distance(k, name));
            string hint = near != null && Distance(near, name) <= 2 ? $", did you mean '{near}'?" : $" (known: {string.Join(", ", _known)})";
            throw new ConfigException(File, entry.Key.Start.Line, $"unknown key '{name}'{hint}");
        }
    }

    private YamlNode? Find(string key)
    {
        if (!_known.Contains(key)) _known.Add(key);
        return _entries.TryGetValue(key, out var entry) && entry.Value is not YamlScalarNode { Value: null or "" or "~" or "null", Style: ScalarStyle.Plain or ScalarStyle.Any }
            ? entry.Value
            : null;
    }

    private IEnumerable<YamlNode> Items(string key) => Find(key) switch
    {
        null => [],
        YamlSequenceNode list => list.Children,
        _ => throw Error(key, $"'{key}' must be a list"),
    };

    /// <summary>Levenshtein distance, for the nearest known key.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(changed, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
