namespace BpfSim.Kernel.Bpf;

/// <summary>Tables that are kept as text beside the code and embedded into the assembly.</summary>
internal static class EmbeddedData
{
    /// <summary>The lines of an embedded file, without comments and empty lines.</summary>
    public static IEnumerable<string> Lines(string name)
    {
        using Stream stream = typeof(EmbeddedData).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"no embedded file '{name}'");
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0 && line[0] != '#') yield return line;
        }
    }
}
