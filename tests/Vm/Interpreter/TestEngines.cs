using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>The engines under test, and a run of an unverified program on one.</summary>
internal static class TestEngines
{
    public static IReadOnlyList<IProgramEngine> All { get; } = [new InterpreterEngine(), new CheckedEngine(), .. JitEngine.IsSupported ? new IProgramEngine[] { new JitEngine() } : []];

    public static IProgramEngine Find(string name) => All.First(e => e.Name == name);

    /// <summary>r0 in hexadecimal, or <c>error</c> and the reason.</summary>
    public static string Run(IProgramEngine engine, AssembledProgram program, byte[] memory, long fuel = 1_000_000) =>
        Run(engine, new ExecutableProgram { Insns = program.Insns, FunctionStarts = program.FunctionStarts }, memory, fuel);

    /// <summary>r0 in hexadecimal, or <c>error</c> and the reason.</summary>
    public static unsafe string Run(IProgramEngine engine, ExecutableProgram executable, byte[] memory, long fuel = 1_000_000)
    {
        LoadedProgram loaded;
        try
        {
            loaded = engine.Load(executable);
        }
        catch (InvalidProgramException e)
        {
            return $"error {e.Message}";
        }

        using (loaded)
        {
            var context = new RunContext { Fuel = fuel, RandomState = 1 };
            fixed (byte* bytes = memory)
            {
                ulong result = loaded.Run((ulong)bytes, (ulong)memory.Length, &context);
                return context.Fault == RunFault.None ? $"0x{result:x}" : $"error {context.Fault} at {context.FaultInsn}";
            }
        }
    }
}
