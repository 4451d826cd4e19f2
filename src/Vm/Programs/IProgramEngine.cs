namespace BpfSim.Vm.Programs;

/// <summary>One way to run programs: the interpreter, the checked interpreter or the JIT.</summary>
public interface IProgramEngine
{
    /// <summary>The name that <c>--engine</c> takes: <c>interpreter</c>, <c>checked</c> or <c>jit</c>.</summary>
    string Name { get; }

    /// <summary>Prepares a program to run: decodes or compiles it. The result belongs to the caller.</summary>
    /// <exception cref="InvalidProgramException">An unverified program that no engine could run: a jump out of range, a bad opcode; the message names the slot.</exception>
    LoadedProgram Load(ExecutableProgram program);
}
