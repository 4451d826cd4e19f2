using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers that tell who runs, where and when; and those that act on tasks.</summary>
internal static unsafe class TaskCode
{
    public static void Register(HelperList list)
    {
        list.Add("ktime_get_ns", &KtimeGetNs);
        list.Add("ktime_get_boot_ns", &KtimeGetNs);
        list.Add("ktime_get_coarse_ns", &KtimeGetCoarseNs);
        list.Add("ktime_get_tai_ns", &KtimeGetTaiNs);
        list.Add("jiffies64", &Jiffies);
        list.Add("get_prandom_u32", &Prandom);
        list.Add("get_smp_processor_id", &SmpProcessorId);
        list.Add("get_numa_node_id", &NumaNode);
        list.Add("get_current_pid_tgid", &PidTgid);
        list.Add("get_current_uid_gid", &UidGid);
        list.Add("get_current_comm", &Comm);
        list.Add("get_current_task", &CurrentTask);
        list.Add("get_current_task_btf", &CurrentTask);
        list.Add("get_current_cgroup_id", &CgroupId);
        list.Add("get_current_ancestor_cgroup_id", &AncestorCgroupId);
        list.Add("get_ns_current_pid_tgid", &NsPidTgid);
        list.Add("send_signal", &SendSignal);
        list.Add("send_signal_thread", &SendSignal);
        list.Add("override_return", &OverrideReturn);
        list.Add("task_pt_regs", &TaskPtRegs);
        list.Add("current_task_under_cgroup", &UnderCgroup);
        list.Add("get_cgroup_classid", &Zero);
    }

    [UnmanagedCallersOnly]
    private static ulong KtimeGetNs(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->TimeNs;

    /// <summary>The time of the last tick: HZ is 1000 in the profile.</summary>
    [UnmanagedCallersOnly]
    private static ulong KtimeGetCoarseNs(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        context->TimeNs / 1_000_000 * 1_000_000;

    /// <summary>TAI: the simulated boot was at a fixed moment of 2026.</summary>
    [UnmanagedCallersOnly]
    private static ulong KtimeGetTaiNs(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        1_795_000_000_000_000_000 + context->TimeNs;

    [UnmanagedCallersOnly]
    private static ulong Jiffies(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        4_294_667_296 + context->TimeNs / 1_000_000;

    [UnmanagedCallersOnly]
    private static ulong Prandom(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ulong x = context->RandomState;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        context->RandomState = x;
        return (uint)(x * 0x2545f4914f6cdd1d >> 32);
    }

    [UnmanagedCallersOnly]
    private static ulong SmpProcessorId(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->CpuId;

    [UnmanagedCallersOnly]
    private static ulong NumaNode(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 0;

    [UnmanagedCallersOnly]
    private static ulong Zero(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => 0;

    [UnmanagedCallersOnly]
    private static ulong PidTgid(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->PidTgid;

    [UnmanagedCallersOnly]
    private static ulong UidGid(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->UidGid;

    /// <summary>Copies the name, always NUL-terminated, the rest zeroed.</summary>
    [UnmanagedCallersOnly]
    private static ulong Comm(ulong buffer, ulong size, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (size == 0) return 0;
        var source = new ReadOnlySpan<byte>(context->Comm, 16);
        int end = source.IndexOf((byte)0);
        var target = new Span<byte>((byte*)buffer, (int)(uint)size);
        target.Clear();
        source[..Math.Min(end < 0 ? 16 : end, target.Length - 1)].CopyTo(target);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong CurrentTask(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => context->CurrentTask;

    [UnmanagedCallersOnly]
    private static ulong CgroupId(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        TaskIdentity* identity = Cpu.Of(context).CurrentIdentity;
        return identity == null ? 1 : identity->CgroupId;
    }

    /// <summary>Cgroups are one level deep: level 0 is the root, level 1 the task's own.</summary>
    [UnmanagedCallersOnly]
    private static ulong AncestorCgroupId(ulong level, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        TaskIdentity* identity = Cpu.Of(context).CurrentIdentity;
        ulong own = identity == null ? 1 : identity->CgroupId;
        return (int)level switch { 0 => 1, 1 when own != 1 => own, _ => 0 };
    }

    /// <summary>There is one pid namespace, whose device number is 4 and whose inode is 4026531836.</summary>
    [UnmanagedCallersOnly]
    private static ulong NsPidTgid(ulong device, ulong inode, ulong buffer, ulong size, ulong r5, RunContext* context)
    {
        if (size != 8 || device != 4 || inode != 4026531836)
        {
            new Span<byte>((byte*)buffer, (int)size).Clear();
            return HelperResult.Error(Errno.EINVAL);
        }
        *(uint*)buffer = (uint)context->PidTgid;
        *(uint*)(buffer + 4) = (uint)(context->PidTgid >> 32);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong SendSignal(ulong signal, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if ((uint)signal is 0 or > 64) return HelperResult.Error(Errno.EINVAL);
        uint pid = (uint)context->PidTgid;
        // The idle task and kernel threads cannot be signalled.
        if (pid == 0) return HelperResult.Error(Errno.EPERM);
        Cpu.Of(context).Kernel.Effects.Add(new Effect(context->TimeNs, EffectKind.Signal, pid, (uint)signal));
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong OverrideReturn(ulong ctx, ulong value, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        ((PtRegs*)ctx)->Ax = value;
        Cpu.Of(context).Kernel.Effects.Add(new Effect(context->TimeNs, EffectKind.OverrideReturn, (uint)context->PidTgid, value));
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong TaskPtRegs(ulong task, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        TaskIdentity* identity = Cpu.Of(context).CurrentIdentity;
        return identity != null && identity->TaskAddress == task ? identity->UserRegs : 0;
    }

    [UnmanagedCallersOnly]
    private static ulong UnderCgroup(ulong map, ulong index, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (uint)index >= ((MapHeader*)map)->MaxEntries ? HelperResult.Error(Errno.E2BIG) : HelperResult.Error(Errno.EAGAIN);
}
