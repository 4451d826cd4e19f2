namespace BpfSim.Vm.Isa.Assembler;

/// <summary>A text that the assembler cannot translate; the message begins with <c>file:line:column: </c>.</summary>
public sealed class AssemblerException : FormatException
{
    /// <summary>Composes the message of a place and what is wrong there.</summary>
    public AssemblerException(string file, int line, int column, string problem)
        : base($"{file}:{line}:{column}: {problem}") => (File, Line, Column, Problem) = (file, line, column, problem);

    /// <summary>The file as it was named to the assembler.</summary>
    public string File { get; }

    /// <summary>Line, from 1.</summary>
    public int Line { get; }

    /// <summary>Column, from 1.</summary>
    public int Column { get; }

    /// <summary>What is wrong, without the place.</summary>
    public string Problem { get; }
}
