using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>
/// The state of the simulated world: calendar, tasks, files, devices. It is the baton that actors hand to
/// each other: whoever holds it may touch it, nobody else. So events happen in one order on any number of
/// threads.
/// </summary>
internal sealed unsafe class Simulation : IDisposable
{
    private readonly EventBatch?[] _open;
    private readonly BatchPool[] _pools;
    private readonly List<EventBatch> _spilled = [];
    private readonly Dictionary<string, KernelFunction> _functions = [];
    private readonly Dictionary<(string, string), Tracepoint> _tracepoints = [];
    private ulong _sequence;

    public Simulation(KernelState kernel, MachineSpec spec, KernelTypes types, Ledger ledger)
    {
        Kernel = kernel;
        Spec = spec;
        Types = types;
        Ledger = ledger;
        NowNs = spec.BootTimeNs;
        Cpus = spec.Cpus;
        _open = new EventBatch?[Cpus];
        Ready = new Queue<EventBatch>[Cpus];
        _pools = new BatchPool[Cpus];
        for (uint i = 0; i < Cpus; i++)
        {
            Ready[i] = new Queue<EventBatch>();
            _pools[i] = new BatchPool(i, PoolSize);
        }
    }

    /// <summary>Batches of a CPU: what may be on the way to it.</summary>
    public const int PoolSize = 16;

    public KernelState Kernel { get; }

    public MachineSpec Spec { get; }

    public uint Cpus { get; }

    /// <summary>Offsets in kernel structures.</summary>
    public KernelTypes Types { get; }

    /// <summary>What really happened.</summary>
    public Ledger Ledger { get; }

    /// <summary>What is going to happen.</summary>
    public Calendar Calendar { get; } = new();

    /// <summary>The moment that the simulation has reached.</summary>
    public ulong NowNs { get; set; }

    /// <summary>End of the current window: the holder must not go past it.</summary>
    public ulong WindowEndNs { get; set; }

    /// <summary>Batches that CPUs still have to work on.</summary>
    public Queue<EventBatch>[] Ready { get; }

    /// <summary>Whether the window has to end because a CPU's credit is used up.</summary>
    public bool OutOfCredit { get; private set; }

    /// <summary>Windows that ended early for want of credit.</summary>
    public ulong CreditStalls { get; private set; }

    /// <summary>Largest number of batches that one CPU ever had waiting.</summary>
    public int MostBatchesWaiting { get; private set; }

    public KernelArena Arena => Kernel.Arena;

    /// <summary>Enters something that is to happen.</summary>
    public void At(ulong timeNs, SubsystemId source, SubsystemId target, int kind, object? subject = null, ulong value = 0) =>
        Calendar.Add(timeNs, source, target, kind, value, subject);

    /// <summary>The site of a function's entry or return, or of a tracepoint.</summary>
    public HookSite Site(SiteKind kind, string name) => Kernel.Hooks.Site(kind, name);

    /// <summary>The function with this name.</summary>
    public KernelFunction Function(string name)
    {
        if (!_functions.TryGetValue(name, out KernelFunction? function)) _functions.Add(name, function = new KernelFunction(this, name));
        return function;
    }

    /// <summary>The tracepoint with this name.</summary>
    public Tracepoint Tracepoint(string category, string name)
    {
        if (!_tracepoints.TryGetValue((category, name), out Tracepoint? tracepoint))
            _tracepoints.Add((category, name), tracepoint = new Tracepoint(this, category, name));
        return tracepoint;
    }

    /// <summary>The record of a tracepoint; only the common fields if this kernel has none by that name.</summary>
    public TracepointLayout LayoutOf(string category, string name) =>
        FindLayout(category, name) ?? new TracepointLayout(name, 0, []);

    /// <summary>The records of the kernel profile.</summary>
    public required Func<string, string, TracepointLayout?> FindLayout { get; init; }

    /// <summary>An event passes a site: counted, and delivered to the CPU if a program hangs there.</summary>
    public void Emit(HookSite site, uint cpu, int task, int stack, ReadOnlySpan<ulong> args, ulong result = 0)
    {
        site.Pass(cpu);
        if (!site.IsActive) return;
        EventRecord* record = Add(cpu, args.Length, 0);
        Fill(record, site.Index, task, stack);
        ulong* to = EventRecord.Args(record);
        for (int i = 0; i < args.Length; i++) to[i] = args[i];
        to[args.Length] = result;
    }

    /// <summary>A tracepoint passes; its record is given as the kernel lays it out.</summary>
    public void EmitTracepoint(HookSite site, uint cpu, int task, int stack, ReadOnlySpan<ulong> args, ReadOnlySpan<byte> data)
    {
        site.Pass(cpu);
        if (!site.IsActive) return;
        EventRecord* record = Add(cpu, args.Length, data.Length);
        Fill(record, site.Index, task, stack);
        ulong* to = EventRecord.Args(record);
        for (int i = 0; i < args.Length; i++) to[i] = args[i];
        to[args.Length] = 0;
        data.CopyTo(new Span<byte>(EventRecord.Record(record), data.Length));
    }

    /// <summary>Kernel memory changes on a CPU at this moment: programs on earlier events still see what was there.</summary>
    public void Store(uint cpu, ulong address, ReadOnlySpan<byte> data)
    {
        if (address == 0) return;
        EventRecord* record = Add(cpu, 1, data.Length);
        Fill(record, -1, 0, 0);
        EventRecord.Args(record)[0] = address;
        data.CopyTo(new Span<byte>(EventRecord.Record(record), data.Length));
    }

    /// <summary>Writes an unsigned number of 1, 2, 4 or 8 bytes, as <see cref="Store(uint, ulong, ReadOnlySpan{byte})"/> does.</summary>
    public void Store(uint cpu, ulong address, int size, ulong value)
    {
        if (address != 0 && size is > 0 and <= 8) Store(cpu, address, new ReadOnlySpan<byte>(&value, size));
    }

    /// <summary>Ends the window for the producers: all that was emitted is ready for the CPUs.</summary>
    public void CloseBatches()
    {
        for (uint cpu = 0; cpu < Cpus; cpu++)
        {
            if (_open[cpu] is not { Count: > 0 } batch) continue;
            Send(cpu, batch);
            _open[cpu] = null;
        }
    }

    /// <summary>All CPUs have worked off their events: a new window can begin.</summary>
    public void ReopenCredit()
    {
        if (OutOfCredit) CreditStalls++;
        OutOfCredit = false;
        foreach (EventBatch batch in _spilled) batch.Dispose();
        _spilled.Clear();
    }

    /// <summary>Sequence of the first event that waits for a CPU; <see cref="ulong.MaxValue"/> if none does.</summary>
    public ulong FrontOf(uint cpu) =>
        Ready[cpu].TryPeek(out EventBatch? batch) ? ((EventRecord*)(batch.Memory + batch.Position))->Sequence : ulong.MaxValue;

    private EventRecord* Add(uint cpu, int argCount, int recordBytes)
    {
        EventBatch? batch = _open[cpu];
        EventRecord* record = batch == null ? null : batch.Add(argCount, recordBytes);
        if (record != null) return record;
        if (batch != null) Send(cpu, batch);
        batch = _pools[cpu].Take();
        if (batch == null)
        {
            // The window ends after this moment; what the moment itself still emits must find room.
            batch = new EventBatch(_pools[cpu]);
            _spilled.Add(batch);
        }
        if (_pools[cpu].Free == 0) OutOfCredit = true;
        _open[cpu] = batch;
        return batch.Add(argCount, recordBytes);
    }

    private void Send(uint cpu, EventBatch batch)
    {
        Ready[cpu].Enqueue(batch);
        MostBatchesWaiting = Math.Max(MostBatchesWaiting, Ready[cpu].Count);
    }

    /// <summary>The CPU has finished its first batch.</summary>
    public void Finish(uint cpu)
    {
        EventBatch batch = Ready[cpu].Dequeue();
        if (_spilled.Contains(batch)) return;
        batch.Pool.Return(batch);
    }

    private void Fill(EventRecord* record, int site, int task, int stack)
    {
        record->Sequence = ++_sequence;
        record->TimeNs = NowNs;
        record->Site = site;
        record->Task = task;
        record->Stack = stack;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (BatchPool pool in _pools) pool.Dispose();
        foreach (EventBatch batch in _spilled) batch.Dispose();
    }
}
