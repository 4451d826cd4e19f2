using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>
/// Reads through pointers that are kernel pointers for the program but native ones here: its context, its
/// stack, map values. What is known is read directly; the rest by a system call that does not fault.
/// </summary>
internal static unsafe partial class ForeignMemory
{
    private const ulong Lowest = 0x10000, Highest = 0x0000_7fff_ffff_f000;

    /// <summary>Copies memory; false if any of it is not there.</summary>
    public static bool TryRead(RunContext* context, byte* to, uint size, ulong from)
    {
        if (from < Lowest || from >= Highest || size > Highest - from) return false;
        EventRecord* record = Cpu.Of(context).CurrentEvent;
        if (record != null && from - (ulong)record is var offset && offset < record->Bytes && size <= record->Bytes - offset)
        {
            Buffer.MemoryCopy((byte*)from, to, size, size);
            return true;
        }
        if (OperatingSystem.IsLinux())
        {
            var local = new IoVec { Base = to, Length = size };
            var remote = new IoVec { Base = (void*)from, Length = size };
            return ProcessVmReadv(Environment.ProcessId, &local, 1, &remote, 1, 0) == (nint)size;
        }
        if (OperatingSystem.IsWindows())
        {
            nuint read;
            return ReadProcessMemory(-1, (void*)from, to, size, &read) != 0 && read == size;
        }
        return false;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct IoVec
    {
        public void* Base;
        public nuint Length;
    }

    [LibraryImport("libc", EntryPoint = "process_vm_readv")]
    private static partial nint ProcessVmReadv(int pid, IoVec* local, ulong localCount, IoVec* remote, ulong remoteCount, ulong flags);

    [LibraryImport("kernel32", EntryPoint = "ReadProcessMemory")]
    private static partial int ReadProcessMemory(nint process, void* address, void* buffer, nuint size, nuint* read);
}
