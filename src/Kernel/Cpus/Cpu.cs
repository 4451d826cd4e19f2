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
internal sealed unsafe partial class Cpu : IDisposable
{
    private readonly KernelState _kernel;
    private readonly GCHandle _self;
    private readonly PerfEventData* _regs;
    private readonly RunRequest* _requests;
    private readonly nint[] _seriesEvents = new nint[SeriesLength];
    private readonly EpochReader* _epoch;
    private EventRecord* _event;
    private int _series;
    private Attachment[] _attachments = [];
    private int _currentAttachment = -1;
    private int _currentTask = -1;
    private bool _active;

    /// <summary>Events that one call of an engine runs at most: their registers and requests stay in the first cache.</summary>
    private const int SeriesLength = 32;

    public Cpu(uint id, KernelState kernel)
    {
        Id = id;
        _kernel = kernel;
        _self = GCHandle.Alloc(this);
        _epoch = MapEpoch.Register();
        _regs = (PerfEventData*)NativeMemory.AllocZeroed(SeriesLength, (nuint)sizeof(PerfEventData));
        for (int i = 0; i < SeriesLength; i++) _regs[i].Regs.Flags = 0x246;
        _requests = (RunRequest*)NativeMemory.AllocZeroed(SeriesLength, (nuint)sizeof(RunRequest));
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
    public Attachment? CurrentAttachment => _active ? _attachments[_currentAttachment] : null;

    /// <summary>The event being worked on, null outside.</summary>
    public EventRecord* CurrentEvent
    {
        get
        {
            // The engine is somewhere in a series: the context tells where.
            for (int i = 0; i < _series; i++)
                if (_requests[i].Ctx == Context->Ctx) return (EventRecord*)_seriesEvents[i];
            return _event;
        }
    }

    /// <summary>The identity of the current task, null if none was set.</summary>
    public TaskIdentity* CurrentIdentity => _series != 0 && CurrentEvent is var record && record != null
        ? _kernel.Identities.At(record->Task)
        : _currentTask < 0 ? null : _kernel.Identities.At(_currentTask);

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
        EventRecord* record = CurrentEvent;
        if (record == null) return 0;
        if (!user) return _kernel.Stacks.Read(record->Stack, addresses);
        // User code is not modelled by instruction: libc's wrapper, the program, its start.
        uint pid = _kernel.Identities.At(record->Task)->Tgid;
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

    /// <summary>After a crash: what the event in work would still have run is counted as lost.</summary>
    public void AccountCrash()
    {
        EventRecord* record = _event;
        _event = null;
        if (_series != 0) _attachments[0].Counters(Id).Lost += (ulong)_series;
        _series = 0;
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

    /// <inheritdoc/>
    public void Dispose()
    {
        MapEpoch.Unregister(_epoch);
        NativeMemory.Free(_regs);
        NativeMemory.Free(_requests);
        NativeMemory.AlignedFree(Context);
        _self.Free();
    }
}
