using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;

namespace BpfSim.Kernel.Tests.Machines;

public class LedgerTests
{
    [Theory]
    [InlineData("vfs_read", "vfs_read")]
    [InlineData("vfs_write", "vfs_write")]
    [InlineData("vfs_fsync", "vfs_fsync")]
    [InlineData("tcp_v4_connect", "connect")]
    [InlineData("__x64_sys_openat", "openat")]
    public void WhatAProgramCountsIsWhatTheLedgerSays(string function, string measure)
    {
        using var machine = new Machine(HelloWorld.Spec(seed: 3));
        int map = CountingProgram.Attach(machine, function);
        machine.Run(TimeSpan.FromSeconds(2));
        Assert.Empty(machine.Crashes);
        ulong counted = CountingProgram.Total(machine, map), truth = machine.Ledger.Count(measure);
        Assert.True(truth > 0);
        // A call that began before the end of the run and had not yet returned is in the map alone.
        Assert.InRange(counted - truth, 0ul, 4ul);
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced, row.ToString()));
    }

    [Fact]
    public void EveryHookThatIsPassedCanBeAttachedTo()
    {
        using var machine = new Machine(HelloWorld.Spec(seed: 5));
        machine.Run(TimeSpan.FromMilliseconds(500));
        string[] functions = [.. machine.Hooks.Sites.Where(s => s.Kind == SiteKind.FunctionEntry && s.Passed > 0).Select(s => s.Name)];
        Assert.True(functions.Length > 20);
        var unknown = new List<string>();
        int prog = CountingProgram.LoadEmpty(machine);
        foreach (string function in functions)
            if (HelloWorld.AttachKprobe(machine, prog, function) < 0) unknown.Add(function);
        Assert.Empty(unknown);
        machine.Run(TimeSpan.FromMilliseconds(500));
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced, row.ToString()));
    }

    [Fact]
    public void EveryTracepointThatIsPassedHasItsRecord()
    {
        using var machine = new Machine(HelloWorld.Spec(seed: 6));
        machine.Run(TimeSpan.FromMilliseconds(500));
        foreach (HookSite site in machine.Hooks.Sites.Where(s => s.Kind == SiteKind.Tracepoint && s.Passed > 0))
            Assert.True(TracepointCatalog.Contains(site.Name) || site.Name.StartsWith("bpf_trace:", StringComparison.Ordinal), site.Name);
    }

    [Fact]
    public void FloodCountsExactlyToo()
    {
        using var machine = new Machine(HelloWorld.Spec() with { Mode = RunMode.Flood });
        int map = CountingProgram.Attach(machine, "do_sys_openat2");
        machine.Run(TimeSpan.FromMilliseconds(200));
        Assert.True(machine.FloodEvents > 0);
        Assert.Equal(machine.Ledger.Count("do_sys_openat2"), CountingProgram.Total(machine, map));
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced, row.ToString()));
    }
}
