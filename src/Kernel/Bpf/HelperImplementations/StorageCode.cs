using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers on things that live in or beside map values: local storage, kptrs, timers.</summary>
internal static unsafe class StorageCode
{
    private const ulong TimerAbsolute = 1, TimerPinned = 2;
    private static readonly ConcurrentDictionary<ulong, BpfTimer> s_timers = new();

    public static void Register(HelperList list)
    {
        list.Add("task_storage_get", &StorageGet);
        list.Add("task_storage_delete", &StorageDelete);
        list.Add("sk_storage_get", &StorageGet);
        list.Add("sk_storage_delete", &StorageDelete);
        list.Add("inode_storage_get", &StorageGet);
        list.Add("inode_storage_delete", &StorageDelete);
        list.Add("cgrp_storage_get", &StorageGet);
        list.Add("cgrp_storage_delete", &StorageDelete);
        list.Add("get_local_storage", &LocalStorage);
        list.Add("kptr_xchg", &KptrXchg);
        list.Add("timer_init", &TimerInit);
        list.Add("timer_set_callback", &TimerSetCallback);
        list.Add("timer_start", &TimerStart);
        list.Add("timer_cancel", &TimerCancel);
    }

    [UnmanagedCallersOnly]
    private static ulong StorageGet(ulong map, ulong owner, ulong value, ulong flags, ulong r5, RunContext* context) =>
        (ulong)((LocalStorageMap)BpfMap.FromHeader((MapHeader*)map)).ProgramGet(owner, (byte*)value, flags);

    [UnmanagedCallersOnly]
    private static ulong StorageDelete(ulong map, ulong owner, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)(long)((LocalStorageMap)BpfMap.FromHeader((MapHeader*)map)).ProgramRemove(owner);

    [UnmanagedCallersOnly]
    private static ulong LocalStorage(ulong map, ulong flags, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)((MapHeader*)map)->Data + (context->CpuId * ((MapHeader*)map)->CpuStride);

    [UnmanagedCallersOnly]
    private static ulong KptrXchg(ulong slot, ulong value, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Interlocked.Exchange(ref *(long*)slot, (long)value);

    [UnmanagedCallersOnly]
    private static ulong TimerInit(ulong timer, ulong map, ulong clock, ulong r4, ulong r5, RunContext* context)
    {
        // CLOCK_REALTIME, CLOCK_MONOTONIC and CLOCK_BOOTTIME exist; all run with the simulation's clock.
        if (clock is not (0 or 1 or 7)) return HelperResult.Error(Errno.EINVAL);
        var created = new BpfTimer { Map = map, Value = ValueOf(timer, map) };
        return s_timers.TryAdd(timer, created) ? 0 : HelperResult.Error(Errno.EBUSY);
    }

    /// <summary>Start of the map value that a timer lies in: the map says where in it timers are.</summary>
    private static ulong ValueOf(ulong timer, ulong map)
    {
        foreach (SpecialField field in BpfMap.FromHeader((MapHeader*)map).Spec.SpecialFields)
            if (field.Kind == SpecialFieldKind.Timer) return timer - (ulong)field.Offset;
        return timer;
    }

    [UnmanagedCallersOnly]
    private static ulong TimerSetCallback(ulong timer, ulong callback, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (!s_timers.TryGetValue(timer, out BpfTimer? found)) return HelperResult.Error(Errno.EINVAL);
        found.Program = LoadedProgram.Running(context);
        found.Callback = (int)callback;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong TimerStart(ulong timer, ulong nanoseconds, ulong flags, ulong r4, ulong r5, RunContext* context)
    {
        if ((flags & ~(TimerAbsolute | TimerPinned)) != 0) return HelperResult.Error(Errno.EINVAL);
        if (!s_timers.TryGetValue(timer, out BpfTimer? found) || found.Program == null) return HelperResult.Error(Errno.EINVAL);
        TimerQueue.Cancel(found);
        found.ExpiresNs = (flags & TimerAbsolute) != 0 ? nanoseconds : context->TimeNs + nanoseconds;
        Cpu.Of(context).Timers.Add(found);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong TimerCancel(ulong timer, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (!s_timers.TryGetValue(timer, out BpfTimer? found)) return HelperResult.Error(Errno.EINVAL);
        if (found.Running) return HelperResult.Error(Errno.EDEADLK);
        return TimerQueue.Cancel(found) ? 1ul : 0;
    }

    /// <summary>A map value dies: its timer, if it has one, is forgotten, and what its kptrs, lists and trees own is dropped.</summary>
    public static void Release(BpfMap map, nint value)
    {
        foreach (SpecialField field in map.Spec.SpecialFields)
            if (field.Kind == SpecialFieldKind.Timer && s_timers.TryRemove((ulong)value + (ulong)field.Offset, out BpfTimer? timer)) TimerQueue.Cancel(timer);
        if (map.Spec.Btf is Vm.Btf.BtfData btf) ProgramObject.ReleaseFields(btf, map.Spec.SpecialFields, (byte*)value);
    }
}
