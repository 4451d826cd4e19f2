using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>
/// Makes the events of one CPU in flood mode: the workload's system calls one after the other, each with its
/// tracepoints and functions and a latency of its own, without scheduler, devices or waiting.
/// </summary>
internal sealed unsafe class FloodSource
{
    /// <summary>A call enters its function this long after it entered the kernel, and leaves the kernel this long after that, without its latency.</summary>
    private const ulong EntryNs = 50, ExitNs = 100;

    private readonly uint _cpu;
    private readonly Simulation _simulation;
    private readonly RandomStream _random;
    private readonly List<Call> _calls = [];
    private int _next;
    private ulong _sequence;

    public FloodSource(uint cpu, Simulation simulation, World world)
    {
        _cpu = cpu;
        _simulation = simulation;
        _random = new RandomStream(simulation.Kernel.Seed, $"flood{cpu}");
        NowNs = simulation.NowNs;
        foreach (ProcessSpec spec in simulation.Spec.Workload.Processes)
        {
            for (int i = 0; i < spec.Count; i++)
            {
                SimTask task = world.NewProcess(spec, null, pid: spec.Pid == 0 ? 0 : spec.Pid + (uint)i);
                foreach (ActivitySpec activity in spec.Activities) _calls.Add(NewCall(task, activity));
            }
        }
    }

    /// <summary>The moment that this CPU's events have reached.</summary>
    public ulong NowNs { get; private set; }

    /// <summary>Events delivered to the CPU.</summary>
    public ulong Delivered { get; private set; }

    /// <summary>Whether there is anything to emit.</summary>
    public bool HasWork => _calls.Count != 0;

    /// <summary>
    /// A run begins: lays out the events of each call for the sites at which programs hang now. That changes only
    /// between runs (<see cref="HookTable"/>).
    /// </summary>
    public void Begin()
    {
        using var layout = new BatchPool(_cpu, 1);
        EventBatch batch = layout.Take()!;
        foreach (Call call in _calls)
        {
            batch.Reset();
            LayOut(batch, call.SysEnter, call, 0, false, [], 0, call.EnterRecord);
            LayOut(batch, call.Entry, call, EntryNs, false, call.Arguments, 0, []);
            LayOut(batch, call.Return, call, EntryNs, true, call.Arguments, call.Result, []);
            LayOut(batch, call.SysExit, call, ExitNs, true, [], 0, call.ExitRecord);
            call.Events = new ReadOnlySpan<byte>(batch.Memory, batch.Used).ToArray();
            call.EventCount = batch.Count;
        }
    }

    /// <summary>Fills a batch with as many whole system calls as fit.</summary>
    public void Fill(EventBatch batch)
    {
        // Without programs nothing is delivered; the calls still count, but must not go on for ever.
        int idle = 0;
        while (idle < 64)
        {
            Call call = _calls[_next];
            EventRecord* record = batch.Append(call.Events, call.EventCount);
            if (record == null) break;
            if (++_next == _calls.Count) _next = 0;
            ulong bits = _random.Next(), latency = 400 + (bits & 0xfff);
            NowNs += 100 + (bits >> 12 & 0x3ff);
            for (int i = 0; i < call.EventCount; i++)
            {
                record->Sequence = ++_sequence;
                record->TimeNs += NowNs + (record->AfterLatency == 0 ? 0 : latency);
                record = (EventRecord*)((byte*)record + record->Bytes);
            }
            NowNs += ExitNs + latency;
            call.FunctionLatency.Add(latency, false);
            call.Latency.Add(latency + ExitNs, false);
            if (call.EventCount == 0) idle++;
        }
        Delivered += (ulong)batch.Count;
    }

    /// <summary>Counts at its sites and enters into the ledger what was emitted since the last time.</summary>
    public void WriteLedger(Ledger ledger)
    {
        foreach (Call call in _calls)
        {
            foreach (HookSite site in (HookSite[])[call.SysEnter, call.Entry, call.Return, call.SysExit]) site.Pass(_cpu, call.Latency.Count);
            ledger.Merge(call.Name, call.Task.Tgid, call.Task.Comm, call.Latency);
            ledger.Merge(call.Entry.Name, call.Task.Tgid, call.Task.Comm, call.FunctionLatency);
            call.Latency = new LedgerEntry(false);
            call.FunctionLatency = new LedgerEntry(false);
        }
    }

    private static void LayOut(EventBatch batch, HookSite site, Call call, ulong delayNs, bool afterLatency, ulong[] arguments, ulong result, byte[] data)
    {
        if (!site.IsActive) return;
        EventRecord* record = batch.Add(arguments.Length, data.Length);
        record->TimeNs = delayNs;
        record->AfterLatency = afterLatency ? 1u : 0;
        record->Site = site.Index;
        record->Task = call.Task.Identity;
        record->Stack = 0;
        ulong* to = EventRecord.Args(record);
        arguments.CopyTo(new Span<ulong>(to, arguments.Length));
        to[arguments.Length] = result;
        data.CopyTo(new Span<byte>(EventRecord.Record(record), data.Length));
    }

    private Call NewCall(SimTask task, ActivitySpec activity)
    {
        (string name, string function) = activity.Kind switch
        {
            ActivityKind.Read => ("read", "vfs_read"),
            ActivityKind.Write or ActivityKind.Create => ("write", "vfs_write"),
            ActivityKind.Fsync => ("fsync", "vfs_fsync"),
            ActivityKind.Stat => ("newfstatat", "vfs_statx"),
            ActivityKind.Connect => ("connect", "tcp_v4_connect"),
            ActivityKind.Udp => ("sendto", "udp_sendmsg"),
            ActivityKind.Getpid => ("getpid", "__x64_sys_getpid"),
            _ => ("openat", "do_sys_openat2"),
        };
        ulong argument = _simulation.Arena.AllocateUser(64);
        ulong[] arguments = name == "openat" ? [0xffffff9c, argument, _simulation.Arena.Allocate(24)] : [_simulation.Arena.Allocate(256), argument, activity.Bytes, 0];
        if (name == "openat" && _simulation.Arena.Translate(argument, 64) is var text && text != null) "/etc/passwd"u8.CopyTo(new Span<byte>(text, 64));
        return new Call
        {
            Name = name,
            Task = task,
            Arguments = arguments,
            Result = 3,
            SysEnter = _simulation.Site(SiteKind.Tracepoint, "syscalls:sys_enter_" + name),
            SysExit = _simulation.Site(SiteKind.Tracepoint, "syscalls:sys_exit_" + name),
            Entry = _simulation.Site(SiteKind.FunctionEntry, function),
            Return = _simulation.Site(SiteKind.FunctionReturn, function),
            EnterRecord = Record("sys_enter_" + name, task, SyscallTable.NumberOf(name), arguments),
            ExitRecord = Record("sys_exit_" + name, task, SyscallTable.NumberOf(name), [3]),
        };
    }

    private byte[] Record(string name, SimTask task, int number, ulong[] values)
    {
        var writer = new RecordWriter(_simulation.LayoutOf("syscalls", name));
        writer.Begin(task.Pid).Set(writer.Layout.Field("__syscall_nr"), (ulong)number);
        int next = 0;
        foreach (TracepointField field in writer.Layout.Fields.Where(f => f.Offset >= 16))
            if (next < values.Length) writer.Set(field, values[next++]);
        return writer.Data.ToArray();
    }

    private sealed class Call
    {
        public required string Name { get; init; }

        public required SimTask Task { get; init; }

        public required ulong[] Arguments { get; init; }

        public required ulong Result { get; init; }

        public required HookSite SysEnter { get; init; }

        public required HookSite SysExit { get; init; }

        public required HookSite Entry { get; init; }

        public required HookSite Return { get; init; }

        public required byte[] EnterRecord { get; init; }

        public required byte[] ExitRecord { get; init; }

        /// <summary>The events of one call as they go into a batch; times are counted from the call's begin.</summary>
        public byte[] Events { get; set; } = [];

        public int EventCount { get; set; }

        public LedgerEntry Latency { get; set; } = new(false);

        public LedgerEntry FunctionLatency { get; set; } = new(false);
    }
}
