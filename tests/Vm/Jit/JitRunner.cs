using BpfSim.Kernel.Host;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Runs instructions on the JIT and on the host's kernel.</summary>
internal static unsafe class JitRunner
{
    /// <summary>r0 of a program without context on the JIT.</summary>
    public static ulong Run(IReadOnlyList<Insn> insns, JitOptions? options = null, int[]? functionStarts = null)
    {
        ExecutableProgram program = new() { Insns = [.. insns], Verified = true, FunctionStarts = functionStarts ?? [0] };
        using LoadedProgram loaded = new JitEngine(options ?? JitOptions.Default).Load(program);
        RunContext context = default;
        return loaded.Run(0, 0, &context);
    }

    /// <summary>r0 of the same program on the interpreter.</summary>
    public static ulong Interpret(IReadOnlyList<Insn> insns, int[]? functionStarts = null)
    {
        ExecutableProgram program = new() { Insns = [.. insns], Verified = true, FunctionStarts = functionStarts ?? [0] };
        using LoadedProgram loaded = new InterpreterEngine().Load(program);
        RunContext context = default;
        return loaded.Run(0, 0, &context);
    }

    /// <summary>r0 of the same program on the host's kernel: both halves, by running it twice.</summary>
    public static ulong RunOnHost(IReadOnlyList<Insn> insns)
    {
        uint low = RunHalf(insns, 0), high = RunHalf(insns, 32);
        return low | (ulong)high << 32;
    }

    private static uint RunHalf(IReadOnlyList<Insn> insns, int shift)
    {
        List<Insn> list = [.. insns.Take(insns.Count - 1), new Insn(0x77, 0, 0, 0, shift), insns[^1]];
        HostProgram program = HostKernel.LoadProgram(new HostProgramSpec { Type = 1, Insns = Insn.ToBytes(list.ToArray()), LogLevel = 1 });
        Assert.True(program.Fd >= 0, program.Log);
        HostTestRun run = HostKernel.TestRun(program.Fd, new byte[64], repeat: 1);
        HostKernel.Close(program.Fd);
        Assert.Equal(0, run.Errno);
        return run.ReturnValue;
    }

    /// <summary>The two slots of a 64-bit load.</summary>
    public static IEnumerable<Insn> Load64(int register, ulong value)
    {
        yield return new Insn(0x18, register, 0, 0, (int)value);
        yield return new Insn(0, 0, 0, 0, (int)(value >> 32));
    }
}
