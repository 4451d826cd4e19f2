using System.Runtime.InteropServices;

namespace BpfSim.Vm.Jit;

/// <summary>A piece of code memory: written at one address, executed at another.</summary>
internal unsafe sealed class CodeBlock(CodeMemory owner, int offset, int length)
{
    private bool _freed;

    /// <summary>Bytes in use.</summary>
    public int Length => length;

    /// <summary>Address at which the code runs.</summary>
    public nint Entry => (nint)(owner.Executable + offset);

    /// <summary>The same bytes, writable.</summary>
    public Span<byte> Writable => new(owner.Writable + offset, length);

    /// <summary>Gives the memory back. Nobody may be executing it.</summary>
    public void Free()
    {
        if (_freed) return;
        _freed = true;
        owner.Free(offset, length);
    }
}

/// <summary>
/// Memory for emitted code: one anonymous file mapped twice, once readable and writable, once readable and
/// executable, so that no page is ever both. Address space is reserved at once, memory used as it is written.
/// </summary>
internal sealed unsafe partial class CodeMemory
{
    private const int Size = 256 << 20, Alignment = 64;
    private const int ProtRead = 1, ProtWrite = 2, ProtExec = 4, MapShared = 1;

    private static readonly Lazy<(CodeMemory? Memory, string? Reason)> Instance = new(Create);

    private readonly Lock _lock = new();
    private readonly SortedList<int, int> _free = new() { { 0, Size } };

    private CodeMemory(byte* writable, byte* executable)
    {
        Writable = writable;
        Executable = executable;
    }

    /// <summary>The process's code memory.</summary>
    /// <exception cref="PlatformNotSupportedException">There is none; see <see cref="UnavailableReason"/>.</exception>
    public static CodeMemory Shared => Instance.Value.Memory ?? throw new PlatformNotSupportedException(Instance.Value.Reason);

    /// <summary>Why there is no code memory in this process; null if there is.</summary>
    public static string? UnavailableReason => Instance.Value.Reason;

    public byte* Writable { get; }

    public byte* Executable { get; }

    /// <summary>Takes the first free piece that is large enough.</summary>
    /// <exception cref="InsufficientMemoryException">All 256 MiB are in use.</exception>
    public CodeBlock Allocate(int length)
    {
        int rounded = (Math.Max(length, 1) + Alignment - 1) & -Alignment;
        lock (_lock)
        {
            for (int i = 0; i < _free.Count; i++)
            {
                int offset = _free.GetKeyAtIndex(i), available = _free.GetValueAtIndex(i);
                if (available < rounded) continue;
                // From the end of the piece, so that the list need not change.
                if (available == rounded) _free.RemoveAt(i);
                else _free.SetValueAtIndex(i, available - rounded);
                return new CodeBlock(this, offset + available - rounded, length);
            }
        }
        throw new InsufficientMemoryException($"no room for {length} bytes of code: all {Size >> 20} MiB are in use");
    }

    /// <summary>Returns a piece, filled with int3, and joins it with free neighbours.</summary>
    public void Free(int offset, int length)
    {
        int rounded = (Math.Max(length, 1) + Alignment - 1) & -Alignment;
        new Span<byte>(Writable + offset, rounded).Fill(0xcc);
        lock (_lock)
        {
            _free.Add(offset, rounded);
            int i = _free.IndexOfKey(offset);
            if (i + 1 < _free.Count && _free.GetKeyAtIndex(i + 1) == offset + rounded)
            {
                rounded += _free.GetValueAtIndex(i + 1);
                _free.RemoveAt(i + 1);
                _free[offset] = rounded;
            }
            if (i == 0) return;
            int before = _free.GetKeyAtIndex(i - 1);
            if (before + _free.GetValueAtIndex(i - 1) != offset) return;
            _free.RemoveAt(i);
            _free[before] += rounded;
        }
    }

    private static (CodeMemory?, string?) Create()
    {
        if (!OperatingSystem.IsLinux()) return (null, "the JIT needs Linux");
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return (null, $"the JIT emits x86-64 code, and this process is {RuntimeInformation.ProcessArchitecture}");
        int fd = MemfdCreate("bpfsim-jit", 1);
        if (fd < 0) return (null, $"memfd_create failed: {Marshal.GetLastPInvokeErrorMessage()}");
        try
        {
            if (Ftruncate(fd, Size) < 0) return (null, $"no memory for code: {Marshal.GetLastPInvokeErrorMessage()}");
            nint writable = Mmap(0, Size, ProtRead | ProtWrite, MapShared, fd, 0);
            if (writable == -1) return (null, $"code memory cannot be mapped: {Marshal.GetLastPInvokeErrorMessage()}");
            nint executable = Mmap(0, Size, ProtRead | ProtExec, MapShared, fd, 0);
            if (executable == -1) return (null, $"code memory cannot be made executable: {Marshal.GetLastPInvokeErrorMessage()}");
            return (new CodeMemory((byte*)writable, (byte*)executable), null);
        }
        finally
        {
            _ = CloseFd(fd);
        }
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int Ftruncate(int fd, long length);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nint address, nint length, int protection, int flags, int fd, nint offset);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFd(int fd);
}
