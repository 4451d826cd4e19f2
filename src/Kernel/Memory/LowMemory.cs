using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Memory;

/// <summary>
/// Native memory below 4 GiB. Programs read packet pointers out of 32-bit context fields (__sk_buff.data,
/// xdp_md.data); with packets down there the field's value is the pointer as it stands.
/// </summary>
internal static unsafe partial class LowMemory
{
    private const int ReadWrite = 3, PrivateAnonymous32Bit = 0x02 | 0x20 | 0x40;

    /// <summary>Reserves zeroed memory below 4 GiB; null where the system cannot.</summary>
    public static byte* Allocate(nuint bytes)
    {
        if (OperatingSystem.IsLinux())
        {
            void* memory = Mmap(null, bytes, ReadWrite, PrivateAnonymous32Bit, -1, 0);
            return (nint)memory is -1 || (ulong)memory >> 32 != 0 ? null : (byte*)memory;
        }
        if (OperatingSystem.IsWindows())
        {
            for (ulong address = 0x1000_0000; address < 0xf000_0000; address += 0x0100_0000)
            {
                void* memory = VirtualAlloc((void*)address, bytes, 0x3000, 4);
                if (memory != null) return (byte*)memory;
            }
        }
        return null;
    }

    /// <summary>Gives memory back.</summary>
    public static void Free(byte* memory, nuint bytes)
    {
        if (memory == null) return;
        if (OperatingSystem.IsLinux()) _ = Munmap(memory, bytes);
        else if (OperatingSystem.IsWindows()) _ = VirtualFree(memory, 0, 0x8000);
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Mmap(void* address, nuint length, int protection, int flags, int fd, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Munmap(void* address, nuint length);

    [LibraryImport("kernel32")]
    private static partial void* VirtualAlloc(void* address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32")]
    private static partial int VirtualFree(void* address, nuint size, uint type);
}
