using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Memory;

/// <summary>
/// The simulated memory that programs read through pointers they find: kernel objects and the user memory
/// that system calls pass in. One piece of native memory seen at 0xffff888100000000 (kernel) — the addresses
/// depend on the order of allocation alone, so they are the same in every run with the same seed. A second
/// window at 0x0000700000000000 shows the part that stands for user memory.
/// </summary>
public sealed unsafe class KernelArena : IDisposable
{
    /// <summary>Where the arena begins for programs.</summary>
    public const ulong KernelBase = 0xffff888100000000;

    /// <summary>Where its user part begins for programs.</summary>
    public const ulong UserBase = 0x0000700000000000;

    private readonly ulong _bytes;
    private byte* _allocation;
    private readonly ulong _ringStart, _ringBytes, _userStart, _userBytes;
    private readonly Dictionary<uint, Stack<ulong>> _free = [];
    private readonly List<(ulong Address, uint Size)> _freed = [];
    private ulong _next = 4096, _ringNext, _userNext = 64;

    /// <summary>Reserves the memory; it is zero until written.</summary>
    public KernelArena(uint bytes)
    {
        _bytes = Math.Max(bytes, 1u << 20) & ~4095ul;
        // Half for objects that are freed one by one, a quarter each for what lives as long as a system call.
        _ringStart = _bytes / 2;
        _ringBytes = _bytes / 4;
        _userStart = _ringStart + _ringBytes;
        _userBytes = _bytes - _userStart;
        // Memory that the system hands out zeroed costs nothing until it is touched; clearing it here would touch all.
        _allocation = (byte*)NativeMemory.AllocZeroed((nuint)_bytes + 4095);
        Memory = (byte*)((nuint)_allocation + 4095 & ~(nuint)4095);
    }

    /// <summary>Native address of the first byte.</summary>
    public byte* Memory { get; private set; }

    /// <summary>Size in bytes.</summary>
    public ulong Bytes => _bytes;

    /// <summary>Room for an object of the kernel, zeroed, 64-byte aligned; its simulated address.</summary>
    /// <exception cref="InsufficientMemoryException">The arena is full.</exception>
    public ulong Allocate(uint bytes)
    {
        uint size = Math.Max(64, bytes + 63 & ~63u);
        if (_free.TryGetValue(size, out Stack<ulong>? free) && free.TryPop(out ulong reused))
        {
            new Span<byte>(Memory + (reused - KernelBase), (int)size).Clear();
            return reused;
        }
        if (_next + size > _ringStart)
            throw new InsufficientMemoryException($"the simulated kernel memory of {_bytes} bytes is full: raise MachineSpec.ArenaBytes");
        ulong address = KernelBase + _next;
        _next += size;
        return address;
    }

    /// <summary>
    /// Gives an object's room back. Programs that run later in this window may still look at the object, so that
    /// its room is reused after <see cref="EndGracePeriod"/> only.
    /// </summary>
    public void Free(ulong address, uint bytes) => _freed.Add((address, Math.Max(64, bytes + 63 & ~63u)));

    /// <summary>All programs that could have seen what was freed have run: its room can be used again.</summary>
    public void EndGracePeriod()
    {
        foreach ((ulong address, uint size) in _freed)
        {
            if (!_free.TryGetValue(size, out Stack<ulong>? free)) _free.Add(size, free = new Stack<ulong>());
            free.Push(address);
        }
        _freed.Clear();
    }

    /// <summary>Room for what lives as long as a system call; reused after a quarter of the arena has gone by.</summary>
    public ulong AllocateTransient(uint bytes)
    {
        uint size = Math.Max(64, bytes + 63 & ~63u);
        if (_ringNext + size > _ringBytes) _ringNext = 0;
        ulong offset = _ringStart + _ringNext;
        _ringNext += size;
        return KernelBase + offset;
    }

    /// <summary>Room in user memory for what a system call passes in; reused as <see cref="AllocateTransient"/> is.</summary>
    public ulong AllocateUser(uint bytes)
    {
        uint size = bytes + 15 & ~15u;
        if (_userNext + size > _userBytes) _userNext = 64;
        ulong offset = _userNext;
        _userNext += size;
        return UserBase + offset;
    }

    /// <summary>The native address of simulated memory, or null if any of the bytes is not there.</summary>
    public byte* Translate(ulong address, ulong bytes)
    {
        ulong offset = address - KernelBase;
        if (offset < _bytes) return bytes <= _bytes - offset ? Memory + offset : null;
        offset = address - UserBase;
        return offset < _userBytes && bytes <= _userBytes - offset ? Memory + _userStart + offset : null;
    }

    /// <summary>The native address of simulated user memory, or null.</summary>
    public byte* TranslateUser(ulong address, ulong bytes)
    {
        ulong offset = address - UserBase;
        return offset < _userBytes && bytes <= _userBytes - offset ? Memory + _userStart + offset : null;
    }

    /// <summary>The native address of simulated kernel memory, or null.</summary>
    public byte* TranslateKernel(ulong address, ulong bytes)
    {
        ulong offset = address - KernelBase;
        return offset < _bytes && bytes <= _bytes - offset ? Memory + offset : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_allocation);
        _allocation = Memory = null;
    }
}
