using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Time;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Cpus;

// The way of an event through the CPU: from its record in a batch to the programs that hang on its site.
internal sealed unsafe partial class Cpu
{
    /// <summary>Works on all events of a batch that come before the limit; true if the batch is finished.</summary>
    public bool Drain(EventBatch batch, ulong limit)
    {
        MapEpoch.Enter(_epoch);
        try
        {
            HookSite[] sites = _kernel.Hooks.SiteArray;
            byte* end = batch.Memory + batch.Used;
            while (batch.Memory + batch.Position is var at && at < end)
            {
                var record = (EventRecord*)at;
                if (record->Sequence >= limit) return false;
                if (Timers.NextNs <= record->TimeNs) RunTimers(record->TimeNs);
                var next = (EventRecord*)(at + record->Bytes);
                if (next < end && next->Site == record->Site && record->Site >= 0 && FaultInjection == null && sites[record->Site].SeriesAttachment != null)
                {
                    RunSeries(sites[record->Site], batch, limit);
                    continue;
                }
                _event = record;
                // The event counts as taken before it runs: a crash must not run it twice.
                batch.Position += (int)record->Bytes;
                FaultInjection?.Invoke(this);
                if (record->Site < 0) Store(record);
                else Dispatch(sites[record->Site], record);
                _event = null;
            }
            return true;
        }
        finally
        {
            MapEpoch.Leave(_epoch);
        }
    }

    private void Store(EventRecord* record)
    {
        byte* target = _kernel.Arena.Translate(EventRecord.Args(record)[0], record->RecordBytes);
        if (target != null) Buffer.MemoryCopy(EventRecord.Record(record), target, record->RecordBytes, record->RecordBytes);
    }

    /// <summary>
    /// Runs the events of one site that follow each other, and a timer's expiry or another CPU's event at the
    /// latest ends them, in one call of the engine. The batch stands at the first of them.
    /// </summary>
    private void RunSeries(HookSite site, EventBatch batch, ulong limit)
    {
        Attachment attachment = site.AttachmentArray[0];
        HookKind kind = attachment.Kind;
        byte* at = batch.Memory + batch.Position, end = batch.Memory + batch.Used;
        ulong timerNs = Timers.NextNs;
        int count = 0;
        do
        {
            var record = (EventRecord*)at;
            if (record->Site != site.Index || record->Sequence >= limit || timerNs <= record->TimeNs) break;
            TaskIdentity* identity = _kernel.Identities.At(record->Task);
            RunRequest* request = _requests + count;
            request->Ctx = ContextFor(kind, site, record, identity, _regs + count);
            request->TimeNs = record->TimeNs;
            *(VisibleTask*)&request->PidTgid = *(VisibleTask*)identity;
            _seriesEvents[count++] = (nint)record;
            at += record->Bytes;
        }
        while (at < end && count < SeriesLength);
        batch.Position = (int)(at - batch.Memory);
        _currentTask = ((EventRecord*)_seriesEvents[count - 1])->Task;
        _series = count;
        BeginRun(site.AttachmentArray, 0);
        LoadedProgram program = attachment.Program.Loaded;
        if (_kernel.StatsEnabled)
        {
            ulong start = WallClock.NowNs;
            program.RunBatch(_requests, count, Context);
            attachment.Program.CountRun((ulong)count, WallClock.NowNs - start);
        }
        else
        {
            program.RunBatch(_requests, count, Context);
        }
        _active = false;
        _series = 0;
        attachment.Counters(Id).Runs += (ulong)count;
    }

    private void Dispatch(HookSite site, EventRecord* record)
    {
        Attachment[] attachments = site.AttachmentArray;
        if (attachments.Length == 0) return;
        Context->TimeNs = record->TimeNs;
        SetTask(record->Task);
        TaskIdentity* identity = _kernel.Identities.At(record->Task);
        void* regs = null;
        for (int i = 0; i < attachments.Length; i++)
        {
            Attachment attachment = attachments[i];
            _currentAttachment = i;
            ref AttachmentCounters counters = ref attachment.Counters(Id);
            if (attachment.PidFilter != 0 && attachment.PidFilter != (uint)(Context->PidTgid >> 32)
                || attachment.IsSession && !EnterSession(attachment, record, site))
            {
                counters.Filtered++;
                continue;
            }
            bool wantsRegs = attachment.Kind is HookKind.Kprobe or HookKind.Kretprobe or HookKind.Uprobe or HookKind.Uretprobe;
            void* ctx = wantsRegs && regs != null ? regs : ContextFor(attachment.Kind, site, record, identity, _regs);
            if (wantsRegs) regs = ctx;
            BeginRun(attachments, i);
            ulong result = Run(attachment.Program, ctx);
            _active = false;
            if (attachment.IsSession) NoteSession(attachment, site, result);
            counters.Runs++;
        }
        _currentAttachment = -1;
    }

    /// <summary>From here on a program of an attachment runs, as helpers see it.</summary>
    private void BeginRun(Attachment[] attachments, int index)
    {
        if (_attachments != attachments) _attachments = attachments;
        _currentAttachment = index;
        _active = true;
    }

    private ulong Run(BpfProgram program, void* ctx)
    {
        if (!_kernel.StatsEnabled) return program.Loaded.Run(ctx, Context);
        ulong start = WallClock.NowNs;
        ulong result = program.Loaded.Run(ctx, Context);
        program.CountRun(1, WallClock.NowNs - start);
        return result;
    }

    /// <summary>What r1 points to: part of the event's record, or registers that are filled from it.</summary>
    private static void* ContextFor(HookKind kind, HookSite site, EventRecord* record, TaskIdentity* identity, PerfEventData* regs)
    {
        switch (kind)
        {
            case HookKind.Tracepoint:
                return EventRecord.Record(record);
            case HookKind.RawTracepoint or HookKind.Fentry or HookKind.Fexit:
                return EventRecord.Args(record);
            case HookKind.PerfEvent:
                FillRegs(site, record, identity, &regs->Regs);
                regs->Regs.Ip = EventRecord.Args(record)[0];
                regs->SamplePeriod = EventRecord.Args(record)[1];
                regs->Addr = 0;
                return regs;
            default:
                FillRegs(site, record, identity, &regs->Regs);
                return regs;
        }
    }

    private static void FillRegs(HookSite site, EventRecord* record, TaskIdentity* identity, PtRegs* regs)
    {
        ulong* args = EventRecord.Args(record);
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
        bool user = site.Kind is SiteKind.UserEntry or SiteKind.UserReturn;
        regs->Cs = user ? 0x33ul : 0x10;
        regs->Ss = user ? 0x2bul : 0x18;
        regs->Sp = user ? 0x00007ffc00000000 + identity->Pid * 0x100000ul + 0xf000 : KernelStackOf(identity) - 0x120;
        regs->Bp = regs->Sp + 0x60;
        regs->Bx = identity->TaskAddress;
    }

    /// <summary>Top of a task's kernel stack, below the user's registers.</summary>
    private static ulong KernelStackOf(TaskIdentity* identity) =>
        identity->UserRegs != 0 ? identity->UserRegs : 0xffffc90000000000 + identity->Pid * 0x4000ul + 0x3f58;

    // Session programs: what the entry half returned decides whether the return half runs, and eight bytes
    // of cookie are kept in between, one entry a task and function.

    private static bool EnterSession(Attachment attachment, EventRecord* record, HookSite site) =>
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

    /// <summary>What a <see cref="RunRequest"/> carries of a task, and what a <see cref="TaskIdentity"/> begins with: ids, address, name.</summary>
    private struct VisibleTask
    {
        public fixed ulong Words[5];
    }
}
