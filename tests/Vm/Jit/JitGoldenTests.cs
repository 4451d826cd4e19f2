using System.Text.RegularExpressions;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa.Assembler;
using BpfSim.Vm.Jit;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>
/// The machine code of one program a group, as text: tests/data/jit/NAME.bpf is the program, NAME.x86 the code.
/// BPFSIM_UPDATE=1 writes the code anew; the change is then read before it is committed.
/// </summary>
public sealed partial class JitGoldenTests
{
    private static string Folder => Path.GetFullPath(Path.Combine(InsnCase.Folder, "../jit"));

    public static TheoryData<string> Programs => [.. Directory.GetFiles(Folder, "*.bpf").Select(f => Path.GetFileNameWithoutExtension(f)!).Order()];

    [Theory, MemberData(nameof(Programs))]
    public void Machine_code_is_as_recorded(string name)
    {
        AssembledProgram text = BpfAssembler.Program(File.ReadAllText(Path.Combine(Folder, name + ".bpf")), TestHelpers.Table, name + ".bpf");
        ExecutableProgram program = new() { Name = name, Insns = text.Insns, FunctionStarts = text.FunctionStarts, Helpers = TestHelpers.Table, Verified = true };
        // The same code on every machine: nothing here is run.
        using JitProgram jited = (JitProgram)new JitEngine(JitOptions.Default with { Bmi2 = true }).Load(program);
        string code = Address().Replace(JitDump.Format(jited), "ADDRESS");
        string golden = Path.Combine(Folder, name + ".x86");
        if (Environment.GetEnvironmentVariable("BPFSIM_UPDATE") == "1") File.WriteAllText(golden, code);
        Assert.Equal(File.ReadAllText(golden), code);
    }

    [GeneratedRegex("0x[0-9A-F]{10,13}(?![0-9A-F])")]
    private static partial Regex Address();
}
