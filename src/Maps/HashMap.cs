using System.Runtime.CompilerServices;

namespace BpfSim.Maps;

/// <summary>
/// hash, percpu_hash, lru_hash and lru_percpu_hash. Lookups take no lock; updates lock a bucket. Replacing an entry of a
/// plain hash links a new element, so that a pointer to the old value keeps showing the old value; per-CPU values and
/// updates with F_LOCK are written in place. Layout: <see cref="HashLayout"/>.
/// </summary>
internal unsafe class HashMap : BpfMap
{
    private readonly ElementPool _pool;
    private readonly HashTable _table;
    private readonly LruLists? _lru;
    private readonly bool _perCpu;
    private readonly bool _releases;
    private readonly uint _keySize;
    private readonly uint _valueOffset;
    private readonly uint _paddedValue;
    private readonly byte* _valueBase;
    private readonly ulong _cpuStride;

    public HashMap(MapSpec spec, uint cpus) : this(spec, cpus, spec.ValueSize)
    {
    }

    private protected HashMap(MapSpec spec, uint cpus, uint storedSize) : base(Rounded(spec, cpus), cpus, storedSize)
    {
        spec = Spec;
        _perCpu = Info.IsPerCpu;
        _keySize = spec.KeySize;
        _paddedValue = RoundUp8(storedSize);
        _releases = Layout.NeedsRelease || spec.Type == MapType.HashOfMaps;
        _valueOffset = HashLayout.KeyOffset + RoundUp8(spec.KeySize);
        var lru = spec.Type is MapType.LruHash or MapType.LruPercpuHash;
        var ownLists = ((MapFlags)spec.Flags & MapFlags.NoCommonLru) != 0;
        Capacity = spec.MaxEntries;
        _pool = new ElementPool(Memory, cpus, Capacity, _valueOffset + (_perCpu ? 0 : _paddedValue), _perCpu ? _paddedValue * cpus : 0);
        _table = new HashTable(Header, Memory, Capacity, _pool.Base, SeedOf(spec));
        Header->Stride = _pool.Stride;
        Header->ValueOffset = _valueOffset;
        Header->Cpus = cpus;
        if (_perCpu)
        {
            _cpuStride = (((ulong)_pool.Slots * _paddedValue) + 127) & ~127ul;
            _valueBase = Memory.Allocate((nuint)(_cpuStride * cpus));
            Header->ValueBase = _valueBase;
            Header->CpuStride = _cpuStride;
        }

        if (spec.Type == MapType.Hash && !_releases && spec.SpecialFields.Count == 0)
        {
            Header->Lists = _pool.Lists;
            Header->Live = (int*)Unsafe.AsPointer(ref _pool.Live);
            Header->Counters = Statistics.Of(0);
        }

        if (!lru) return;
        _lru = new LruLists(this, Memory, _pool, _table, Capacity, cpus, ownLists);
        Header->ReferencedBase = _lru.ReferencedBase;
    }

    /// <summary>The most entries that there can be.</summary>
    internal uint Capacity { get; }

    public override ulong MemoryBytes => KernelMemory.Hash(Spec, Cpus, Capacity, Count);

    public override uint Count => (uint)Math.Max(0, _lru?.Count ?? Volatile.Read(ref _pool.Live));

    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        var counters = Statistics.Of(cpu);
        counters->Lookups++;
        var reference = _table.Find(key);
        if (reference == 0) return null;
        counters->Hits++;
        _lru?.Touch(reference);
        return ValueOf(reference, cpu);
    }

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => Put(key, value, flags, cpu, allCpus: false);

    public override int ProgramDelete(byte* key, uint cpu) => Remove(key, cpu, null, 0);

    public override bool ProgramNext(ref MapCursor cursor, uint cpu, out byte* key, out byte* value)
    {
        var reference = cursor.Element == 0 ? 0 : _table.Next(cursor.Element);
        while (reference == 0)
        {
            if (cursor.Slot >= _table.Buckets)
            {
                key = value = null;
                return false;
            }

            reference = _table.First(cursor.Slot++);
        }

        cursor.Element = reference;
        key = _table.KeyOf(reference);
        value = ValueOf(reference, cpu);
        return true;
    }

    /// <summary>Address of an element's value for a CPU.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* ValueOf(uint reference, uint cpu)
    {
        var element = _pool.At(reference);
        return _perCpu ? _valueBase + (8ul * *(uint*)(element + HashLayout.TagOffset)) + (cpu * _cpuStride) : element + _valueOffset;
    }

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        var counters = Statistics.Of(UserCpu);
        counters->Lookups++;
        fixed (byte* k = key, to = value)
        {
            using var inside = MapEpoch.EnterThread();
            // User space looking does not make an entry of an LRU map more recently used.
            var reference = _table.Find(k);
            if (reference == 0) return -(int)Errno.ENOENT;
            counters->Hits++;
            CopyOut(reference, to, flags);
            return 0;
        }
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* k = key, v = value)
        {
            using var inside = MapEpoch.EnterThread();
            return Put(k, v, flags, UserCpu, _perCpu);
        }
    }

    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key) return Remove(k, UserCpu, null, 0);
    }

    protected override int OnLookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        fixed (byte* k = key, to = value) return Remove(k, UserCpu, to, flags);
    }

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        using var inside = MapEpoch.EnterThread();
        uint reference = 0, bucket = 0;
        if (!key.IsEmpty)
            fixed (byte* k = key)
            {
                var current = _table.Find(k);
                if (current != 0)
                {
                    reference = _table.Next(current);
                    bucket = _table.NumberOf(_table.Hash(k)) + 1;
                }
            }

        for (; reference == 0; bucket++)
        {
            if (bucket >= _table.Buckets) return -(int)Errno.ENOENT;
            reference = _table.First(bucket);
        }

        new ReadOnlySpan<byte>(_table.KeyOf(reference), (int)Spec.KeySize).CopyTo(nextKey);
        return 0;
    }

    protected override void OnDispose()
    {
        if (!_releases) return;
        var cursor = default(MapCursor);
        while (ProgramNext(ref cursor, 0, out _, out _)) ReleaseElement(cursor.Element);
    }

    /// <summary>Releases what an element's value holds; it has been unlinked.</summary>
    internal void ReleaseElement(uint reference)
    {
        if (!_releases) return;
        for (var cpu = 0u; cpu < (_perCpu ? Cpus : 1); cpu++) ReleaseValue(ValueOf(reference, cpu));
    }

    private protected int Put(byte* key, byte* value, ulong flags, uint cpu, bool allCpus)
    {
        var counters = Statistics.Of(cpu);
        if ((flags & UpdateFlags.Lock) != 0)
        {
            if (PutLocked(key, value, flags, out var result)) return result;
        }
        else if (flags > UpdateFlags.Exist)
            return -(int)Errno.EINVAL;

        var hash = _table.Hash(key);
        var list = _pool.Lock(cpu);
        // An LRU map makes room before it looks, even for a key that is there: the room must not be searched for under a bucket's lock.
        var fresh = _lru is null ? _pool.Take(list) : (_perCpu && flags == UpdateFlags.Exist) ? 0 : _lru.Take(list, cpu, counters);
        var bucket = _table.Bucket(hash);
        var first = HashTable.Lock(bucket, counters);
        var old = _table.FindLocked(first, key, out var before);
        var errno = Errno.None;
        var retired = 0u;
        if (old != 0)
        {
            if ((flags & UpdateFlags.NoExist) != 0) errno = Errno.EEXIST;
            else if (_perCpu) StorePerCpu(old, value, cpu, allCpus, fresh: false);
            else if (fresh == 0) errno = Errno.ENOMEM;
            else
            {
                Fill(fresh, key, hash, value, cpu, allCpus);
                *(uint*)_pool.At(fresh) = _table.Next(old);
                first = _table.Relink(first, before, fresh);
                retired = old;
                fresh = 0;
            }
        }
        else if ((flags & UpdateFlags.Exist) != 0) errno = Errno.ENOENT;
        else if (_lru is null && Interlocked.Increment(ref _pool.Live) > Capacity)
        {
            Interlocked.Decrement(ref _pool.Live);
            errno = Errno.E2BIG;
        }
        else if (fresh == 0)
        {
            if (_lru is null) Interlocked.Decrement(ref _pool.Live);
            errno = Errno.ENOMEM;
        }
        else
        {
            Fill(fresh, key, hash, value, cpu, allCpus);
            *(uint*)_pool.At(fresh) = first;
            first = fresh;
            fresh = 0;
        }

        HashTable.Unlock(bucket, first);
        if (retired != 0)
        {
            if (_releases) ReleaseElement(retired);
            _lru?.Freed(retired);
            _pool.Retire(list, retired);
        }

        if (fresh != 0)
        {
            _lru?.Freed(fresh);
            _pool.PutBack(list, fresh);
        }

        if (errno == Errno.None)
        {
            if (_lru is not null && _perCpu && old != 0) _lru.Touch(old);
            counters->Updates++;
        }
        else counters->FailedUpdates++;
        ElementPool.Unlock(list);
        return -(int)errno;
    }

    /// <summary>F_LOCK: an entry that is there is changed in place under its spin lock; false if there is none.</summary>
    private bool PutLocked(byte* key, byte* value, ulong flags, out int result)
    {
        result = -(int)Errno.EINVAL;
        if ((flags & ~UpdateFlags.Lock) > UpdateFlags.Exist || LockMissing(flags)) return true;
        var reference = _table.Find(key);
        if (reference == 0)
        {
            result = -(int)Errno.ENOENT;
            return (flags & UpdateFlags.Exist) != 0;
        }

        result = -(int)Errno.EEXIST;
        if ((flags & UpdateFlags.NoExist) != 0) return true;
        var to = _pool.At(reference) + _valueOffset;
        var word = (int*)(to + Layout.SpinLockOffset);
        MapSpinLock.Acquire(word);
        Layout.Overwrite(to, value);
        MapSpinLock.Release(word);
        result = 0;
        return true;
    }

    private int Remove(byte* key, uint cpu, byte* copyTo, ulong flags)
    {
        var counters = Statistics.Of(cpu);
        var hash = _table.Hash(key);
        var list = _pool.Lock(cpu);
        var bucket = _table.Bucket(hash);
        var first = HashTable.Lock(bucket, counters);
        var old = _table.FindLocked(first, key, out var before);
        if (old != 0)
        {
            if (copyTo != null) CopyOut(old, copyTo, flags);
            first = _table.Relink(first, before, _table.Next(old));
        }

        HashTable.Unlock(bucket, first);
        if (old != 0)
        {
            Unlinked(list, old, counters);
        }

        ElementPool.Unlock(list);
        return old != 0 ? 0 : -(int)Errno.ENOENT;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Fill(uint fresh, byte* key, ulong hash, byte* value, uint cpu, bool allCpus)
    {
        var element = _pool.At(fresh);
        ValueLayout.CopyBytes(element + HashLayout.KeyOffset, key, _keySize);
        if (_perCpu)
        {
            *(uint*)(element + HashLayout.TagOffset) = _pool.IndexOf(fresh) * (_paddedValue / 8);
            StorePerCpu(fresh, value, cpu, allCpus, fresh: true);
            return;
        }

        *(uint*)(element + HashLayout.TagOffset) = (uint)(hash >> 32);
        Layout.Fill(element + _valueOffset, value);
    }

    private void StorePerCpu(uint reference, byte* value, uint cpu, bool allCpus, bool fresh)
    {
        for (var i = 0u; i < Cpus; i++)
        {
            var to = ValueOf(reference, i);
            if (allCpus || i == cpu)
            {
                var from = allCpus ? value + (i * _paddedValue) : value;
                if (fresh) Layout.Fill(to, from);
                else Layout.Overwrite(to, from);
            }
            else if (fresh) new Span<byte>(to, (int)_paddedValue).Clear();
        }
    }

    private void CopyOut(uint reference, byte* to, ulong flags)
    {
        if (!_perCpu)
        {
            var from = ValueOf(reference, 0);
            var word = (flags & UpdateFlags.Lock) != 0 ? (int*)(from + Layout.SpinLockOffset) : null;
            if (word != null) MapSpinLock.Acquire(word);
            Layout.CopyOut(to, from);
            if (word != null) MapSpinLock.Release(word);
            return;
        }

        for (var cpu = 0u; cpu < Cpus; cpu++, to += _paddedValue)
        {
            if (_paddedValue != Spec.ValueSize) *(ulong*)(to + _paddedValue - 8) = 0;
            Layout.CopyOut(to, ValueOf(reference, cpu));
        }
    }

    /// <summary>With NO_COMMON_LRU the capacity is rounded up to a multiple of the CPUs.</summary>
    private static MapSpec Rounded(MapSpec spec, uint cpus) => ((MapFlags)spec.Flags & MapFlags.NoCommonLru) == 0 ? spec
        : spec with { MaxEntries = (uint)(((ulong)spec.MaxEntries + cpus - 1) / cpus * cpus) };

    /// <summary>A seed of the map's own, the same in every run: order must not depend on the machine.</summary>
    private static ulong SeedOf(MapSpec spec)
    {
        if (((MapFlags)spec.Flags & MapFlags.ZeroSeed) != 0) return 0;
        var seed = ((ulong)spec.MaxEntries << 32) | (spec.KeySize << 16) | spec.ValueSize;
        foreach (var c in spec.Name) seed = (seed ^ c) * HashLayout.Multiplier;
        return seed ^ (seed >> 29);
    }

    private protected override void OnSnapshot(MapSnapshot snapshot)
    {
        var flags = Layout.SpinLockOffset >= 0 ? UpdateFlags.Lock : 0;
        for (var bucket = 0u; bucket < _table.Buckets; bucket++)
            for (var reference = _table.First(bucket); reference != 0; reference = _table.Next(reference))
            {
                var (key, value) = snapshot.Add();
                Export(reference, key, value, flags);
            }
    }

    private protected virtual void Export(uint reference, Span<byte> key, Span<byte> value, ulong flags)
    {
        fixed (byte* k = key, v = value)
        {
            ValueLayout.CopyBytes(k, _table.KeyOf(reference), _keySize);
            CopyOut(reference, v, flags);
        }
    }

    /// <summary>Bucket by bucket: a bucket is copied (and emptied) as a whole or not at all.</summary>
    private protected override int OnLookupBatch(ReadOnlySpan<byte> inBatch, Span<byte> outBatch, Span<byte> keys, Span<byte> values,
        uint room, ref uint count, ulong flags, bool delete)
    {
        if (outBatch.Length < sizeof(uint) || (!inBatch.IsEmpty && inBatch.Length < sizeof(uint))) return -(int)Errno.EFAULT;
        var at = inBatch.IsEmpty ? 0 : BitConverter.ToUInt32(inBatch);
        if (at >= _table.Buckets) return -(int)Errno.ENOENT;
        var counters = Statistics.Of(UserCpu);
        var list = _pool.Lock(UserCpu);
        var errno = 0;
        for (; at < _table.Buckets; at++)
        {
            if (_table.First(at) == 0) continue;
            var bucket = _table.BucketAt(at);
            var first = HashTable.Lock(bucket, counters);
            var inBucket = 0u;
            for (var reference = first; reference != 0; reference = _table.Next(reference)) inBucket++;
            if (inBucket > room - count)
            {
                HashTable.Unlock(bucket, first);
                if (count == 0) errno = -(int)Errno.ENOSPC;
                break;
            }

            for (var reference = first; reference != 0; reference = _table.Next(reference), count++)
                Export(reference, keys.Slice((int)(count * Spec.KeySize), (int)Spec.KeySize),
                    values.Slice((int)(count * UserValueSize), (int)UserValueSize), flags);
            HashTable.Unlock(bucket, delete ? 0 : first);
            for (var reference = first; delete && reference != 0;)
            {
                var next = _table.Next(reference);
                Unlinked(list, reference, counters);
                reference = next;
            }
        }

        ElementPool.Unlock(list);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(outBatch, at);
        return errno == 0 && at == _table.Buckets ? -(int)Errno.ENOENT : errno;
    }

    /// <summary>What follows the unlinking of a deleted element.</summary>
    private void Unlinked(ElementPool.CpuList* list, uint reference, MapStatistics.CpuCounters* counters)
    {
        if (_lru is null) Interlocked.Decrement(ref _pool.Live);
        if (_releases) ReleaseElement(reference);
        _lru?.Freed(reference);
        _pool.Retire(list, reference);
        counters->Deletes++;
    }
}
