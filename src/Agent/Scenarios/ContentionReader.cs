using BpfSim.Agent.Config;
using BpfSim.Kernel.Laboratory;
using BpfSim.Maps;

namespace BpfSim.Agent.Scenarios;

/// <summary>
/// Reads the entries of a scenario's <c>contention</c> list, experiments of the contention laboratory:
/// <code>
/// contention:
///   - name: labels            # or preset: zipf-labels, which the other keys then change
///     kind: hash              # array, hash, lru_hash, …
///     style: plain            # plain, atomic, spinlock, percpu, mailbox
///     distribution: zipf      # uniform, zipf, hot, disjoint
///     zipf: 1.1
///     keys: 10000
///     max_entries: 10240
///     key_size: 4
///     value_size: 8
///     read: 0                 # per cent; delete too, the rest updates
///     prealloc: true
///     cpus: [1, 2, 4]
///     duration: 500ms
///     seed: 1
/// </code>
/// </summary>
internal static class ContentionReader
{
    /// <summary>One experiment.</summary>
    /// <exception cref="ConfigException">It cannot be run.</exception>
    public static ContentionSpec Read(YamlMap map)
    {
        string? preset = map.Text("preset");
        ContentionSpec spec = preset == null ? new ContentionSpec() : ContentionPresets.Find(preset)
            ?? throw map.Error("preset", $"'{preset}' is none of {string.Join(", ", ContentionPresets.All.Select(p => p.Name))}");
        double? exponent = map.Number("zipf", 0.01, 10);
        spec = spec with
        {
            Name = map.Text("name") ?? spec.Name,
            Kind = map.Text("kind") is { } kind ? (MapTypes.Find(kind) ?? throw map.Error("kind", $"there is no map kind '{kind}'")).Type : spec.Kind,
            Style = Choice(map, "style", spec.Style),
            Distribution = Choice(map, "distribution", exponent == null ? spec.Distribution : KeyDistribution.Zipf),
            ZipfExponent = exponent ?? spec.ZipfExponent,
            Keys = Number(map, "keys", spec.Keys),
            MaxEntries = Number(map, "max_entries", spec.MaxEntries),
            KeySize = Number(map, "key_size", spec.KeySize),
            ValueSize = Number(map, "value_size", spec.ValueSize),
            ReadPercent = (int)(map.Integer("read", 0, 100) ?? spec.ReadPercent),
            DeletePercent = (int)(map.Integer("delete", 0, 100) ?? spec.DeletePercent),
            Preallocate = map.Has("prealloc") ? map.Flag("prealloc") : spec.Preallocate,
            OwnLruLists = map.Flag("no_common_lru"),
            FullUpdate = spec.FullUpdate || map.Flag("full_update"),
            Compare = !map.Has("compare") || map.Flag("compare"),
            Cpus = map.Has("cpus") ? [.. map.Texts("cpus").Select(t => Cpu(map, t))] : spec.Cpus,
            Seed = (ulong)(map.Integer("seed", 0, long.MaxValue) ?? (long)spec.Seed),
            Duration = map.Text("duration") is not { } text ? spec.Duration : DurationText.TryParse(text, out TimeSpan duration) ? duration
                : throw map.Error("duration", $"'duration' must be a time such as 500ms, not '{text}'"),
        };
        map.RejectUnknownKeys();
        return spec.Problem() is { } problem ? throw new ConfigException(map.File, map.Line, problem) : spec;
    }

    private static uint Number(YamlMap map, string key, uint otherwise) => (uint)(map.Integer(key, 1, uint.MaxValue) ?? otherwise);

    private static uint Cpu(YamlMap map, string text) => uint.TryParse(text, out uint n) && n is > 0 and <= 256 ? n
        : throw map.Error("cpus", $"'cpus' must be numbers from 1 to 256, not '{text}'");

    private static T Choice<T>(YamlMap map, string key, T otherwise) where T : struct, Enum
    {
        string[] words = Enum.GetNames<T>().Select(n => n.ToLowerInvariant()).ToArray();
        return map.Word(key, words) is { } word ? Enum.Parse<T>(word, ignoreCase: true) : otherwise;
    }
}
