using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers on maps, and those that call back into the program.</summary>
internal static unsafe class MapCode
{
    private const uint MaxLoops = 1 << 23;

    public static void Register(HelperList list)
    {
        list.Add("map_lookup_elem", &Lookup);
        list.Add("map_update_elem", &Update);
        list.Add("map_delete_elem", &Delete);
        list.Add("map_push_elem", &Push);
        list.Add("map_pop_elem", &Pop);
        list.Add("map_peek_elem", &Peek);
        list.Add("map_lookup_percpu_elem", &LookupPercpu);
        list.Add("for_each_map_elem", &ForEach);
        list.Add("loop", &Loop);
        list.Add("spin_lock", &SpinLock);
        list.Add("spin_unlock", &SpinUnlock);
    }

    private static BpfMap Map(ulong pointer) => BpfMap.FromHeader((MapHeader*)pointer);

    [UnmanagedCallersOnly]
    private static ulong Lookup(ulong map, ulong key, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramLookup((byte*)key, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Update(ulong map, ulong key, ulong value, ulong flags, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramUpdate((byte*)key, (byte*)value, flags, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Delete(ulong map, ulong key, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramDelete((byte*)key, context->CpuId);

    [UnmanagedCallersOnly]
    private static ulong Push(ulong map, ulong value, ulong flags, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramPush((byte*)value, flags);

    [UnmanagedCallersOnly]
    private static ulong Pop(ulong map, ulong value, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramPop((byte*)value);

    [UnmanagedCallersOnly]
    private static ulong Peek(ulong map, ulong value, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramPeek((byte*)value);

    [UnmanagedCallersOnly]
    private static ulong LookupPercpu(ulong map, ulong key, ulong cpu, ulong r4, ulong r5, RunContext* context) =>
        (ulong)Map(map).ProgramLookupPercpu((byte*)key, (uint)cpu);

    /// <summary>Calls back with map, key, value and the program's pointer; ends at the first result that is not 0.</summary>
    [UnmanagedCallersOnly]
    private static ulong ForEach(ulong map, ulong callback, ulong data, ulong flags, ulong r5, RunContext* context)
    {
        if (flags != 0) return HelperResult.Error(Errno.EINVAL);
        BpfMap target = Map(map);
        LoadedProgram program = LoadedProgram.Running(context)!;
        var cursor = default(MapCursor);
        ulong count = 0;
        while (target.ProgramNext(ref cursor, context->CpuId, out byte* key, out byte* value))
        {
            count++;
            ulong result = program.InvokeCallback((int)callback, map, (ulong)key, (ulong)value, data, 0, context);
            if (result != 0 || context->Fault != RunFault.None) break;
        }
        return count;
    }

    [UnmanagedCallersOnly]
    private static ulong Loop(ulong count, ulong callback, ulong data, ulong flags, ulong r5, RunContext* context)
    {
        if (flags != 0) return HelperResult.Error(Errno.EINVAL);
        if ((uint)count > MaxLoops) return HelperResult.Error(Errno.E2BIG);
        LoadedProgram program = LoadedProgram.Running(context)!;
        for (uint i = 0; i < (uint)count; i++)
        {
            ulong result = program.InvokeCallback((int)callback, i, data, 0, 0, 0, context);
            if (result != 0 || context->Fault != RunFault.None) return i + 1;
        }
        return (uint)count;
    }

    [UnmanagedCallersOnly]
    private static ulong SpinLock(ulong address, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ref int word = ref *(int*)address;
        var spinner = new SpinWait();
        while (Interlocked.CompareExchange(ref word, 1, 0) != 0) spinner.SpinOnce(-1);
        context->Nesting++;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong SpinUnlock(ulong address, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        context->Nesting--;
        Volatile.Write(ref *(int*)address, 0);
        return 0;
    }
}

/// <summary>What helpers return.</summary>
internal static class HelperResult
{
    /// <summary>A negated errno in 64 bits.</summary>
    public static ulong Error(Errno errno) => unchecked((ulong)-(long)errno);
}
