using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Bpf.TestRun;

/// <summary>
/// Memory below 4 GiB. The packet pointers in __sk_buff and xdp_md are 32 bits wide for programs: a packet down
/// there makes them real addresses, so that programs need no rewriting to reach it.
/// </summary>
internal sealed unsafe partial class LowMemory : IDisposable
{
    private const int ReadWrite = 3, Private = 2, Anonymous = 0x20, Low32Bit = 0x40;

    private readonly nuint _length;

    /// <summary>Allocates zeroed memory.</summary>
    /// <exception cref="PlatformNotSupportedException">This system gives no memory there.</exception>
    public LowMemory(nuint length)
    {
        _length = (length + 4095) & ~(nuint)4095;
        if (OperatingSystem.IsLinux()) Address = (byte*)mmap(0, _length, ReadWrite, Private | Anonymous | Low32Bit, -1, 0);
        else if (OperatingSystem.IsWindows()) Address = AllocateOnWindows(_length);
        if (Address == null || (nint)Address == -1 || (ulong)Address + _length > uint.MaxValue)
            throw new PlatformNotSupportedException("packets need memory below 4 GiB, which this system does not give");
    }

    /// <summary>The first byte.</summary>
    public byte* Address { get; private set; }

    public void Dispose()
    {
        if (Address == null) return;
        if (OperatingSystem.IsWindows()) VirtualFree(Address, 0, 0x8000);
        else _ = munmap((nint)Address, _length);
        Address = null;
    }

    private static byte* AllocateOnWindows(nuint length)
    {
        for (nuint hint = 0x1000_0000; hint < 0x7000_0000; hint += 0x100_0000)
        {
            byte* found = (byte*)VirtualAlloc(hint, length, 0x3000, 4);
            if (found != null) return found;
        }
        return null;
    }

    [LibraryImport("libc")] private static partial nint mmap(nint address, nuint length, int protection, int flags, int fd, nint offset);

    [LibraryImport("libc")] private static partial int munmap(nint address, nuint length);

    [LibraryImport("kernel32")] private static partial void* VirtualAlloc(nuint address, nuint length, uint type, uint protection);

    [LibraryImport("kernel32")] private static partial int VirtualFree(void* address, nuint length, uint type);
}
