using System.Buffers.Binary;
using System.Globalization;
using BpfSim.Kernel.Subsystems;

namespace BpfSim.Kernel.Tests.Tools;

/// <summary>What the tools under programs/ report is what happened. (opensnoop: see Example.)</summary>
public sealed class OwnToolsTests
{
    [Fact]
    public void Execsnoop_reports_every_program_with_its_parent()
    {
        using var run = new ToolRun(ToolRun.Own("execsnoop"), null,
            ToolRun.Does("make", new ActivitySpec { Kind = ActivityKind.Exec, Rate = 40, Files = ["cc"] }) with { Pid = 700, Uid = 1000 },
            ToolRun.Does("sh", new ActivitySpec { Kind = ActivityKind.Exec, Rate = 20, Target = "/bin/true" }) with { Pid = 800 });
        List<byte[]> events = run.Collect("events");
        run.Run();

        var seen = events.Select(e => (Pid: BitConverter.ToUInt32(e, 8), Comm: ToolRun.Text(e, 20, 16), File: ToolRun.Text(e, 36, 128))).Order();
        var truth = run.Machine.Ledger.Of("exec").Select(e => (e.Key.Pid, e.Key.Comm, File: e.Key.Detail)).Order();
        Assert.True(events.Count > 50);
        Assert.Equal(truth, seen);
        Assert.All(events, e => Assert.Equal(ToolRun.Text(e, 20, 16) == "cc" ? (700u, 1000u) : (800u, 0u), (BitConverter.ToUInt32(e, 12), BitConverter.ToUInt32(e, 16))));
    }

    [Fact]
    public void Biolatency_has_the_histogram_of_the_disk()
    {
        using var run = new ToolRun(ToolRun.Own("biolatency"), null,
            ToolRun.Does("db", new ActivitySpec { Kind = ActivityKind.Read, Rate = 300, MissChance = 1 }, 3),
            ToolRun.Does("log", new ActivitySpec { Kind = ActivityKind.Fsync, Rate = 100 }));
        run.Run();

        KeyValuePair<byte[], byte[]> disk = Assert.Single(run.Tool.Map("latency").Entries());
        Assert.Equal(259u << 20, BitConverter.ToUInt32(disk.Key));
        Assert.True(run.Machine.Ledger.Count("block_io") > 1000);
        Assert.Equal(run.TrueSlots("block_io", 27), ToolRun.Slots(disk.Value, 27));
        Assert.Empty(run.Tool.Map("started").Entries());
    }

    [Fact]
    public void Runqlat_has_the_histogram_of_the_run_queues()
    {
        using var run = new ToolRun(ToolRun.Own("runqlat"), null,
            ToolRun.Does("spin", new ActivitySpec { Kind = ActivityKind.Compute, Rate = 100, ComputeNs = 9_000_000 }, 4),
            ToolRun.Does("nap", new ActivitySpec { Kind = ActivityKind.Getpid, Rate = 200 }, 2));
        run.Run();

        Assert.True(run.Machine.Ledger.Count("runqlat") > 1000);
        Assert.Equal(run.TrueSlots("runqlat", 27), ToolRun.Slots(run.Tool.Map("waiting").Lookup(new byte[4])!, 27));
        Assert.Empty(run.Tool.Map("queued").Entries());
    }

    [Fact]
    public void Tcpconnect_reports_the_peer_of_every_connection()
    {
        using var run = new ToolRun(ToolRun.Own("tcpconnect"), null,
            ToolRun.Does("curl", new ActivitySpec { Kind = ActivityKind.Connect, Rate = 60, Peer = "192.0.2.7:443", MissChance = 0 }) with { Pid = 900, Uid = 33 },
            ToolRun.Does("wget", new ActivitySpec { Kind = ActivityKind.Connect, Rate = 60 }, 2));
        List<byte[]> events = run.Collect("events");
        run.Run();

        var seen = events.GroupBy(e => (Pid: BitConverter.ToUInt32(e, 8), Comm: ToolRun.Text(e, 52, 16), Peer: Peer(e))).ToDictionary(g => g.Key, g => (ulong)g.Count());
        var truth = run.Machine.Ledger.Of("tcp_connect").ToDictionary(e => (e.Key.Pid, e.Key.Comm, Peer: e.Key.Detail), e => e.Value.Count);
        Assert.True(events.Count > 200);
        Assert.Equal(truth, seen);
        Assert.All(events.Where(e => ToolRun.Text(e, 52, 16) == "curl"), e => Assert.Equal((33u, "192.0.2.7:443"), (BitConverter.ToUInt32(e, 12), Peer(e))));
        Assert.Empty(run.Tool.Map("connecting").Entries());
    }

    [Fact]
    public void Vfsstat_counts_the_calls()
    {
        using var run = new ToolRun(ToolRun.Own("vfsstat"), null,
            ToolRun.Does("cp", new ActivitySpec { Kind = ActivityKind.Write, Rate = 200, Sync = true }, 2),
            ToolRun.Does("cat", new ActivitySpec { Kind = ActivityKind.Read, Rate = 300 }),
            ToolRun.Does("find", new ActivitySpec { Kind = ActivityKind.Open, Rate = 100, MissChance = 0.5 }));
        run.Run();

        byte[] calls = run.Tool.Map(".bss").Lookup(new byte[4])!;
        Assert.Equal(VfsCalls(run.Machine.Ledger), Enumerable.Range(0, 5).Select(i => BitConverter.ToUInt64(calls, 8 * i)));
    }

    /// <summary>Calls of vfs_read, vfs_write, vfs_fsync, vfs_open; vfs_create, which openat(2) does not go through, is never called.</summary>
    internal static ulong[] VfsCalls(Ledger ledger)
    {
        ulong opened = ledger.Count("do_sys_openat2") - ledger.Of("do_sys_openat2").Aggregate(0ul, (sum, e) => sum + e.Value.Errors);
        ulong[] calls = [ledger.Count("vfs_read"), ledger.Count("vfs_write"), ledger.Count("vfs_fsync"), opened, 0];
        Assert.All(calls[..4], count => Assert.True(count > 100));
        return calls;
    }

    private static string Peer(byte[] record) => string.Create(CultureInfo.InvariantCulture,
        $"{record[36]}.{record[37]}.{record[38]}.{record[39]}:{BinaryPrimitives.ReadUInt16BigEndian(record.AsSpan(18))}");
}
