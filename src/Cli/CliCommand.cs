using System.CommandLine;

namespace BpfSim.Cli;

/// <summary>A command of <c>bpfsim</c>: what System.CommandLine knows of it, and an example for its help.</summary>
internal abstract class CliCommand : Command
{
    /// <summary>Declares the command; options and the action are added by the derived constructor.</summary>
    /// <param name="name">The word on the command line.</param>
    /// <param name="description">One sentence.</param>
    /// <param name="examples">Complete command lines, shown under the help.</param>
    protected CliCommand(string name, string description, params string[] examples) : base(name, description) =>
        Examples = examples;

    /// <summary>Complete command lines that show the command in use.</summary>
    public IReadOnlyList<string> Examples { get; }
}

/// <summary>A command that only groups others: without one of them it is wrong usage.</summary>
internal sealed class CommandGroup : CliCommand
{
    /// <summary>Groups <paramref name="commands"/> under one word.</summary>
    public CommandGroup(string name, string description, string example, params ReadOnlySpan<Command> commands)
        : base(name, description, example)
    {
        foreach (Command command in commands) Subcommands.Add(command);
    }
}
