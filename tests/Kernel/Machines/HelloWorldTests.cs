using BpfSim.Kernel.Bpf;

namespace BpfSim.Kernel.Tests.Machines;

public class HelloWorldTests
{
    [Theory]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Interpreter)]
    public void EveryOpenPrintsALine(EngineKind engine)
    {
        using var machine = new Machine(HelloWorld.Spec(engine: engine));
        int prog = HelloWorld.Load(machine);
        Assert.True(prog > 0, $"load: {prog}");
        Assert.Equal("c21893ee8040b45c", machine.Bpf.FindProgram(prog)!.TagText);
        int link = HelloWorld.AttachKprobe(machine, prog, "do_sys_openat2");
        Assert.True(link > 0, $"attach: {link}");
        machine.Run(TimeSpan.FromSeconds(2));
        Assert.Empty(machine.Crashes);
        IReadOnlyList<TraceLine> lines = machine.Trace.Read();
        Assert.True(lines.Count > 100);
        Assert.Equal(machine.Ledger.Count("do_sys_openat2"), (ulong)lines.Count);
        Assert.All(lines, l => Assert.Equal("Hello, World!", l.Message));
        Assert.Matches(@"^ +[a-z]+-\d+ +\[00[01]\] d\.\.\.\. +2348\.\d{6}: bpf_trace_printk: Hello, World!$", lines[0].ToString());
        ReconciliationRow row = Assert.Single(machine.Reconcile());
        Assert.True(row.Balanced);
        Assert.Equal((ulong)lines.Count, row.Runs);
    }

    [Fact]
    public void SameSeedSameBytes()
    {
        string first = Trace(7, EngineKind.Jit), again = Trace(7, EngineKind.Jit), interpreted = Trace(7, EngineKind.Interpreter), other = Trace(8, EngineKind.Jit);
        Assert.Equal(first, again);
        Assert.Equal(first, interpreted);
        Assert.NotEqual(first, other);
    }

    private static string Trace(ulong seed, EngineKind engine)
    {
        using var machine = new Machine(HelloWorld.Spec(seed, engine));
        HelloWorld.AttachKprobe(machine, HelloWorld.Load(machine), "do_sys_openat2");
        machine.Run(TimeSpan.FromSeconds(1));
        return HelloWorld.TraceText(machine);
    }
}
