namespace BpfSim.Kernel.Profile;

/// <summary>The build options of the embedded kernel profile (the lines of its .config that are set).</summary>
internal static class EmbeddedConfig
{
    private const string ResourceName = "linux-6.18.config";
    private static readonly Lazy<Dictionary<string, string>> s_options = new(Read);

    public static IReadOnlyDictionary<string, string> Options => s_options.Value;

    private static Dictionary<string, string> Read()
    {
        var options = new Dictionary<string, string>();
        using Stream? stream = typeof(EmbeddedConfig).Assembly.GetManifestResourceStream(ResourceName);
        if (stream == null) return options;
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
        {
            int equals = line.IndexOf('=');
            if (equals > 0 && line.StartsWith("CONFIG_", StringComparison.Ordinal)) options[line[..equals]] = line[(equals + 1)..];
        }
        return options;
    }
}
