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

    /// <summary>Fills a batch with as many whole system calls as fit.</summary>
    public void Fill(EventBatch batch)
    {
        int idle = 0;
        while (batch.Count + 4 <= EventBatch.MaxEvents && batch.Used + 2048 <= EventBatch.Capacity)
        {
            Call call = _calls[_next];
            if (++_next == _calls.Count) _next = 0;
            ulong bits = _random.Next(), latency = 400 + (bits & 0xfff);
            int before = batch.Count;
            NowNs += 100 + (bits >> 12 & 0x3ff);
            Add(batch, call.SysEnter, call.Task, call.EnterRecord);
            NowNs += 50;
            AddFunction(batch, call.Entry, call, 0);
            NowNs += latency;
            AddFunction(batch, call.Return, call, call.Result);
            NowNs += 50;
            Add(batch, call.SysExit, call.Task, call.ExitRecord);
            call.Latency.Add(latency + 100, false);
            call.FunctionLatency.Add(latency, false);
            // Without programs nothing is delivered; the calls still count, but must not go on for ever.
            idle = batch.Count == before ? idle + 1 : 0;
            if (idle >= 64) break;
        }
        Delivered += (ulong)batch.Count;
    }

    /// <summary>Enters what was emitted since the last time into the ledger.</summary>
    public void WriteLedger(Ledger ledger)
    {
        foreach (Call call in _calls)
        {
            ledger.Merge(call.Name, call.Task.Tgid, call.Task.Comm, call.Latency);
            ledger.Merge(call.Entry.Name, call.Task.Tgid, call.Task.Comm, call.FunctionLatency);
            call.Latency = new LedgerEntry(false);
            call.FunctionLatency = new LedgerEntry(false);
        }
    }

    private void Add(EventBatch batch, HookSite site, SimTask task, byte[] record)
    {
        site.Pass(_cpu);
        if (!site.IsActive) return;
        EventRecord* added = batch.Add(0, record.Length);
        Fill(added, site, task);
        EventRecord.Args(added)[0] = 0;
        record.CopyTo(new Span<byte>(EventRecord.Record(added), record.Length));
    }

    private void AddFunction(EventBatch batch, HookSite site, Call call, ulong result)
    {
        site.Pass(_cpu);
        if (!site.IsActive) return;
        ulong[] arguments = call.Arguments;
        EventRecord* added = batch.Add(arguments.Length, 0);
        Fill(added, site, call.Task);
        ulong* to = EventRecord.Args(added);
        for (int i = 0; i < arguments.Length; i++) to[i] = arguments[i];
        to[arguments.Length] = result;
    }

    private void Fill(EventRecord* record, HookSite site, SimTask task)
    {
        record->Sequence = ++_sequence;
        record->TimeNs = NowNs;
        record->Site = site.Index;
        record->Task = task.Identity;
        record->Stack = 0;
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

        public LedgerEntry Latency { get; set; } = new(false);

        public LedgerEntry FunctionLatency { get; set; } = new(false);
    }
}
