using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// task_storage, sk_storage, inode_storage, cgrp_storage: a value an object of the kernel, which dies with the object. Programs name the
/// owner by its (simulated) kernel address; user space by a descriptor, which <see cref="ResolveOwner"/> turns into one.
/// </summary>
public sealed unsafe class LocalStorageMap : BpfMap
{
    /// <summary>BPF_LOCAL_STORAGE_GET_F_CREATE.</summary>
    public const ulong Create = 1;

    private readonly ConcurrentDictionary<ulong, nint> _values = new();
    private readonly Lock _write = new();
    private long _bytes;

    internal LocalStorageMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
    }

    /// <summary>The object behind a descriptor of user space: its address, or 0 and a negated errno. Unset: every descriptor is bad.</summary>
    public Func<int, (ulong Owner, int Errno)>? ResolveOwner { get; set; }

    /// <inheritdoc/>
    public override ulong MemoryBytes => KernelMemory.LocalStorage(Cpus);

    /// <inheritdoc/>
    public override uint Count => (uint)_values.Count;

    /// <summary>
    /// bpf_*_storage_get: the owner's value; with <see cref="Create"/> it is made if it is missing, from <paramref name="initial"/> (null: zeroes).
    /// Null without an owner, for unknown flags, and if it is missing.
    /// </summary>
    public byte* ProgramGet(ulong owner, byte* initial, ulong flags)
    {
        if (owner == 0 || flags > Create) return null;
        if (_values.TryGetValue(owner, out var value)) return (byte*)value;
        if ((flags & Create) == 0) return null;
        lock (_write)
        {
            if (_values.TryGetValue(owner, out value)) return (byte*)value;
            var fresh = NewValue(initial);
            _values[owner] = (nint)fresh;
            Statistics.Of(0)->Updates++;
            return fresh;
        }
    }

    /// <summary>bpf_*_storage_delete: -ENOENT if there is nothing, -EINVAL without an owner.</summary>
    public int ProgramRemove(ulong owner)
    {
        if (owner == 0) return -(int)Errno.EINVAL;
        lock (_write)
        {
            if (!_values.TryRemove(owner, out var value)) return -(int)Errno.ENOENT;
            Free(value);
            Statistics.Of(0)->Deletes++;
            return 0;
        }
    }

    /// <summary>The owner dies: its value goes.</summary>
    public void OwnerDied(ulong owner) => ProgramRemove(owner);

    /// <summary>All owners that have a value.</summary>
    public IReadOnlyCollection<ulong> Owners => [.. _values.Keys];

    /// <summary>Copies an owner's value; -ENOENT if there is none.</summary>
    public int LookupOwner(ulong owner, Span<byte> value)
    {
        using var inside = MapEpoch.EnterThread();
        if (!_values.TryGetValue(owner, out var found)) return -(int)Errno.ENOENT;
        fixed (byte* to = value) Layout.CopyOut(to, (byte*)found);
        return 0;
    }

    /// <summary>Creates or replaces an owner's value.</summary>
    public int UpdateOwner(ulong owner, ReadOnlySpan<byte> value, ulong flags)
    {
        if ((flags & ~UpdateFlags.Lock) > UpdateFlags.Exist) return -(int)Errno.EINVAL;
        lock (_write)
        {
            var exists = _values.TryGetValue(owner, out var old);
            if (exists && (flags & UpdateFlags.NoExist) != 0) return -(int)Errno.EEXIST;
            if (!exists && (flags & UpdateFlags.Exist) != 0) return -(int)Errno.ENOENT;
            fixed (byte* from = value)
            {
                if (exists && (flags & UpdateFlags.Lock) != 0)
                {
                    var word = (int*)((byte*)old + Layout.SpinLockOffset);
                    MapSpinLock.Acquire(word);
                    Layout.Overwrite((byte*)old, from);
                    MapSpinLock.Release(word);
                    return 0;
                }

                _values[owner] = (nint)NewValue(from);
            }

            if (exists) Free(old);
            Statistics.Of(0)->Updates++;
            return 0;
        }
    }

    /// <inheritdoc/>
    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        var errno = Resolve(key, out var owner);
        return errno != 0 ? errno : LookupOwner(owner, value);
    }

    /// <inheritdoc/>
    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        var errno = Resolve(key, out var owner);
        return errno != 0 ? errno : UpdateOwner(owner, value, flags);
    }

    /// <inheritdoc/>
    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        var errno = Resolve(key, out var owner);
        return errno != 0 ? errno : ProgramRemove(owner);
    }

    /// <inheritdoc/>
    protected override void OnDispose()
    {
        foreach (var value in _values.Values)
        {
            ReleaseValue((byte*)value);
            NativeMemory.Free((void*)value);
        }

        _values.Clear();
    }

    private int Resolve(ReadOnlySpan<byte> key, out ulong owner)
    {
        (owner, var errno) = ResolveOwner?.Invoke(MemoryMarshal.Read<int>(key)) ?? (0, -(int)Errno.EBADF);
        return errno;
    }

    private byte* NewValue(byte* initial)
    {
        var value = (byte*)NativeMemory.AllocZeroed(RoundUp8(Spec.ValueSize));
        Interlocked.Add(ref _bytes, RoundUp8(Spec.ValueSize));
        if (initial != null) Layout.Fill(value, initial);
        return value;
    }

    private void Free(nint value)
    {
        ReleaseValue((byte*)value);
        MapEpoch.Defer(() => NativeMemory.Free((void*)value));
    }
}
