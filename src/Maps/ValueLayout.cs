using System.Runtime.CompilerServices;

namespace BpfSim.Maps;

/// <summary>
/// How values of one map are copied: fields with a meaning of their own (locks, timers, kptrs) are never
/// overwritten by an update, are zero in a new element and in what user space reads.
/// </summary>
internal sealed unsafe class ValueLayout
{
    private readonly (uint Off, uint Size)[] _special;
    private readonly uint _size;

    public ValueLayout(MapSpec spec, uint storedSize)
    {
        _size = storedSize;
        _special = [.. spec.SpecialFields.Select(f => ((uint)f.Offset, (uint)f.Size)).OrderBy(f => f.Item1)];
        SpinLockOffset = -1;
        foreach (var field in spec.SpecialFields)
        {
            if (field.Kind == SpecialFieldKind.SpinLock) SpinLockOffset = field.Offset;
            else if (field.Kind != SpecialFieldKind.ResSpinLock) NeedsRelease = true;
        }
    }

    /// <summary>Offset of the bpf_spin_lock in the value, -1 if there is none.</summary>
    public int SpinLockOffset { get; }

    /// <summary>Whether a dying value holds something to release (timer, kptr, list …).</summary>
    public bool NeedsRelease { get; }

    /// <summary>Copies plain bytes, in words of 8 where there are 8 left, as the kernel copies values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CopyBytes(byte* to, byte* from, uint size)
    {
        while (size >= 8)
        {
            *(ulong*)to = *(ulong*)from;
            to += 8;
            from += 8;
            size -= 8;
        }

        if ((size & 4) != 0)
        {
            *(uint*)to = *(uint*)from;
            to += 4;
            from += 4;
        }

        if ((size & 2) != 0)
        {
            *(ushort*)to = *(ushort*)from;
            to += 2;
            from += 2;
        }

        if ((size & 1) != 0) *to = *from;
    }

    /// <summary>Overwrites a live value, leaving its special fields alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Overwrite(byte* to, byte* from)
    {
        if (_special.Length == 0) CopyBytes(to, from, _size);
        else CopyAround(to, from);
    }

    /// <summary>Fills a new element: special fields are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Fill(byte* to, byte* from)
    {
        CopyBytes(to, from, _size);
        if (_special.Length != 0) ClearSpecial(to);
    }

    /// <summary>Copies a value for user space.</summary>
    public void CopyOut(byte* to, byte* from)
    {
        CopyBytes(to, from, _size);
        if (_special.Length != 0) ClearSpecial(to);
    }

    private void CopyAround(byte* to, byte* from)
    {
        var at = 0u;
        foreach (var (off, size) in _special)
        {
            if (off > at) CopyBytes(to + at, from + at, off - at);
            at = off + size;
        }

        if (at < _size) CopyBytes(to + at, from + at, _size - at);
    }

    private void ClearSpecial(byte* value)
    {
        foreach (var (off, size) in _special) new Span<byte>(value + off, (int)size).Clear();
    }
}

/// <summary>The bpf_spin_lock in a map value: 4 bytes, 0 = free, 1 = held.</summary>
public static unsafe class MapSpinLock
{
    /// <summary>Takes the lock, spinning.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Acquire(int* word)
    {
        if (Interlocked.CompareExchange(ref *word, 1, 0) != 0) Wait(word);
    }

    /// <summary>Releases the lock.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Release(int* word) => Volatile.Write(ref *word, 0);

    /// <summary>Takes the lock if it is free.</summary>
    public static bool TryAcquire(int* word) => Volatile.Read(ref *word) == 0 && Interlocked.CompareExchange(ref *word, 1, 0) == 0;

    private static void Wait(int* word)
    {
        var spin = new SpinWait();
        while (!TryAcquire(word)) spin.SpinOnce(sleep1Threshold: -1);
    }
}
