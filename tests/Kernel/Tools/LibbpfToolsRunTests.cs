using System.Buffers.Binary;
using System.Globalization;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Kernel.Tests.Libbpf;

namespace BpfSim.Kernel.Tests.Tools;

/// <summary>
/// Debian's own tools, as the package ships them: loaded and attached as their loaders do it, fed by a workload, and
/// their maps and records equal to what happened.
/// </summary>
public sealed class LibbpfToolsRunTests
{
    [InstalledToolFact("opensnoop")]
    public void Opensnoop_reports_every_open()
    {
        using var run = new ToolRun(Installed("opensnoop"), null,
            ToolRun.Does("nginx", new ActivitySpec { Kind = ActivityKind.Open, Rate = 100, MissChance = 0.25 }, 2));
        List<byte[]> events = run.CollectSamples("events");
        run.Run();

        var seen = events.GroupBy(e => BitConverter.ToUInt32(e, 8))
            .ToDictionary(g => g.Key, g => ((ulong)g.Count(), (ulong)g.Count(e => BitConverter.ToInt32(e, 16) < 0)));
        Assert.True(events.Count > 200);
        Assert.Equal(run.Machine.Ledger.Of("openat").ToDictionary(e => e.Key.Pid, e => (e.Value.Count, e.Value.Errors)), seen);
        Assert.Empty(run.Tool.Map("start").Entries());
    }

    [InstalledToolFact("execsnoop")]
    public void Execsnoop_reports_every_program()
    {
        using var run = new ToolRun(Installed("execsnoop"), null,
            ToolRun.Does("make", new ActivitySpec { Kind = ActivityKind.Exec, Rate = 40, Files = ["cc"] }) with { Pid = 700, Uid = 1000 });
        List<byte[]> events = run.CollectSamples("events");
        run.Run();

        Assert.True(events.Count > 30);
        Assert.Equal(
            run.Machine.Ledger.Of("exec").Select(e => (e.Key.Pid, Ppid: 700u, Uid: 1000u, e.Key.Comm, File: e.Key.Detail)).Order(),
            events.Select(e => (BitConverter.ToUInt32(e, 0), BitConverter.ToUInt32(e, 4), BitConverter.ToUInt32(e, 8), ToolRun.Text(e, 24, 16),
                ToolRun.Text(e, 40, BitConverter.ToInt32(e, 20)))).Order());
        Assert.Empty(run.Tool.Map("execs").Entries());
    }

    [InstalledToolFact("biolatency")]
    public void Biolatency_has_the_histogram_of_the_disk()
    {
        using var run = new ToolRun(Installed("biolatency"), tool => Leave(tool, "raw_tp/"),
            ToolRun.Does("db", new ActivitySpec { Kind = ActivityKind.Read, Rate = 300, MissChance = 1 }, 3));
        run.Run();

        KeyValuePair<byte[], byte[]> all = Assert.Single(run.Tool.Map("hists").Entries());
        Assert.True(run.Machine.Ledger.Count("block_io") > 1000);
        Assert.Equal(run.TrueSlots("block_io", 27), ToolRun.Slots(all.Value, 27));
        Assert.Empty(run.Tool.Map("start").Entries());
    }

    [InstalledTheory("runqlat")]
    [InlineData("raw_tp/")]
    [InlineData("tp_btf/")]
    public void Runqlat_has_the_histogram_of_the_run_queues(string unused)
    {
        using var run = new ToolRun(Installed("runqlat"), tool => Leave(tool, unused),
            ToolRun.Does("spin", new ActivitySpec { Kind = ActivityKind.Compute, Rate = 100, ComputeNs = 9_000_000 }, 4));
        run.Run();

        KeyValuePair<byte[], byte[]> all = Assert.Single(run.Tool.Map("hists").Entries());
        Assert.True(run.Machine.Ledger.Count("runqlat") > 1000);
        Assert.Equal(run.TrueSlots("runqlat", 26), ToolRun.Slots(all.Value, 26));
        Assert.Empty(run.Tool.Map("start").Entries());
    }

    [InstalledTheory("vfsstat")]
    [InlineData("fentry/")]
    [InlineData("kprobe/")]
    public void Vfsstat_counts_the_calls(string unused)
    {
        using var run = new ToolRun(Installed("vfsstat"), tool => Leave(tool, unused),
            ToolRun.Does("cp", new ActivitySpec { Kind = ActivityKind.Write, Rate = 200, Sync = true }, 2),
            ToolRun.Does("cat", new ActivitySpec { Kind = ActivityKind.Read, Rate = 300 }));
        run.Run();

        byte[] stats = run.Tool.Map(".bss").Lookup(new byte[4])!;
        Assert.Equal(OwnToolsTests.VfsCalls(run.Machine.Ledger), Enumerable.Range(0, 5).Select(i => BitConverter.ToUInt64(stats, 8 * i)));
    }

    [InstalledToolFact("tcpconnect")]
    public void Tcpconnect_counts_every_connection()
    {
        using var run = new ToolRun(Installed("tcpconnect"), tool => tool.Map(".rodata").SetVariable("do_count", true),
            ToolRun.Does("curl", new ActivitySpec { Kind = ActivityKind.Connect, Rate = 60, Peer = "192.0.2.7:443" }),
            ToolRun.Does("wget", new ActivitySpec { Kind = ActivityKind.Connect, Rate = 60 }, 2));
        run.Run();

        var seen = run.Tool.Map("ipv4_count").Entries().ToDictionary(e => Peer(e.Key), e => BitConverter.ToUInt64(e.Value));
        var truth = run.Machine.Ledger.Of("tcp_connect").GroupBy(e => e.Key.Detail)
            .ToDictionary(g => g.Key, g => g.Aggregate(0ul, (sum, e) => sum + e.Value.Count));
        Assert.True(seen["192.0.2.7:443"] > 50);
        Assert.Equal(truth, seen);
        Assert.Empty(run.Tool.Map("ipv6_count").Entries());
        Assert.Empty(run.Tool.Map("sockets").Entries());
    }

    private static BpfObject Installed(string name) => BpfObject.Open(LibbpfToolsTests.Objects().Single(o => o.Name == name).Elf, name);

    /// <summary>These tools bring each program twice and load what suits the kernel; the other half is left out.</summary>
    private static void Leave(BpfObject tool, string kind)
    {
        foreach (BpfObjectProgram program in tool.Programs)
            if (program.Spec.Section.StartsWith(kind, StringComparison.Ordinal)) program.AutoLoad = false;
    }

    private static string Peer(byte[] key) => string.Create(CultureInfo.InvariantCulture,
        $"{key[4]}.{key[5]}.{key[6]}.{key[7]}:{BinaryPrimitives.ReadUInt16BigEndian(key.AsSpan(10))}");
}

/// <summary>A test of a tool of Debian's package libbpf-tools; skipped where it is not installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class InstalledToolFactAttribute : FactAttribute
{
    public InstalledToolFactAttribute(string name) => Skip = InstalledTool.Missing(name);
}

/// <summary>As <see cref="InstalledToolFactAttribute"/>, parametrised.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class InstalledTheoryAttribute : TheoryAttribute
{
    public InstalledTheoryAttribute(string name) => Skip = InstalledTool.Missing(name);
}

internal static class InstalledTool
{
    public static string? Missing(string name) => BpfSim.Tests.Shared.Requirement.Skip(
        File.Exists("/var/lib/dpkg/info/libbpf-tools.list") && File.Exists("/usr/sbin/" + name), "libbpf-tools is not installed");
}
