using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Memory;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>Helpers that read memory through pointers that may be bad.</summary>
internal static unsafe class MemoryCode
{
    public static void Register(HelperList list)
    {
        list.Add("probe_read", &ProbeReadKernel);
        list.Add("probe_read_kernel", &ProbeReadKernel);
        list.Add("probe_read_user", &ProbeReadUser);
        list.Add("probe_read_str", &ProbeReadKernelStr);
        list.Add("probe_read_kernel_str", &ProbeReadKernelStr);
        list.Add("probe_read_user_str", &ProbeReadUserStr);
        list.Add("copy_from_user", &ProbeReadUser);
        list.Add("copy_from_user_task", &CopyFromUserTask);
        list.Add("probe_write_user", &ProbeWriteUser);
        list.Add("per_cpu_ptr", &PerCpuPtr);
        list.Add("this_cpu_ptr", &ThisCpuPtr);
    }

    [UnmanagedCallersOnly]
    private static ulong ProbeReadKernel(ulong to, ulong size, ulong from, ulong r4, ulong r5, RunContext* context) =>
        Read(context, (byte*)to, (uint)size, from, user: false);

    [UnmanagedCallersOnly]
    private static ulong ProbeReadUser(ulong to, ulong size, ulong from, ulong r4, ulong r5, RunContext* context) =>
        Read(context, (byte*)to, (uint)size, from, user: true);

    [UnmanagedCallersOnly]
    private static ulong ProbeReadKernelStr(ulong to, ulong size, ulong from, ulong r4, ulong r5, RunContext* context) =>
        ReadString(context, (byte*)to, (uint)size, from, user: false);

    [UnmanagedCallersOnly]
    private static ulong ProbeReadUserStr(ulong to, ulong size, ulong from, ulong r4, ulong r5, RunContext* context) =>
        ReadString(context, (byte*)to, (uint)size, from, user: true);

    [UnmanagedCallersOnly]
    private static ulong CopyFromUserTask(ulong to, ulong size, ulong from, ulong task, ulong flags, RunContext* context) =>
        flags != 0 ? HelperResult.Error(Errno.EINVAL) : size == 0 ? 0 : Read(context, (byte*)to, (uint)size, from, user: true);

    [UnmanagedCallersOnly]
    private static ulong ProbeWriteUser(ulong to, ulong from, ulong size, ulong r4, ulong r5, RunContext* context)
    {
        byte* target = Cpu.Of(context).Kernel.Arena.TranslateUser(to, (uint)size);
        if (target == null) return HelperResult.Error(Errno.EFAULT);
        Buffer.MemoryCopy((byte*)from, target, (uint)size, (uint)size);
        return 0;
    }

    /// <summary>Per-CPU variables of the kernel are not modelled apart: every CPU sees the same one.</summary>
    [UnmanagedCallersOnly]
    private static ulong PerCpuPtr(ulong pointer, ulong cpu, ulong r3, ulong r4, ulong r5, RunContext* context) =>
        (uint)cpu < Cpu.Of(context).Kernel.Cpus ? pointer : 0;

    [UnmanagedCallersOnly]
    private static ulong ThisCpuPtr(ulong pointer, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context) => pointer;

    /// <summary>Copies memory; if any of it is not there, the target is zeroed and the result -EFAULT.</summary>
    public static ulong Read(RunContext* context, byte* to, uint size, ulong from, bool user)
    {
        if (TryRead(context, to, size, from, user)) return 0;
        new Span<byte>(to, (int)size).Clear();
        return HelperResult.Error(Errno.EFAULT);
    }

    /// <summary>Copies memory as far as it exists.</summary>
    public static bool TryRead(RunContext* context, byte* to, uint size, ulong from, bool user)
    {
        KernelArena arena = Cpu.Of(context).Kernel.Arena;
        byte* source = user ? arena.TranslateUser(from, size) : arena.TranslateKernel(from, size);
        if (source != null)
        {
            Buffer.MemoryCopy(source, to, size, size);
            return true;
        }
        return !user && ForeignMemory.TryRead(context, to, size, from);
    }

    /// <summary>Copies up to a NUL; returns the length with the NUL, or -EFAULT.</summary>
    public static ulong ReadString(RunContext* context, byte* to, uint size, ulong from, bool user)
    {
        if (size == 0) return 0;
        uint length = 0;
        while (length < size)
        {
            byte c;
            if (!TryRead(context, &c, 1, from + length, user))
            {
                new Span<byte>(to, (int)size).Clear();
                return HelperResult.Error(Errno.EFAULT);
            }
            to[length++] = c;
            if (c == 0) return length;
        }
        to[size - 1] = 0;
        return size;
    }
}
