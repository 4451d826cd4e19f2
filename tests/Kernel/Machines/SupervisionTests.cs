using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;

namespace BpfSim.Kernel.Tests.Machines;

/// <summary>Actors that crash are restarted, and what they were working on is accounted for.</summary>
public class SupervisionTests
{
    [Theory]
    [InlineData("cpu0")]
    [InlineData("cpu1")]
    [InlineData("scheduler")]
    [InlineData("syscalls")]
    [InlineData("block")]
    public void ACrashBetweenEventsLosesNothing(string actor)
    {
        using var machine = new Machine(HelloWorld.Spec());
        int map = CountingProgram.Attach(machine, "do_sys_openat2");
        int crashes = 0;
        using IDisposable _ = machine.Every(TimeSpan.FromMilliseconds(100), _ =>
        {
            if (crashes++ < 3) machine.CrashActor(actor);
        });
        machine.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(3, machine.Crashes.Count);
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced, row.ToString()));
        Assert.Equal(machine.Ledger.Count("do_sys_openat2"), CountingProgram.Total(machine, map));
    }

    [Fact]
    public void AnEventThatCrashesItsCpuIsCountedAsLost()
    {
        using var machine = new Machine(HelloWorld.Spec());
        int map = CountingProgram.Attach(machine, "do_sys_openat2");
        int seen = 0;
        machine.Runner.Cpus[1].FaultInjection = cpu =>
        {
            if (IsOpen(machine, cpu) && ++seen % 20 == 0) throw new InvalidOperationException("injected");
        };
        machine.Run(TimeSpan.FromSeconds(1));
        ReconciliationRow row = Assert.Single(machine.Reconcile());
        Assert.True(row.Balanced, row.ToString());
        Assert.True(row.Lost > 0);
        Assert.Equal((ulong)machine.Crashes.Count, row.Lost);
        Assert.Equal(row.Runs, CountingProgram.Total(machine, map));
    }

    private static unsafe bool IsOpen(Machine machine, Cpus.Cpu cpu) =>
        cpu.CurrentEvent->Site >= 0 && machine.Hooks.Sites[cpu.CurrentEvent->Site].Kind == SiteKind.FunctionEntry;

    [Fact]
    public void UserSpaceThatThrowsEndsTheRunWithItsError()
    {
        using var machine = new Machine(HelloWorld.Spec());
        using IDisposable _ = machine.Every(TimeSpan.FromMilliseconds(50), _ => throw new InvalidDataException("the agent's"));
        var error = Assert.Throws<InvalidDataException>(() => machine.Run(TimeSpan.FromSeconds(1)));
        Assert.Equal("the agent's", error.Message);
    }

    [Fact]
    public void ASlowCpuEndsWindowsInsteadOfGrowingMemory()
    {
        MachineSpec spec = HelloWorld.Spec() with
        {
            Workload = new Subsystems.WorkloadSpec
            {
                Processes = [new Subsystems.ProcessSpec { Comm = "busy", Count = 4, Activities = [new Subsystems.ActivitySpec { Kind = Subsystems.ActivityKind.Open, Rate = 20_000 }] }],
            },
        };
        using var machine = new Machine(spec);
        foreach (string function in new[] { "do_sys_openat2", "vfs_open", "path_openat", "do_filp_open", "filp_close", "fput" })
        {
            int fd = CountingProgram.LoadEmpty(machine);
            for (int i = 0; i < 20; i++) HelloWorld.AttachKprobe(machine, fd, function);
        }
        machine.Run(TimeSpan.FromMilliseconds(200));
        Assert.True(machine.Runner.Simulation.MostBatchesWaiting <= Subsystems.Simulation.PoolSize + 1);
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced, row.ToString()));
    }
}
