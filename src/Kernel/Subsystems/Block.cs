using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Time;

namespace BpfSim.Kernel.Subsystems;

/// <summary>A request to a disk.</summary>
internal sealed class BlockRequest
{
    public required SimTask Task { get; init; }

    public required bool Write { get; init; }

    public required bool Sync { get; init; }

    public required ulong Sector { get; init; }

    public required uint Bytes { get; init; }

    /// <summary>Address of the struct request.</summary>
    public ulong Address { get; init; }

    /// <summary>Address of the struct bio.</summary>
    public ulong Bio { get; init; }

    /// <summary>The CPU that issued it and takes the interrupt.</summary>
    public uint Cpu { get; init; }

    public ulong StartNs { get; init; }

    public ulong IssueNs { get; set; }

    /// <summary>Whether the task waits for it.</summary>
    public bool Waited { get; init; } = true;

    /// <summary>The direction as tracepoints print it.</summary>
    public string Rwbs => (Write ? "W" : "R") + (Sync ? "S" : "");
}

/// <summary>The block layer and its disks: requests queue, the disk works on some at once, an interrupt ends each.</summary>
internal sealed class Block : Subsystem
{
    private const int IssueEvent = 0;
    private readonly Simulation _simulation;
    private readonly Scheduler _scheduler;
    private readonly RandomStream _random;
    private readonly DiskSpec _disk;
    private readonly Queue<BlockRequest> _waiting = new();
    private readonly ulong _queueAddress, _diskAddress, _partAddress;
    private readonly World _world;
    private readonly Tracepoint _insert, _issue, _complete, _ioStart, _ioDone, _bioQueue;
    private readonly KernelFunction _submitBio, _startRequest, _accountStart, _accountDone, _updateRequest;
    private int _inFlight;

    public Block(Simulation simulation, Scheduler scheduler, World world, Interrupts interrupts)
    {
        _simulation = simulation;
        _scheduler = scheduler;
        _world = world;
        _random = new RandomStream(simulation.Kernel.Seed, "block");
        _disk = simulation.Spec.Workload.Disks.Count > 0 ? simulation.Spec.Workload.Disks[0] : new DiskSpec();
        _insert = simulation.Tracepoint("block", "block_rq_insert");
        _issue = simulation.Tracepoint("block", "block_rq_issue");
        _complete = simulation.Tracepoint("block", "block_rq_complete");
        _ioStart = simulation.Tracepoint("block", "block_io_start");
        _ioDone = simulation.Tracepoint("block", "block_io_done");
        _bioQueue = simulation.Tracepoint("block", "block_bio_queue");
        _submitBio = simulation.Function("submit_bio");
        _startRequest = simulation.Function("blk_mq_start_request");
        _accountStart = simulation.Function("blk_account_io_start");
        _accountDone = simulation.Function("blk_account_io_done");
        _updateRequest = simulation.Function("blk_update_request");
        interrupts.CompleteRequest = Complete;

        _queueAddress = simulation.Arena.Allocate(simulation.Types.SizeOf("request_queue", 1024));
        _diskAddress = simulation.Arena.Allocate(simulation.Types.SizeOf("gendisk", 1536));
        _partAddress = simulation.Arena.Allocate(simulation.Types.SizeOf("block_device", 1024));
        world.Put("request_queue", _queueAddress, "disk", _diskAddress);
        world.Put("gendisk", _diskAddress, "major", _disk.Major);
        world.Put("gendisk", _diskAddress, "first_minor", _disk.Minor);
        world.Put("gendisk", _diskAddress, "queue", _queueAddress);
        world.Put("gendisk", _diskAddress, "part0", _partAddress);
        world.Put("block_device", _partAddress, "bd_disk", _diskAddress);
        world.Put("block_device", _partAddress, "bd_dev", Device);
        if (simulation.Types.Field("gendisk", "disk_name") is { Exists: true } name)
            world.PutText(_diskAddress + name.Offset, _disk.Name, Math.Min(32, name.Size));
    }

    /// <inheritdoc/>
    public override SubsystemId Id => SubsystemId.Block;

    /// <summary>The disk's number as the kernel stores it: 20 bits of minor below the major.</summary>
    private ulong Device => (ulong)_disk.Major << 20 | _disk.Minor;

    /// <inheritdoc/>
    public override void Handle(in SimEvent what)
    {
        if (what.Kind == IssueEvent) Issue((BlockRequest)what.Subject!);
    }

    /// <summary>A task submits a request; with <paramref name="waited"/> its completion wakes the task.</summary>
    public void Submit(SimTask task, bool write, bool sync, ulong sector, uint bytes, bool waited = true)
    {
        var request = new BlockRequest
        {
            Task = task,
            Write = write,
            Sync = sync,
            Sector = sector,
            Bytes = bytes,
            Cpu = task.Cpu,
            StartNs = _simulation.NowNs,
            Address = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("request", 320)),
            Bio = _simulation.Arena.AllocateTransient(_simulation.Types.SizeOf("bio", 192)),
            Waited = waited,
        };
        uint flags = (write ? 1u : 0u) | (sync ? 1u << 11 : 0);
        Write("bio", request.Bio, "bi_opf", flags);
        Write("bio", request.Bio, "bi_bdev", _partAddress);
        Write("bio", request.Bio, "bi_iter.bi_sector", sector);
        Write("bio", request.Bio, "bi_iter.bi_size", bytes);
        Write("request", request.Address, "q", _queueAddress);
        Write("request", request.Address, "cmd_flags", flags);
        Write("request", request.Address, "__data_len", bytes);
        Write("request", request.Address, "__sector", sector);
        Write("request", request.Address, "part", _partAddress);
        Write("request", request.Address, "bio", request.Bio);
        Write("request", request.Address, "start_time_ns", _simulation.NowNs);

        _submitBio.Enter(task, request.Bio);
        if (_bioQueue.Begin(task, out RecordWriter record))
        {
            record.Set(_bioQueue.Field("dev"), Device).Set(_bioQueue.Field("sector"), sector).Set(_bioQueue.Field("nr_sector"), bytes / 512)
                .Set(_bioQueue.Field("rwbs"), request.Rwbs).Set(_bioQueue.Field("comm"), task.Comm);
            _bioQueue.Emit(task, request.Bio);
        }
        Emit(_ioStart, task, request, request.Address);
        _accountStart.Pass(task, 0, request.Address);
        if (_inFlight >= _disk.QueueDepth)
        {
            Emit(_insert, task, request, request.Address);
            _waiting.Enqueue(request);
        }
        else
        {
            Issue(request);
        }
        _submitBio.Leave(task, 0, request.Bio);

        void Write(string type, ulong address, string field, ulong value)
        {
            Memory.KernelField found = _simulation.Types.Field(type, field);
            if (found.Exists) _simulation.Store(task.Cpu, address + found.Offset, Math.Min(8, found.Size), value);
        }
    }

    private void Issue(BlockRequest request)
    {
        SimTask current = _scheduler.Current(request.Cpu);
        _inFlight++;
        request.IssueNs = _simulation.NowNs;
        _startRequest.Enter(current, request.Address);
        Emit(_issue, current, request, request.Address);
        _startRequest.Leave(current, 0, request.Address);
        ulong latency = _random.LogNormal(request.Write ? _disk.WriteLatencyNs : _disk.ReadLatencyNs, _disk.Spread) + request.Bytes / 4;
        _simulation.At(_simulation.NowNs + latency, SubsystemId.Block, SubsystemId.Interrupts, Interrupts.BlockEvent, request);
    }

    private void Complete(BlockRequest request, uint cpu)
    {
        SimTask current = _scheduler.Current(cpu);
        _inFlight--;
        ulong now = _simulation.NowNs;
        _updateRequest.Enter(current, request.Address, 0, request.Bytes);
        if (_complete.Begin(current, out RecordWriter record))
        {
            record.Set(_complete.Field("dev"), Device).Set(_complete.Field("sector"), request.Sector).Set(_complete.Field("nr_sector"), request.Bytes / 512)
                .Set(_complete.Field("rwbs"), request.Rwbs).Set(_complete.Field("cmd"), "");
            _complete.Emit(current, request.Address, 0, request.Bytes);
        }
        _updateRequest.Leave(current, 0, request.Address, 0, request.Bytes);
        _accountDone.Pass(current, 0, request.Address, now);
        Emit(_ioDone, current, request, request.Address);
        string detail = _disk.Name + ":" + request.Rwbs;
        _simulation.Ledger.Add("block_io", request.Task.Tgid, request.Task.Comm, detail, now - request.IssueNs);
        _simulation.Ledger.Add("block_io_queued", request.Task.Tgid, request.Task.Comm, detail, now - request.StartNs);
        _simulation.Ledger.Add("block_bytes", request.Task.Tgid, request.Task.Comm, detail, request.Bytes);
        if (request.Waited) _scheduler.Wake(request.Task, cpu);
        if (_waiting.TryDequeue(out BlockRequest? next))
            _simulation.At(now + 200, SubsystemId.Block, SubsystemId.Block, IssueEvent, next);
    }

    private void Emit(Tracepoint point, SimTask task, BlockRequest request, ulong argument)
    {
        if (!point.Begin(task, out RecordWriter record)) return;
        record.Set(point.Field("dev"), Device).Set(point.Field("sector"), request.Sector).Set(point.Field("nr_sector"), request.Bytes / 512)
            .Set(point.Field("bytes"), request.Bytes).Set(point.Field("rwbs"), request.Rwbs).Set(point.Field("comm"), request.Task.Comm)
            .Set(point.Field("cmd"), "");
        point.Emit(task, argument);
    }
}
