namespace BpfSim.Maps;

/// <summary>The batch commands of bpf(2), and the snapshot, which no system call offers.</summary>
public abstract unsafe partial class BpfMap
{
    /// <summary>
    /// BPF_MAP_LOOKUP_BATCH and, with <paramref name="delete"/>, BPF_MAP_LOOKUP_AND_DELETE_BATCH. <paramref name="inBatch"/> is empty at the start, then what
    /// the last call left in <paramref name="outBatch"/> (hashes: a u32 bucket number; others: the last key). <paramref name="count"/> goes in as the room in
    /// entries and comes out as the number copied. -ENOENT: that was the last; -ENOSPC: the next bucket has more entries than there
    /// is room; -ENOTSUPP: not for this kind.
    /// </summary>
    public int LookupBatch(ReadOnlySpan<byte> inBatch, Span<byte> outBatch, Span<byte> keys, Span<byte> values, ref uint count,
        ulong elemFlags = 0, bool delete = false)
    {
        if (delete && Frozen) return -(int)Errno.EPERM;
        if (!Info.HasBatch(delete ? MapBatch.LookupAndDelete : MapBatch.Lookup)) return -(int)Errno.ENOTSUPP;
        if ((elemFlags & ~UpdateFlags.Lock) != 0 || LockMissing(elemFlags)) return -(int)Errno.EINVAL;
        var room = count;
        if (room == 0) return 0;
        if (keys.Length < (long)room * Spec.KeySize || values.Length < (long)room * UserValueSize) return -(int)Errno.EFAULT;
        count = 0;
        return OnLookupBatch(inBatch, outBatch, keys, values, room, ref count, elemFlags, delete);
    }

    /// <summary>BPF_MAP_UPDATE_BATCH: stops at the first error; <paramref name="count"/> comes out as the number done.</summary>
    public int UpdateBatch(ReadOnlySpan<byte> keys, ReadOnlySpan<byte> values, ref uint count, ulong elemFlags = 0)
    {
        if (Frozen) return -(int)Errno.EPERM;
        if (!Info.HasBatch(MapBatch.Update)) return -(int)Errno.ENOTSUPP;
        if ((elemFlags & ~UpdateFlags.Lock) != 0 || LockMissing(elemFlags)) return -(int)Errno.EINVAL;
        var (wanted, done, size) = (count, 0u, (int)UserValueSize);
        if (keys.Length < (long)wanted * Spec.KeySize || values.Length < (long)wanted * size) return -(int)Errno.EFAULT;
        var errno = 0;
        for (; done < wanted && errno == 0; done++)
        {
            errno = Update(keys.Slice((int)(done * Spec.KeySize), (int)Spec.KeySize), values.Slice((int)done * size, size), elemFlags);
            if (errno != 0) break;
        }

        count = done;
        return errno;
    }

    /// <summary>BPF_MAP_DELETE_BATCH: stops at the first error; <paramref name="count"/> comes out as the number done.</summary>
    public int DeleteBatch(ReadOnlySpan<byte> keys, ref uint count, ulong elemFlags = 0)
    {
        if (Frozen) return -(int)Errno.EPERM;
        if (!Info.HasBatch(MapBatch.Delete)) return -(int)Errno.ENOTSUPP;
        if ((elemFlags & ~UpdateFlags.Lock) != 0 || LockMissing(elemFlags)) return -(int)Errno.EINVAL;
        var (wanted, done) = (count, 0u);
        if (keys.Length < (long)wanted * Spec.KeySize) return -(int)Errno.EFAULT;
        var errno = 0;
        while (done < wanted && (errno = Delete(keys.Slice((int)(done * Spec.KeySize), (int)Spec.KeySize))) == 0) done++;
        count = done;
        return errno;
    }

    /// <summary>
    /// Copies all entries at once, without stopping writers: every entry is whole, all of them together are no single moment. An
    /// entry that is inserted or deleted meanwhile may or may not be in it. Empty for kinds without keys.
    /// </summary>
    public MapSnapshot Snapshot()
    {
        var snapshot = new MapSnapshot(Spec, UserValueSize, Count);
        if (Spec.KeySize == 0) return snapshot;
        using var inside = MapEpoch.EnterThread();
        OnSnapshot(snapshot);
        return snapshot;
    }

    /// <summary>The loop of the batch lookup for kinds that have an order of keys.</summary>
    private protected virtual int OnLookupBatch(ReadOnlySpan<byte> inBatch, Span<byte> outBatch, Span<byte> keys, Span<byte> values,
        uint room, ref uint count, ulong flags, bool delete)
    {
        var (keySize, valueSize) = ((int)Spec.KeySize, (int)UserValueSize);
        if (!inBatch.IsEmpty && inBatch.Length < keySize) return -(int)Errno.EFAULT;
        var last = inBatch.IsEmpty ? [] : inBatch[..keySize].ToArray();
        var next = new byte[keySize];
        var errno = 0;
        while (count < room && (errno = GetNextKey(last, next)) == 0)
        {
            var found = Lookup(next, values.Slice((int)count * valueSize, valueSize), flags);
            last = [.. next];
            if (found == -(int)Errno.ENOENT) continue;
            if (found != 0) return found;
            next.CopyTo(keys[((int)count++ * keySize)..]);
        }

        if (count > 0)
        {
            if (outBatch.Length < keySize) return -(int)Errno.EFAULT;
            keys.Slice((int)(count - 1) * keySize, keySize).CopyTo(outBatch);
        }

        return errno;
    }

    /// <summary>Fills a snapshot; the caller stands in the epoch.</summary>
    private protected virtual void OnSnapshot(MapSnapshot snapshot)
    {
        var key = Array.Empty<byte>();
        var next = new byte[Spec.KeySize];
        // Changes may send the iteration back to its start: capacity bounds it.
        for (var i = 0ul; i <= Spec.MaxEntries && GetNextKey(key, next) == 0; i++)
        {
            var (toKey, toValue) = snapshot.Add();
            if (Lookup(next, toValue) == 0) next.CopyTo(toKey);
            else snapshot.RemoveLast();
            key = [.. next];
        }
    }
}

/// <summary>The batch commands of bpf(2).</summary>
[Flags]
public enum MapBatch { None = 0, Lookup = 1, LookupAndDelete = 2, Update = 4, Delete = 8 }

/// <summary>All entries of a map, copied: keys and values in two arrays, in the order of the map.</summary>
public sealed class MapSnapshot
{
    private byte[] _keys;
    private byte[] _values;

    internal MapSnapshot(MapSpec spec, uint valueSize, uint expected)
    {
        (Spec, KeySize, ValueSize) = (spec, (int)spec.KeySize, (int)valueSize);
        // Uninitialised: only what Add has handed out is ever shown.
        _keys = GC.AllocateUninitializedArray<byte>(KeySize * (int)expected);
        _values = GC.AllocateUninitializedArray<byte>(ValueSize * (int)expected);
    }

    /// <summary>The map's blueprint.</summary>
    public MapSpec Spec { get; }

    /// <summary>Bytes of a key.</summary>
    public int KeySize { get; }

    /// <summary>Bytes of a value as user space reads it (per-CPU kinds: all CPUs' copies).</summary>
    public int ValueSize { get; }

    /// <summary>Number of entries.</summary>
    public int Count { get; private set; }

    /// <summary>The key of an entry.</summary>
    public ReadOnlySpan<byte> KeyAt(int index) => _keys.AsSpan(0, Count * KeySize).Slice(index * KeySize, KeySize);

    /// <summary>The value of an entry.</summary>
    public ReadOnlySpan<byte> ValueAt(int index) => _values.AsSpan(0, Count * ValueSize).Slice(index * ValueSize, ValueSize);

    /// <summary>The entries as pairs of arrays.</summary>
    public IEnumerable<(byte[] Key, byte[] Value)> Entries()
    {
        for (var i = 0; i < Count; i++) yield return (KeyAt(i).ToArray(), ValueAt(i).ToArray());
    }

    internal SnapshotSlot Add()
    {
        if (_keys.Length < (Count + 1) * KeySize || _values.Length < (Count + 1) * ValueSize)
        {
            var size = Math.Max(16, Count * 2);
            Array.Resize(ref _keys, size * KeySize);
            Array.Resize(ref _values, size * ValueSize);
        }

        return new SnapshotSlot(_keys.AsSpan(Count * KeySize, KeySize), _values.AsSpan(Count++ * ValueSize, ValueSize));
    }

    internal void RemoveLast() => Count--;
}

/// <summary>Where an entry is copied to.</summary>
internal readonly ref struct SnapshotSlot(Span<byte> key, Span<byte> value)
{
    public Span<byte> Key { get; } = key;

    public Span<byte> Value { get; } = value;

    public void Deconstruct(out Span<byte> key, out Span<byte> value)
    {
        key = Key;
        value = Value;
    }
}
