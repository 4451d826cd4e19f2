namespace BpfSim.Cli;

/// <summary>How the command ends, as scripts see it.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>The work itself failed: a program rejected, a scenario that ended in errors.</summary>
    public const int Failed = 1;

    /// <summary>Wrong usage or unreadable input.</summary>
    public const int Usage = 2;

    /// <summary>Ended by Ctrl-C.</summary>
    public const int Interrupted = 130;
}

/// <summary>Ends the command with one line on standard error and an exit code; never shown with a stack trace.</summary>
internal sealed class CliException : Exception
{
    /// <summary>Says what is wrong, naming place and values, in one line.</summary>
    public CliException(string message, int exitCode = Cli.ExitCode.Usage) : base(message) => ExitCode = exitCode;

    /// <summary>The code to end with.</summary>
    public int ExitCode { get; }
}
