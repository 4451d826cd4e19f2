namespace BpfSim.Agent.Config;

/// <summary>A configuration or scenario file that cannot be used; the message names file, line and value in one line.</summary>
public sealed class ConfigException : Exception
{
    /// <summary>Something wrong at a place in a file.</summary>
    /// <param name="file">The file as the user named it.</param>
    /// <param name="line">Line number from 1; 0 if the whole file is meant.</param>
    /// <param name="problem">What is wrong, with the offending value.</param>
    public ConfigException(string file, long line, string problem)
        : base(line > 0 ? $"{file}:{line}: {problem}" : $"{file}: {problem}") => (File, Line) = (file, line);

    /// <summary>The file as the user named it.</summary>
    public string File { get; }

    /// <summary>Line number from 1, 0 if the whole file is meant.</summary>
    public long Line { get; }
}
