using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Kernel.Tests.Libbpf;

namespace BpfSim.Kernel.Tests.Tools;

/// <summary>
/// A tool on a machine whose processes stop a while before its run ends, so that nothing is under way when what the
/// tool counted is compared with the ledger.
/// </summary>
internal sealed class ToolRun : IDisposable
{
    private const double WorkSeconds = 2;
    private readonly List<Action> _consumers = [];

    public ToolRun(BpfObject tool, Action<BpfObject>? configure, params ReadOnlySpan<ProcessSpec> processes)
    {
        Machine = new Machine(new MachineSpec
        {
            Cpus = 2,
            Seed = 11,
            Workload = new WorkloadSpec { Processes = [.. processes.ToArray().Select(p => p with { StopSeconds = WorkSeconds })] },
        });
        Tool = tool;
        configure?.Invoke(Tool);
        Tool.Load(Machine);
        Tool.Attach();
    }

    public Machine Machine { get; }

    public BpfObject Tool { get; }

    /// <summary>One of the repository's own tools.</summary>
    public static BpfObject Own(string name) => BpfObject.Open(Path.Combine(TestObjects.Root, "programs", name + ".bpf.o"));

    /// <summary>Keeps every record of a ring buffer.</summary>
    public List<byte[]> Collect(string ring)
    {
        var records = new List<byte[]>();
        var buffer = new RingBuffer(Tool.Map(ring), record =>
        {
            records.Add(record.ToArray());
            return 0;
        });
        _consumers.Add(() => buffer.Consume());
        return records;
    }

    /// <summary>Keeps every sample of a perf buffer; a lost one fails the test.</summary>
    public List<byte[]> CollectSamples(string perf)
    {
        var samples = new List<byte[]>();
        var buffer = new PerfBuffer(Tool.Map(perf), 64);
        _consumers.Add(() => buffer.Consume((_, sample) => samples.Add(sample), (cpu, count) => Assert.Fail($"cpu {cpu} lost {count}")));
        return samples;
    }

    /// <summary>Runs the work to its end; nothing of the tool's hooks may have gone missing.</summary>
    public void Run()
    {
        using IDisposable polling = Machine.Every(TimeSpan.FromMilliseconds(20), _ => Consume());
        Machine.Run(TimeSpan.FromSeconds(WorkSeconds + 1));
        Consume();
        Assert.All(Machine.Reconcile(), row => Assert.True(row.Balanced && row.RecursionMisses == 0, row.ToString()));

        void Consume() => _consumers.ForEach(c => c());
    }

    /// <summary>What happened, as log2 counts of microseconds, in as many slots as the tool has.</summary>
    public uint[] TrueSlots(string measure, int slots)
    {
        var sum = new uint[slots];
        foreach (KeyValuePair<LedgerKey, LedgerEntry> entry in Machine.Ledger.Of(measure))
        {
            ulong[] counts = entry.Value.SlotsIn(1000);
            for (int i = 0; i < counts.Length; i++) sum[Math.Min(i, slots - 1)] += (uint)counts[i];
        }
        return sum;
    }

    /// <summary>The first numbers of a map's value.</summary>
    public static uint[] Slots(byte[] value, int slots) => [.. Enumerable.Range(0, slots).Select(i => BitConverter.ToUInt32(value, 4 * i))];

    public static string Text(byte[] record, int offset, int length) =>
        System.Text.Encoding.UTF8.GetString(record, offset, length).Split('\0')[0];

    public static ProcessSpec Does(string comm, ActivitySpec activity, int count = 1) => new() { Comm = comm, Count = count, Activities = [activity] };

    public void Dispose()
    {
        Tool.Dispose();
        Machine.Dispose();
    }
}
