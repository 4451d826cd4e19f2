using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit;

/// <summary>The engine that compiles programs to x86-64 code. Not available everywhere: ask <see cref="IsSupported"/> first.</summary>
public sealed class JitEngine : IProgramEngine
{
    /// <summary>Whether this process can run emitted code.</summary>
    public static bool IsSupported => UnsupportedReason == null;

    /// <summary>Why not, in one line; null if it can.</summary>
    public static string? UnsupportedReason => CodeMemory.UnavailableReason;

    /// <summary>An engine with all optimisations.</summary>
    public JitEngine() : this(JitOptions.Default)
    {
    }

    /// <summary>An engine with chosen optimisations.</summary>
    public JitEngine(JitOptions options) => Options = options;

    /// <summary>The optimisations in use.</summary>
    public JitOptions Options { get; }

    /// <inheritdoc/>
    public string Name => "jit";

    /// <summary>Compiles a program.</summary>
    /// <exception cref="PlatformNotSupportedException">The JIT is not available here; the message says why.</exception>
    /// <exception cref="InvalidProgramException">An unverified program that cannot be compiled; the message names the slot.</exception>
    public LoadedProgram Load(ExecutableProgram program)
    {
        if (!IsSupported) throw new PlatformNotSupportedException(UnsupportedReason);
        if (!program.Verified && InsnChecks.Program(program.Insns) is { } wrong)
            throw new InvalidProgramException($"instruction {wrong.Slot}: {wrong.Message}");
        return new JitProgram(program, JitCompiler.Compile(program, Options));
    }
}
