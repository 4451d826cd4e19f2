using System.Buffers.Binary;
using System.Text;
using BpfSim.Kernel;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using Xunit;

namespace Opensnoop.Tests;

public class OpensnoopTests
{
    [Fact]
    public void Every_open_of_the_chosen_process_is_reported_once()
    {
        // A machine on which two processes open files; one attempt in four misses its file.
        using var machine = new Machine(new MachineSpec
        {
            Cpus = 2,
            Seed = 7,
            Workload = new WorkloadSpec { Processes = [Opener("nginx", 100), Opener("cat", 200)] },
        });

        // The tool, as its loader would set it up: options first, then load (the verifier runs here), then attach.
        using var tool = BpfObject.Open(Path.Combine(AppContext.BaseDirectory, "opensnoop.bpf.o"));
        tool.Map(".rodata").SetVariable("target_pid", 100u);
        tool.Map("events").MaxEntries = 64 * 1024;
        tool.Load(machine);
        tool.Attach();

        // User space reads the ring buffer every 100 ms of simulated time, while the machine runs for 5 s.
        var seen = new List<(uint Pid, int Result, string Comm, string Path)>();
        var events = new RingBuffer(tool.Map("events"), record =>
        {
            seen.Add((BinaryPrimitives.ReadUInt32LittleEndian(record[8..]), BinaryPrimitives.ReadInt32LittleEndian(record[16..]),
                Text(record.Slice(24, 16)), Text(record.Slice(40, 255))));
            return 0;
        });
        using IDisposable polling = machine.Every(TimeSpan.FromMilliseconds(100), _ => events.Consume());
        machine.Run(TimeSpan.FromSeconds(5));
        events.Consume();

        // The ledger knows what really happened: the tool must have seen exactly that.
        LedgerEntry truth = machine.Ledger.Of("openat").Single(entry => entry.Key.Pid == 100).Value;
        Assert.True(truth.Errors > 0);
        Assert.Equal(truth.Count, (ulong)seen.Count);
        Assert.Equal(truth.Errors, (ulong)seen.Count(e => e.Result < 0));
        Assert.All(seen, e => Assert.Equal((100u, "nginx", e.Result < 0 ? "/etc/passwd.missing" : "/etc/passwd"), (e.Pid, e.Comm, e.Path)));

        // It cleaned up behind itself, and no event of its hooks went missing on the way to it.
        Assert.Empty(tool.Map("started").Entries());
        Assert.All(machine.Reconcile(), row => Assert.True(row.Balanced && row.RecursionMisses == 0, row.ToString()));
    }

    private static ProcessSpec Opener(string comm, uint pid) => new()
    {
        Comm = comm,
        Pid = pid,
        Activities = [new ActivitySpec { Kind = ActivityKind.Open, Rate = 100, Files = ["/etc/passwd"], MissChance = 0.25 }],
    };

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes[..bytes.IndexOf((byte)0)]);
}
