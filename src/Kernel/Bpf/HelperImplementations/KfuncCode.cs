using System.Numerics;
using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>The kernel functions that tracing programs call most: sections, iterators, references, cpumasks, dynptrs.</summary>
internal static unsafe class KfuncCode
{
    /// <summary>
    /// The functions as a table whose ids are those of the FUNCs in a kernel's BTF. Those that the simulation has not got
    /// answer NULL where they return a pointer, else -EOPNOTSUPP, so that a program never gets an errno for an address.
    /// </summary>
    public static HelperTable Bind(BtfData? btf)
    {
        if (btf == null) return HelperTable.Empty;
        var list = new KfuncList([]);
        Register(list);
        ObjectCode.Register(list);
        var rows = new List<HelperPrototype>();
        foreach (string name in KfuncTable.Names)
        {
            uint id = btf.FindId(name, BtfKind.Func);
            if (id == 0) continue;
            bool pointer = ReturnsPointer(btf, id);
            // The verifier checks kfuncs by their BTF; engines only need to know that all five registers may be read.
            var row = new HelperPrototype
            {
                Id = (int)id,
                Name = name,
                Return = pointer ? ReturnType.PtrToBtfId | ReturnType.MaybeNull : ReturnType.Integer,
                Args = [ArgType.Anything, ArgType.Anything, ArgType.Anything, ArgType.Anything, ArgType.Anything],
            };
            rows.Add(row.WithImplementation(list.Find(name) is var found && found != null ? found : pointer ? &Nothing : &NotSupported));
        }
        return new HelperTable(rows);
    }

    private static bool ReturnsPointer(BtfData btf, uint function) =>
        btf.Find(function) is { } func && btf.Find(func.TypeId) is { } prototype && prototype.TypeId != 0
        && btf.Resolve(prototype.TypeId).Kind == BtfKind.Ptr;

    /// <summary>A reference less; the last one frees the mask.</summary>
    public static void ReleaseCpumask(ulong mask)
    {
        if (Interlocked.Decrement(ref ((ulong*)mask)[MaskWords]) == 0) NativeMemory.Free((void*)mask);
    }

    private static void Register(KfuncList list)
    {
        void Add(string name, delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> pointer) => list.Add(name, pointer);

        Add("bpf_rcu_read_lock", &Nothing);
        Add("bpf_rcu_read_unlock", &Nothing);
        Add("bpf_preempt_disable", &Nothing);
        Add("bpf_preempt_enable", &Nothing);
        Add("bpf_local_irq_save", &SaveFlags);
        Add("bpf_local_irq_restore", &Nothing);
        Add("bpf_iter_num_new", &IterNumNew);
        Add("bpf_iter_num_next", &IterNumNext);
        Add("bpf_iter_num_destroy", &IterNumDestroy);
        Add("bpf_task_acquire", &Same);
        Add("bpf_task_release", &Nothing);
        Add("bpf_task_from_pid", &TaskFromPid);
        Add("bpf_task_from_vpid", &TaskFromPid);
        Add("bpf_cgroup_acquire", &Same);
        Add("bpf_cgroup_release", &Nothing);
        Add("bpf_cast_to_kern_ctx", &Same);
        Add("bpf_rdonly_cast", &Same);
        Add("bpf_get_kmem_cache", &Nothing);
        Add("bpf_cpumask_create", &CpumaskCreate);
        Add("bpf_cpumask_acquire", &CpumaskAcquire);
        Add("bpf_cpumask_release", &CpumaskRelease);
        Add("bpf_cpumask_first", &CpumaskFirst);
        Add("bpf_cpumask_first_zero", &CpumaskFirstZero);
        Add("bpf_cpumask_set_cpu", &CpumaskSet);
        Add("bpf_cpumask_clear_cpu", &CpumaskClearCpu);
        Add("bpf_cpumask_test_cpu", &CpumaskTest);
        Add("bpf_cpumask_test_and_set_cpu", &CpumaskTestAndSet);
        Add("bpf_cpumask_test_and_clear_cpu", &CpumaskTestAndClear);
        Add("bpf_cpumask_setall", &CpumaskSetAll);
        Add("bpf_cpumask_clear", &CpumaskClear);
        Add("bpf_cpumask_and", &CpumaskAnd);
        Add("bpf_cpumask_or", &CpumaskOr);
        Add("bpf_cpumask_xor", &CpumaskXor);
        Add("bpf_cpumask_equal", &CpumaskEqual);
        Add("bpf_cpumask_intersects", &CpumaskIntersects);
        Add("bpf_cpumask_subset", &CpumaskSubset);
        Add("bpf_cpumask_empty", &CpumaskEmpty);
        Add("bpf_cpumask_full", &CpumaskFull);
        Add("bpf_cpumask_copy", &CpumaskCopy);
        Add("bpf_cpumask_any_distribute", &CpumaskFirst);
        Add("bpf_cpumask_weight", &CpumaskWeight);
        Add("bpf_dynptr_slice", &DynptrSlice);
        Add("bpf_dynptr_slice_rdwr", &DynptrSlice);
        Add("bpf_dynptr_size", &DynptrSize);
        Add("bpf_dynptr_is_null", &DynptrIsNull);
        Add("bpf_dynptr_is_rdonly", &DynptrIsReadOnly);
        Add("bpf_dynptr_adjust", &DynptrAdjust);
        Add("bpf_dynptr_clone", &DynptrClone);
        Add("bpf_dynptr_from_skb", &DynptrFromSkb);
        Add("bpf_dynptr_from_xdp", &DynptrFromXdp);
        Add("bpf_strcmp", &StrCmp);
        Add("bpf_strlen", &StrLen);
    }

    [UnmanagedCallersOnly]
    private static ulong Nothing(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 0;

    [UnmanagedCallersOnly]
    private static ulong NotSupported(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => Error(Errno.EOPNOTSUPP);

    [UnmanagedCallersOnly]
    private static ulong Same(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => r1;

    [UnmanagedCallersOnly]
    private static ulong SaveFlags(ulong flags, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        *(ulong*)flags = 0x246;
        return 0;
    }

    // struct bpf_iter_num: current value and end, 4 bytes each.
    [UnmanagedCallersOnly]
    private static ulong IterNumNew(ulong iterator, ulong start, ulong end, ulong r4, ulong r5, RunContext* context)
    {
        int* state = (int*)iterator;
        state[0] = state[1] = 0;
        int first = (int)start, last = (int)end;
        if (first > last) return Error(Errno.EINVAL);
        if ((long)last - first > 8 * 1024 * 1024) return Error(Errno.E2BIG);
        // One less than the first value: next adds one before it looks.
        state[0] = unchecked(first - 1);
        state[1] = last;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong IterNumNext(ulong iterator, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        int* state = (int*)iterator;
        if ((long)state[0] + 1 >= state[1])
        {
            state[0] = state[1] = 0;
            return 0;
        }
        state[0]++;
        return iterator;
    }

    [UnmanagedCallersOnly]
    private static ulong IterNumDestroy(ulong iterator, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        *(ulong*)iterator = 0;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong TaskFromPid(ulong pid, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (uint)pid == (uint)context->PidTgid ? context->CurrentTask : Cpu.Of(context).Kernel.Identities.FindTask((uint)pid);

    // A cpumask is a native block of 256 bits: 32 bytes, and a count of references behind them.
    private const int MaskWords = 4, MaskBytes = 40;

    [UnmanagedCallersOnly]
    private static ulong CpumaskCreate(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        var mask = (ulong*)NativeMemory.AllocZeroed(MaskBytes);
        mask[MaskWords] = 1;
        return (ulong)mask;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskAcquire(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        Interlocked.Increment(ref ((ulong*)mask)[MaskWords]);
        return mask;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskRelease(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ReleaseCpumask(mask);
        return 0;
    }

    private static readonly ulong* s_noCpus = (ulong*)NativeMemory.AllocZeroed(MaskBytes);

    /// <summary>The kernel's own masks lie in simulated memory; a program's are native.</summary>
    private static ulong Native(ulong mask, RunContext* context)
    {
        if (mask < Memory.KernelArena.KernelBase) return mask == 0 ? (ulong)s_noCpus : mask;
        byte* found = Cpu.Of(context).Kernel.Arena.TranslateKernel(mask, MaskWords * 8);
        return found == null ? (ulong)s_noCpus : (ulong)found;
    }

    /// <summary>A negated errno as an int result leaves it in r0.</summary>
    private static ulong Error(Errno errno) => unchecked((uint)-(int)errno);

    private static uint Cpus(RunContext* context) => Cpu.Of(context).Kernel.Cpus;

    private static bool Bit(ulong mask, uint cpu) => (((ulong*)mask)[cpu / 64] >> (int)(cpu % 64) & 1) != 0;

    private static uint First(ulong mask, uint cpus, bool value)
    {
        for (uint cpu = 0; cpu < cpus; cpu++)
            if (Bit(mask, cpu) == value) return cpu;
        return cpus;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskFirst(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => First(Native(mask, context), Cpus(context), true);

    [UnmanagedCallersOnly]
    private static ulong CpumaskFirstZero(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => First(Native(mask, context), Cpus(context), false);

    private static bool Change(ulong cpu, ulong mask, bool value, RunContext* context)
    {
        uint index = (uint)cpu;
        if (index >= Cpus(context)) return false;
        bool old = Bit(mask, index);
        ref ulong word = ref ((ulong*)mask)[index / 64];
        if (value) word |= 1ul << (int)(index % 64);
        else word &= ~(1ul << (int)(index % 64));
        return old;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskSet(ulong cpu, ulong mask, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        Change(cpu, mask, true, context);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskClearCpu(ulong cpu, ulong mask, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        Change(cpu, mask, false, context);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskTest(ulong cpu, ulong mask, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (uint)cpu < Cpus(context) && Bit(Native(mask, context), (uint)cpu) ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong CpumaskTestAndSet(ulong cpu, ulong mask, ulong r3, ulong r4, ulong r5, RunContext* context) => Change(cpu, mask, true, context) ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong CpumaskTestAndClear(ulong cpu, ulong mask, ulong r3, ulong r4, ulong r5, RunContext* context) => Change(cpu, mask, false, context) ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong CpumaskSetAll(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        for (uint cpu = 0; cpu < Cpus(context); cpu++) Change(cpu, mask, true, context);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskClear(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        new Span<ulong>((ulong*)mask, MaskWords).Clear();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskAnd(ulong to, ulong a, ulong b, ulong r4, ulong r5, RunContext* context)
    {
        (a, b) = (Native(a, context), Native(b, context));
        ulong any = 0;
        for (int i = 0; i < MaskWords; i++) any |= ((ulong*)to)[i] = ((ulong*)a)[i] & ((ulong*)b)[i];
        return any != 0 ? 1u : 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskOr(ulong to, ulong a, ulong b, ulong r4, ulong r5, RunContext* context)
    {
        (a, b) = (Native(a, context), Native(b, context));
        for (int i = 0; i < MaskWords; i++) ((ulong*)to)[i] = ((ulong*)a)[i] | ((ulong*)b)[i];
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskXor(ulong to, ulong a, ulong b, ulong r4, ulong r5, RunContext* context)
    {
        (a, b) = (Native(a, context), Native(b, context));
        for (int i = 0; i < MaskWords; i++) ((ulong*)to)[i] = ((ulong*)a)[i] ^ ((ulong*)b)[i];
        return 0;
    }

    private static ReadOnlySpan<ulong> Words(ulong mask) => new((ulong*)mask, MaskWords);

    [UnmanagedCallersOnly]
    private static ulong CpumaskEqual(ulong a, ulong b, ulong r3, ulong r4, ulong r5, RunContext* context) => Words(Native(a, context)).SequenceEqual(Words(Native(b, context))) ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong CpumaskIntersects(ulong a, ulong b, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        (a, b) = (Native(a, context), Native(b, context));
        for (int i = 0; i < MaskWords; i++)
            if ((((ulong*)a)[i] & ((ulong*)b)[i]) != 0) return 1;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskSubset(ulong a, ulong b, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        (a, b) = (Native(a, context), Native(b, context));
        for (int i = 0; i < MaskWords; i++)
            if ((((ulong*)a)[i] & ~((ulong*)b)[i]) != 0) return 0;
        return 1;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskEmpty(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => Words(Native(mask, context)).ContainsAnyExcept(0ul) ? 0 : 1u;

    [UnmanagedCallersOnly]
    private static ulong CpumaskFull(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => First(Native(mask, context), Cpus(context), false) == Cpus(context) ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong CpumaskCopy(ulong to, ulong from, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        Words(Native(from, context)).CopyTo(new Span<ulong>((ulong*)to, MaskWords));
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CpumaskWeight(ulong mask, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        int weight = 0;
        foreach (ulong word in Words(Native(mask, context))) weight += BitOperations.PopCount(word);
        return (ulong)weight;
    }

    [UnmanagedCallersOnly]
    private static ulong DynptrSlice(ulong pointer, ulong offset, ulong buffer, ulong size, ulong r5, RunContext* context) =>
        (ulong)((Dynptr*)pointer)->At((uint)offset, (uint)size, context, out _);

    [UnmanagedCallersOnly]
    private static ulong DynptrSize(ulong pointer, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        ((Dynptr*)pointer)->Base == null ? Error(Errno.EINVAL) : ((Dynptr*)pointer)->Size;

    [UnmanagedCallersOnly]
    private static ulong DynptrIsNull(ulong pointer, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => ((Dynptr*)pointer)->Base == null ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong DynptrIsReadOnly(ulong pointer, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        ((Dynptr*)pointer)->Base != null && ((Dynptr*)pointer)->IsReadOnly ? 1u : 0;

    [UnmanagedCallersOnly]
    private static ulong DynptrAdjust(ulong pointer, ulong start, ulong end, ulong r4, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        if (dynptr->Base == null || (uint)start > (uint)end) return Error(Errno.EINVAL);
        if ((uint)end > dynptr->Size) return Error(Errno.ERANGE);
        dynptr->Narrow((uint)start, (uint)end - (uint)start);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong DynptrClone(ulong from, ulong to, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        *(Dynptr*)to = *(Dynptr*)from;
        return ((Dynptr*)from)->Base == null ? Error(Errno.EINVAL) : 0;
    }

    [UnmanagedCallersOnly]
    private static ulong DynptrFromSkb(ulong ctx, ulong flags, ulong pointer, ulong r4, ulong r5, RunContext* context) => FromPacket(flags, pointer, DynptrKind.Skb, context);

    [UnmanagedCallersOnly]
    private static ulong DynptrFromXdp(ulong ctx, ulong flags, ulong pointer, ulong r4, ulong r5, RunContext* context) => FromPacket(flags, pointer, DynptrKind.Xdp, context);

    private static ulong FromPacket(ulong flags, ulong pointer, DynptrKind kind, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        *dynptr = default;
        if (flags != 0 || Cpu.Of(context).Packet is not { } packet) return Error(Errno.EINVAL);
        // Socket filters may not write packets.
        bool readOnly = LoadedProgram.Running(context)?.Program.Type == ProgramType.SocketFilter;
        dynptr->Set(packet.Data, packet.Length, kind, readOnly);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong StrCmp(ulong left, ulong right, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        for (uint i = 0; i < 4096; i++)
        {
            byte a, b;
            if (!MemoryCode.TryRead(context, &a, 1, left + i, false) || !MemoryCode.TryRead(context, &b, 1, right + i, false)) return Error(Errno.EFAULT);
            if (a != b) return a < b ? uint.MaxValue : 1u;
            if (a == 0) return 0;
        }
        return Error(Errno.E2BIG);
    }

    [UnmanagedCallersOnly]
    private static ulong StrLen(ulong text, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        for (uint i = 0; i < 4096; i++)
        {
            byte c;
            if (!MemoryCode.TryRead(context, &c, 1, text + i, false)) return Error(Errno.EFAULT);
            if (c == 0) return i;
        }
        return Error(Errno.E2BIG);
    }
}

/// <summary>Collects implementations of kernel functions by name.</summary>
internal readonly unsafe struct KfuncList(Dictionary<string, nint> code)
{
    /// <summary>Enters an implementation.</summary>
    public void Add(string name, delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> pointer) => code.Add(name, (nint)pointer);

    /// <summary>The implementation of a function; null if there is none.</summary>
    public delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong> Find(string name) =>
        (delegate* unmanaged<ulong, ulong, ulong, ulong, ulong, RunContext*, ulong>)code.GetValueOrDefault(name);
}
