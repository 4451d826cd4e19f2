using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers that send data to user space: ring buffers, perf buffers, stack traces.</summary>
internal static unsafe class RingCode
{
    private const int MaxDepth = 127;

    public static void Register(HelperList list)
    {
        list.Add("ringbuf_output", &RingbufOutput);
        list.Add("ringbuf_reserve", &RingbufReserve);
        list.Add("ringbuf_submit", &RingbufSubmit);
        list.Add("ringbuf_discard", &RingbufDiscard);
        list.Add("ringbuf_query", &RingbufQuery);
        list.Add("ringbuf_reserve_dynptr", &RingbufReserveDynptr);
        list.Add("ringbuf_submit_dynptr", &RingbufSubmitDynptr);
        list.Add("ringbuf_discard_dynptr", &RingbufDiscardDynptr);
        list.Add("perf_event_output", &PerfEventOutput);
        list.Add("perf_event_read", &PerfEventRead);
        list.Add("perf_event_read_value", &PerfEventReadValue);
        list.Add("get_stackid", &GetStackid);
        list.Add("user_ringbuf_drain", &UserRingbufDrain);
    }

    private static RingbufMap Ring(ulong map) => (RingbufMap)BpfMap.FromHeader((MapHeader*)map);

    [UnmanagedCallersOnly]
    private static ulong RingbufOutput(ulong map, ulong data, ulong size, ulong flags, ulong r5, RunContext* context) =>
        (ulong)Ring(map).Output((byte*)data, (uint)size, flags);

    [UnmanagedCallersOnly]
    private static ulong RingbufReserve(ulong map, ulong size, ulong flags, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Ring(map).Reserve(size, flags);

    [UnmanagedCallersOnly]
    private static ulong RingbufSubmit(ulong sample, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        RingbufMap.FromSample((byte*)sample).Submit((byte*)sample, flags);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RingbufDiscard(ulong sample, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        RingbufMap.FromSample((byte*)sample).Discard((byte*)sample, flags);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RingbufQuery(ulong map, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context) => Ring(map).Query(flags);

    [UnmanagedCallersOnly]
    private static ulong RingbufReserveDynptr(ulong map, ulong size, ulong flags, ulong pointer, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        *dynptr = default;
        if (flags != 0) return HelperResult.Error(Errno.EINVAL);
        if ((uint)size > Dynptr.MaxSize) return HelperResult.Error(Errno.E2BIG);
        byte* sample = Ring(map).Reserve((uint)size, 0);
        if (sample == null) return HelperResult.Error(Errno.EINVAL);
        dynptr->Set(sample, (uint)size, DynptrKind.Ringbuf);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RingbufSubmitDynptr(ulong pointer, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        if (dynptr->Base != null) RingbufMap.FromSample(dynptr->Base).Submit(dynptr->Base, flags);
        *dynptr = default;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong RingbufDiscardDynptr(ulong pointer, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        if (dynptr->Base != null) RingbufMap.FromSample(dynptr->Base).Discard(dynptr->Base, flags);
        *dynptr = default;
        return 0;
    }

    /// <summary>The upper half of the flags asks network programs for packet bytes behind the data.</summary>
    [UnmanagedCallersOnly]
    private static ulong PerfEventOutput(ulong ctx, ulong map, ulong flags, ulong data, ulong size, RunContext* context)
    {
        var target = (PerfEventArrayMap)BpfMap.FromHeader((MapHeader*)map);
        var bytes = new ReadOnlySpan<byte>((byte*)data, (int)(uint)size);
        if (Cpu.Of(context).Packet is { } packet)
        {
            if ((flags & ~0x000fffff_fffffffful) != 0) return HelperResult.Error(Errno.EINVAL);
            ulong tail = flags >> 32;
            if (tail > packet.Length) return HelperResult.Error(Errno.EFAULT);
            return (ulong)target.Output((uint)flags, bytes, context->CpuId, new ReadOnlySpan<byte>(packet.Data, (int)tail));
        }
        if (flags > uint.MaxValue) return HelperResult.Error(Errno.EINVAL);
        return (ulong)target.Output(flags, bytes, context->CpuId);
    }

    /// <summary>Counters of the hardware are not modelled; what can be read are nanoseconds.</summary>
    [UnmanagedCallersOnly]
    private static ulong PerfEventRead(ulong map, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ulong index = (uint)flags == uint.MaxValue ? context->CpuId : (uint)flags;
        if (index >= ((MapHeader*)map)->MaxEntries) return HelperResult.Error(Errno.E2BIG);
        return ((ReferenceArray)BpfMap.FromHeader((MapHeader*)map))[(uint)index] == null ? HelperResult.Error(Errno.ENOENT) : context->TimeNs;
    }

    [UnmanagedCallersOnly]
    private static ulong PerfEventReadValue(ulong map, ulong flags, ulong buffer, ulong size, ulong r5, RunContext* context)
    {
        new Span<byte>((byte*)buffer, (int)(uint)size).Clear();
        if ((uint)size != 24) return HelperResult.Error(Errno.EINVAL);
        ulong index = (uint)flags == uint.MaxValue ? context->CpuId : (uint)flags;
        if (index >= ((MapHeader*)map)->MaxEntries) return HelperResult.Error(Errno.E2BIG);
        if (((ReferenceArray)BpfMap.FromHeader((MapHeader*)map))[(uint)index] == null) return HelperResult.Error(Errno.ENOENT);
        *(ulong*)buffer = *(ulong*)(buffer + 8) = *(ulong*)(buffer + 16) = context->TimeNs;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong GetStackid(ulong ctx, ulong map, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        const ulong Known = 0xff | 1 << 8 | StackTraceMap.FastStackCompare | StackTraceMap.ReuseStackId;
        if ((flags & ~Known) != 0) return HelperResult.Error(Errno.EINVAL);
        Span<ulong> addresses = stackalloc ulong[MaxDepth];
        int count = Cpu.Of(context).ReadStack(addresses, (flags & 1 << 8) != 0), skip = (int)(flags & 0xff);
        if (count <= skip) return HelperResult.Error(Errno.EFAULT);
        return (ulong)(long)((StackTraceMap)BpfMap.FromHeader((MapHeader*)map)).Store(addresses[skip..count], flags & ~0x1fful);
    }

    /// <summary>Calls back with a dynptr for each sample; ends at the first result that is not 0.</summary>
    [UnmanagedCallersOnly]
    private static ulong UserRingbufDrain(ulong map, ulong callback, ulong data, ulong flags, ulong r5, RunContext* context)
    {
        if ((flags & ~3ul) != 0) return HelperResult.Error(Errno.EINVAL);
        var ring = (UserRingbufMap)BpfMap.FromHeader((MapHeader*)map);
        int error = ring.BeginDrain();
        if (error != 0) return (ulong)(long)error;
        LoadedProgram program = LoadedProgram.Running(context)!;
        Dynptr dynptr;
        long drained = 0;
        for (int i = 0; i < UserRingbufMap.MostSamples; i++)
        {
            int size = ring.PeekSample(out byte* sample);
            if (size < 0)
            {
                if (size != -(int)Errno.ENODATA && drained == 0) drained = size;
                break;
            }
            dynptr = default;
            dynptr.Set(sample, (uint)size, DynptrKind.Local);
            ulong result = program.InvokeCallback((int)callback, (ulong)(&dynptr), data, 0, 0, 0, context);
            ring.ReleaseSample(size);
            drained++;
            if (result != 0 || context->Fault != RunFault.None) break;
        }
        ring.EndDrain();
        return (ulong)drained;
    }
}
