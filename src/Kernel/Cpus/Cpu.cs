using System.Runtime.InteropServices;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Memory;
using BpfSim.Kernel.Time;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Cpus;

/// <summary>
/// One simulated CPU: owns the run context that its programs see, and runs the programs attached to the
/// sites that its events pass. Its actor may crash and be restarted; this state stays. Used by one thread
/// at a time.
/// </summary>
internal sealed unsafe class Cpu : IDisposable
{
    private readonly KernelState _kernel;
    private readonly GCHandle _self;
    private readonly PerfEventData* _regs;
    private readonly EpochReader* _epoch;
    private int _currentAttachment = -1;
    private int _currentTask = -1;
    private bool _active;

    public Cpu(uint id, KernelState kernel)
    {
        Id = id;
        _kernel = kernel;
        _self = GCHandle.Alloc(this);
        _epoch = MapEpoch.Register();
        _regs = (PerfEventData*)NativeMemory.AllocZeroed((nuint)sizeof(PerfEventData));
        _regs->Regs.Cs = 0x10;
        _regs->Regs.Ss = 0x18;
        _regs->Regs.Flags = 0x246;
        Context = (RunContext*)NativeMemory.AlignedAlloc((nuint)sizeof(RunContext), 64);
        *Context = new RunContext
        {
            CpuId = id,
            ArenaBase = KernelArena.KernelBase,
            ArenaLength = kernel.Arena.Bytes,
            ArenaMemory = kernel.Arena.Memory,
            Owner = GCHandle.ToIntPtr(_self),
            RandomState = new RandomStream(kernel.Seed, $"cpu{id}").Next() | 1,
            Fuel = long.MaxValue,
        };
    }

    /// <summary>The CPU's number.</summary>
    public uint Id { get; }

    /// <summary>What programs on this CPU see.</summary>
    public RunContext* Context { get; }

    /// <summary>The machine's shared state.</summary>
    public KernelState Kernel => _kernel;

    /// <summary>The attachment whose program runs, null in test runs and between runs.</summary>
    public Attachment? CurrentAttachment { get; private set; }

    /// <summary>The event being worked on, null outside.</summary>
    public EventRecord* CurrentEvent { get; private set; }

    /// <summary>The identity of the current task, null if none was set.</summary>
    public TaskIdentity* CurrentIdentity => _currentTask < 0 ? null : _kernel.Identities.At(_currentTask);

    /// <summary>Timers that programs started on this CPU.</summary>
    public TimerQueue Timers { get; } = new();

    /// <summary>The current task's name.</summary>
    public string CommText
    {
        get
        {
            var span = new ReadOnlySpan<byte>(Context->Comm, 16);
            int end = span.IndexOf((byte)0);
            return System.Text.Encoding.UTF8.GetString(end < 0 ? span : span[..end]);
        }
    }

    /// <summary>The five flags of a trace line: probes run with interrupts off, tracepoints only without preemption.</summary>
    public string TraceFlags => CurrentAttachment?.Kind switch
    {
        HookKind.Tracepoint or HookKind.RawTracepoint => "...21",
        HookKind.Fentry or HookKind.Fexit or null => "....1",
        _ => "d....",
    };

    /// <summary>The packet of a test run; null outside of one.</summary>
    public PacketBuffer? Packet { get; set; }

    /// <summary>Runs a program outside of any event; returns the last result and the mean wall time of a run in nanoseconds.</summary>
    public uint RunTest(BpfProgram program, void* context, uint repeat, out double nanoseconds)
    {
        MapEpoch.Enter(_epoch);
        ulong result = 0, start = WallClock.NowNs;
        for (uint i = 0; i < repeat; i++)
        {
            result = program.Loaded.Run(context, Context);
            if (Context->Fault != RunFault.None) break;
        }
        ulong total = WallClock.NowNs - start;
        MapEpoch.Leave(_epoch);
        if (_kernel.StatsEnabled) program.CountRun(repeat, total);
        nanoseconds = (double)total / repeat;
        return (uint)result;
    }

    /// <summary>Where seq_printf writes while an iterator runs; null outside.</summary>
    public SeqBuffer? SeqOutput { get; set; }

    /// <summary>The call chain of the current event, innermost first; returns its length.</summary>
    public int ReadStack(Span<ulong> addresses, bool user)
    {
        if (CurrentEvent == null || CurrentIdentity == null) return 0;
        if (!user) return _kernel.Stacks.Read(CurrentEvent->Stack, addresses);
        // User code is not modelled by instruction: libc's wrapper, the program, its start.
        uint pid = CurrentIdentity->Tgid;
        if (pid == 0 || addresses.Length < 3) return 0;
        addresses[0] = 0x00007f5aff100014;
        addresses[1] = 0x0000555555555000ul + (pid & 0xff) * 16;
        addresses[2] = 0x00007f5aff029d90;
        return 3;
    }

    /// <summary>Called before each event; tests make it throw to see the actor crash.</summary>
    public Action<Cpu>? FaultInjection { get; set; }

    /// <summary>The CPU behind a run context, as helpers find it.</summary>
    public static Cpu Of(RunContext* context) => (Cpu)GCHandle.FromIntPtr(context->Owner).Target!;

    /// <summary>Makes a task the current one, as far as programs can see.</summary>
    public void SetTask(int task)
    {
        if (task == _currentTask) return;
        _currentTask = task;
        TaskIdentity* identity = _kernel.Identities.At(task);
        Context->PidTgid = identity->PidTgid;
        Context->UidGid = identity->UidGid;
        Context->CurrentTask = identity->TaskAddress;
        ((ulong*)Context->Comm)[0] = ((ulong*)identity->Comm)[0];
        ((ulong*)Context->Comm)[1] = ((ulong*)identity->Comm)[1];
    }

    /// <summary>Works on all events of a batch that come before the limit; true if the batch is finished.</summary>
    public bool Drain(EventBatch batch, ulong limit)
    {
        MapEpoch.Enter(_epoch);
        try
        {
            while (batch.Position < batch.Used)
            {
                var record = (EventRecord*)(batch.Memory + batch.Position);
                if (record->Sequence >= limit) return false;
                if (Timers.NextNs <= record->TimeNs) RunTimers(record->TimeNs);
                CurrentEvent = record;
                // The event counts as taken before it runs: a crash must not run it twice.
                batch.Position += (int)record->Bytes;
                FaultInjection?.Invoke(this);
                if (record->Site < 0) Store(record);
                else Dispatch(record);
                CurrentEvent = null;
            }
            return true;
        }
        finally
        {
            MapEpoch.Leave(_epoch);
        }
    }

    /// <summary>After a crash: what the event in work would still have run is counted as lost.</summary>
    public void AccountCrash()
    {
        EventRecord* record = CurrentEvent;
        CurrentEvent = null;
        CurrentAttachment = null;
        _active = false;
        Context->Nesting = 0;
        Context->Program = 0;
        if (record == null || record->Site < 0) return;
        Attachment[] attachments = _kernel.Hooks.SiteArray[record->Site].AttachmentArray;
        for (int i = Math.Max(0, _currentAttachment); i < attachments.Length; i++) attachments[i].Counters(Id).Lost++;
        _currentAttachment = -1;
    }

    /// <summary>Fires the timers that are due by now.</summary>
    public void RunTimers(ulong now)
    {
        while (Timers.NextNs <= now)
        {
            BpfTimer timer = Timers.Take();
            Context->TimeNs = timer.ExpiresNs;
            MapEpoch.Enter(_epoch);
            timer.Fire(Context);
            MapEpoch.Leave(_epoch);
        }
    }

    private void Store(EventRecord* record)
    {
        byte* target = _kernel.Arena.Translate(EventRecord.Args(record)[0], record->RecordBytes);
        if (target != null) Buffer.MemoryCopy(EventRecord.Record(record), target, record->RecordBytes, record->RecordBytes);
    }

    private void Dispatch(EventRecord* record)
    {
        HookSite site = _kernel.Hooks.SiteArray[record->Site];
        Attachment[] attachments = site.AttachmentArray;
        if (attachments.Length == 0) return;
        Context->TimeNs = record->TimeNs;
        SetTask(record->Task);
        ulong* args = EventRecord.Args(record);
        bool regsReady = false;
        for (int i = 0; i < attachments.Length; i++)
        {
            Attachment attachment = attachments[i];
            _currentAttachment = i;
            ref AttachmentCounters counters = ref attachment.Counters(Id);
            if (attachment.PidFilter != 0 && attachment.PidFilter != (uint)(Context->PidTgid >> 32))
            {
                counters.Filtered++;
                continue;
            }
            void* ctx;
            switch (attachment.Kind)
            {
                case HookKind.Tracepoint:
                    ctx = EventRecord.Record(record);
                    break;
                case HookKind.RawTracepoint or HookKind.Fentry or HookKind.Fexit:
                    ctx = args;
                    break;
                case HookKind.PerfEvent:
                    FillSample(site, record);
                    ctx = _regs;
                    break;
                default:
                    if (!regsReady) FillRegs(site, record, args);
                    regsReady = true;
                    ctx = _regs;
                    break;
            }
            if (attachment.IsSession && !EnterSession(attachment, record, site, args))
            {
                counters.Filtered++;
                continue;
            }
            ulong result = RunAttached(attachment, ctx);
            if (attachment.IsSession) NoteSession(attachment, site, result);
            counters.Runs++;
        }
        _currentAttachment = -1;
    }

    private ulong RunAttached(Attachment attachment, void* ctx)
    {
        CurrentAttachment = attachment;
        _active = true;
        BpfProgram program = attachment.Program;
        ulong result;
        if (_kernel.StatsEnabled)
        {
            ulong start = WallClock.NowNs;
            result = program.Loaded.Run(ctx, Context);
            program.CountRun(1, WallClock.NowNs - start);
        }
        else
        {
            result = program.Loaded.Run(ctx, Context);
        }
        _active = false;
        CurrentAttachment = null;
        return result;
    }

    /// <summary>
    /// An event that a running program causes by what it calls (bpf_trace_printk passes a tracepoint): the
    /// kernel's recursion guard keeps programs on it from running, and counts a miss.
    /// </summary>
    public void PassNested(HookSite site)
    {
        site.Pass(Id);
        foreach (Attachment attachment in site.AttachmentArray)
        {
            if (!_active) continue;
            attachment.Counters(Id).Recursion++;
            attachment.Program.CountRecursionMiss();
        }
    }

    private void FillRegs(HookSite site, EventRecord* record, ulong* args)
    {
        PtRegs* regs = &_regs->Regs;
        bool isReturn = site.Kind is SiteKind.FunctionReturn or SiteKind.UserReturn;
        int count = record->ArgCount;
        regs->Di = count > 0 ? args[0] : 0;
        regs->Si = count > 1 ? args[1] : 0;
        regs->Dx = count > 2 ? args[2] : 0;
        regs->Cx = count > 3 ? args[3] : 0;
        regs->R8 = count > 4 ? args[4] : 0;
        regs->R9 = count > 5 ? args[5] : 0;
        regs->Ax = isReturn ? args[count] : 0;
        regs->OrigAx = ulong.MaxValue;
        regs->Ip = site.Address;
        TaskIdentity* identity = CurrentIdentity;
        bool user = site.Kind is SiteKind.UserEntry or SiteKind.UserReturn;
        regs->Cs = user ? 0x33ul : 0x10;
        regs->Ss = user ? 0x2bul : 0x18;
        regs->Sp = user ? 0x00007ffc00000000 + identity->Pid * 0x100000ul + 0xf000 : KernelStackOf(identity) - 0x120;
        regs->Bp = regs->Sp + 0x60;
        regs->Bx = identity->TaskAddress;
    }

    private void FillSample(HookSite site, EventRecord* record)
    {
        ulong* args = EventRecord.Args(record);
        FillRegs(site, record, args);
        _regs->Regs.Ip = args[0];
        _regs->SamplePeriod = args[1];
        _regs->Addr = 0;
    }

    /// <summary>Top of a task's kernel stack, below the user's registers.</summary>
    private static ulong KernelStackOf(TaskIdentity* identity) =>
        identity->UserRegs != 0 ? identity->UserRegs : 0xffffc90000000000 + identity->Pid * 0x4000ul + 0x3f58;

    // Session programs: what the entry half returned decides whether the return half runs, and eight bytes
    // of cookie are kept in between, one entry a task and function.

    private static bool EnterSession(Attachment attachment, EventRecord* record, HookSite site, ulong* args) =>
        site.Kind is SiteKind.FunctionEntry or SiteKind.UserEntry || !attachment.SessionDeclined.Contains(record->Task);

    private void NoteSession(Attachment attachment, HookSite site, ulong result)
    {
        if (site.Kind is not (SiteKind.FunctionEntry or SiteKind.UserEntry)) return;
        foreach (Attachment other in attachment.Link?.Attachments ?? [])
        {
            if (other == attachment || other.Site.Name != site.Name) continue;
            if (result != 0) other.SessionDeclined.Add(_currentTask);
            else other.SessionDeclined.Remove(_currentTask);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        MapEpoch.Unregister(_epoch);
        NativeMemory.Free(_regs);
        NativeMemory.AlignedFree(Context);
        _self.Free();
    }
}
