using System.Runtime.InteropServices;
using BpfSim.Kernel.Attach;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers that know the hook: its address, arguments, cookie, call chain.</summary>
internal static unsafe class TraceCode
{
    private const int MaxDepth = 127;

    public static void Register(HelperList list)
    {
        list.Add("get_func_ip", &FuncIp);
        list.Add("get_attach_cookie", &AttachCookie);
        list.Add("get_func_arg", &FuncArg);
        list.Add("get_func_ret", &FuncRet);
        list.Add("get_func_arg_cnt", &FuncArgCount);
        list.Add("get_stack", &GetStack);
        list.Add("get_task_stack", &GetTaskStack);
        list.Add("get_branch_snapshot", &NoBranches);
        list.Add("read_branch_records", &NoBranches);
        list.Add("perf_prog_read_value", &PerfProgReadValue);
    }

    [UnmanagedCallersOnly]
    private static ulong FuncIp(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Cpu.Of(context).CurrentAttachment?.Site.Address ?? 0;

    [UnmanagedCallersOnly]
    private static ulong AttachCookie(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        Cpu.Of(context).CurrentAttachment?.Cookie ?? 0;

    /// <summary>The number of arguments stands in front of them, as in the kernel's trampolines.</summary>
    [UnmanagedCallersOnly]
    private static ulong FuncArg(ulong ctx, ulong n, ulong value, ulong r4, ulong r5, RunContext* context)
    {
        ulong count = ((ulong*)ctx)[-1];
        if ((uint)n >= count) return HelperResult.Error(Errno.EINVAL);
        *(ulong*)value = ((ulong*)ctx)[(uint)n];
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong FuncRet(ulong ctx, ulong value, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (Cpu.Of(context).CurrentAttachment is not { Kind: HookKind.Fexit }) return HelperResult.Error(Errno.EOPNOTSUPP);
        *(ulong*)value = ((ulong*)ctx)[((ulong*)ctx)[-1]];
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong FuncArgCount(ulong ctx, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => ((ulong*)ctx)[-1];

    [UnmanagedCallersOnly]
    private static ulong NoBranches(ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => HelperResult.Error(Errno.ENOENT);

    [UnmanagedCallersOnly]
    private static ulong PerfProgReadValue(ulong ctx, ulong buffer, ulong size, ulong r4, ulong r5, RunContext* context)
    {
        if ((uint)size != 24)
        {
            new Span<byte>((byte*)buffer, (int)(uint)size).Clear();
            return HelperResult.Error(Errno.EINVAL);
        }
        *(ulong*)buffer = ((PerfEventData*)ctx)->SamplePeriod;
        *(ulong*)(buffer + 8) = *(ulong*)(buffer + 16) = context->TimeNs;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong GetStack(ulong ctx, ulong buffer, ulong size, ulong flags, ulong r5, RunContext* context) =>
        Stack(Cpu.Of(context), buffer, (uint)size, flags);

    [UnmanagedCallersOnly]
    private static ulong GetTaskStack(ulong task, ulong buffer, ulong size, ulong flags, ulong r5, RunContext* context) =>
        task == context->CurrentTask ? Stack(Cpu.Of(context), buffer, (uint)size, flags) : HelperResult.Error(Errno.EOPNOTSUPP);

    /// <summary>Bits 0 to 7 of the flags: frames to skip; bit 8: the user's stack; bit 11: build ids, which need files.</summary>
    private static ulong Stack(Cpu cpu, ulong buffer, uint size, ulong flags)
    {
        if ((flags & ~0x9fful) != 0 || size % 8 != 0)
        {
            new Span<byte>((byte*)buffer, (int)size).Clear();
            return HelperResult.Error(Errno.EINVAL);
        }
        Span<ulong> addresses = stackalloc ulong[MaxDepth];
        int count = cpu.ReadStack(addresses, (flags & 0x100) != 0);
        int skip = (int)(flags & 0xff);
        if (count <= skip)
        {
            new Span<byte>((byte*)buffer, (int)size).Clear();
            return HelperResult.Error(Errno.EFAULT);
        }
        var target = new Span<ulong>((ulong*)buffer, (int)size / 8);
        int copied = Math.Min(count - skip, target.Length);
        addresses.Slice(skip, copied).CopyTo(target);
        target[copied..].Clear();
        return (ulong)copied * 8;
    }
}
