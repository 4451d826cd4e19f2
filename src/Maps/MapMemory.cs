using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// The native memory of one map: zeroed, cache-line aligned, accounted, given back together. Large areas come
/// from the operating system as zero pages that cost nothing until they are touched, so that a map of a
/// million entries is created in microseconds.
/// </summary>
internal sealed unsafe class MapMemory : IDisposable
{
    private const nuint Line = 64;
    private static long s_totalBytes;
    private readonly List<(nint Block, nuint Size)> _blocks = [];

    /// <summary>Bytes that all maps of the process hold now.</summary>
    public static long TotalBytes => Interlocked.Read(ref s_totalBytes);

    /// <summary>Bytes held by this map, touched or not.</summary>
    public ulong Bytes { get; private set; }

    /// <summary>Zeroed memory, aligned to a cache line; throws <see cref="OutOfMemoryException"/> where the system has none.</summary>
    public byte* Allocate(nuint size)
    {
        var whole = checked(size + Line);
        var block = NativeMemory.AllocZeroed(whole);
        lock (_blocks)
        {
            _blocks.Add(((nint)block, whole));
            Bytes += whole;
        }

        Interlocked.Add(ref s_totalBytes, (long)whole);
        return (byte*)(((nuint)block + (Line - 1)) & ~(Line - 1));
    }

    /// <summary>Gives everything back.</summary>
    public void Dispose()
    {
        lock (_blocks)
        {
            foreach (var (block, size) in _blocks)
            {
                NativeMemory.Free((void*)block);
                Interlocked.Add(ref s_totalBytes, -(long)size);
            }

            _blocks.Clear();
            Bytes = 0;
        }
    }
}
