using System.CommandLine;
using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Interpreter;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Cli.Commands;

/// <summary>
/// <c>bpfsim conformance [MEMORY_HEX]</c>: the plugin protocol of the bpf_conformance suite. The program comes
/// in hexadecimal on standard input (or as <c>--program</c>), r1 is the memory's address, r2 its length; r0 is
/// printed in hexadecimal. Helpers may be called by the kernel's numbers; outside a machine each answers -EOPNOTSUPP.
/// </summary>
internal sealed class ConformanceCommand : CliCommand
{
    private const long Fuel = 50_000_000;

    private readonly Argument<string[]> _memory = new("MEMORY_HEX") { Description = "Memory that r1 points to", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string?> _program = new("--program") { Description = "The program's bytes, instead of standard input", HelpName = "HEX" };
    private readonly Option<string> _engine = new Option<string>("--engine")
    {
        Description = "How the program is run; the programs are not verified",
        DefaultValueFactory = _ => "checked",
    };

    public ConformanceCommand() : base("conformance", "Runs one program by the plugin protocol of the bpf_conformance suite", "echo 'b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00' | bpfsim conformance")
    {
        _engine.AcceptOnlyFromAmong("jit", "interpreter", "checked");
        Arguments.Add(_memory);
        Options.Add(_program);
        Options.Add(_engine);
        SetAction(parsed => Run(string.Concat(parsed.GetValue(_memory)!), parsed.GetValue(_program), parsed.GetValue(_engine)!));
    }

    private static int Run(string memoryHex, string? programHex, string engineName)
    {
        byte[] bytes = AssemblyInput.Hex(programHex ?? Console.In.ReadToEnd(), "program");
        byte[] memory = AssemblyInput.Hex(memoryHex, "memory");
        if (bytes.Length == 0 || bytes.Length % 8 != 0) throw new CliException($"program: {bytes.Length} bytes are no whole number of 8-byte instructions", ExitCode.Failed);
        Insn[] insns = Insn.FromBytes(bytes);
        var executable = new ExecutableProgram { Name = "conformance", Insns = insns, FunctionStarts = Starts(insns), Helpers = HelperCatalog.Table };
        try
        {
            // The other engines do not look at addresses: a bad one would end the process. So the checked
            // interpreter runs the program first, on a copy of the memory.
            ulong result = Execute(new CheckedEngine(), executable, memory);
            if (engineName != "checked") result = Execute(engineName == "jit" ? new JitEngine() : new InterpreterEngine(), executable, memory);
            Console.Out.WriteLine(result.ToString("x", System.Globalization.CultureInfo.InvariantCulture));
            return ExitCode.Done;
        }
        catch (Exception e) when (e is InvalidProgramException or PlatformNotSupportedException)
        {
            throw new CliException(e.Message, ExitCode.Failed);
        }
    }

    private static unsafe ulong Execute(IProgramEngine engine, ExecutableProgram executable, byte[] memory)
    {
        using LoadedProgram program = engine.Load(executable);
        var context = new RunContext { Fuel = Fuel, RandomState = 1 };
        byte[] pinned = GC.AllocateArray<byte>(memory.Length + 8, pinned: true);
        memory.CopyTo(pinned, 0);
        fixed (byte* start = pinned)
        {
            ulong result = program.Run(memory.Length == 0 ? 0 : (ulong)start, (ulong)memory.Length, &context);
            if (context.Fault == RunFault.None) return result;
            throw new CliException(Describe(context, executable.Insns, engine is CheckedEngine), ExitCode.Failed);
        }
    }

    private static string Describe(RunContext context, Insn[] insns, bool reported)
    {
        if (reported && context.Fault != RunFault.OutOfFuel && CheckedProgram.Report is { } report) return report;
        string at = context.FaultInsn >= 0 && context.FaultInsn < insns.Length ? $" {Disassembler.Line(insns, context.FaultInsn)}" : "";
        string what = context.Fault switch
        {
            RunFault.OutOfFuel => $"stopped after {Fuel} jumps backward and calls",
            RunFault.CallTooDeep => "calls are nested deeper than 8 frames",
            RunFault.BadAccess => "access outside the memory that the program may touch",
            _ => "this instruction cannot be run",
        };
        return $"insn {context.FaultInsn}:{at}: {what}";
    }

    private static int[] Starts(Insn[] insns)
    {
        bool[] second = InsnChecks.SecondHalves(insns);
        return
        [
            .. Enumerable.Range(0, insns.Length)
                .Where(slot => !second[slot] && (insns[slot].IsLocalCall || (insns[slot].IsLdImm64 && insns[slot].Src == (int)PseudoSource.Func)))
                .Select(slot => (int)InsnChecks.Target(insns[slot], slot)!).Where(target => target >= 0 && target < insns.Length).Append(0).Distinct().Order(),
        ];
    }
}
