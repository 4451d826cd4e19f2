using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// stack_trace: stacks by the id that bpf_get_stackid gives them. The id is the bucket of the stack's hash, so two
/// stacks may collide: the second is refused, or takes the bucket with BPF_F_REUSE_STACKID.
/// </summary>
public sealed unsafe class StackTraceMap : BpfMap
{
    /// <summary>BPF_F_FAST_STACK_CMP: stacks with equal hashes count as equal.</summary>
    public const ulong FastStackCompare = 1 << 9;

    /// <summary>BPF_F_REUSE_STACKID: a colliding stack replaces the one that is there.</summary>
    public const ulong ReuseStackId = 1 << 10;

    private readonly uint _buckets;
    private readonly uint _frameSize;
    private readonly uint* _table;
    private readonly ElementPool _pool;

    internal StackTraceMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _frameSize = ((MapFlags)spec.Flags & MapFlags.StackBuildId) != 0 ? 32u : 8u;
        _buckets = System.Numerics.BitOperations.RoundUpToPowerOf2(spec.MaxEntries);
        _table = (uint*)Memory.Allocate((nuint)_buckets * sizeof(uint));
        _pool = new ElementPool(Memory, 1, spec.MaxEntries, 16 + spec.ValueSize);
    }

    /// <inheritdoc/>
    public override ulong MemoryBytes => KernelMemory.StackTrace(Spec, _buckets);

    /// <inheritdoc/>
    public override uint Count => (uint)Volatile.Read(ref _pool.Live);

    /// <summary>The most frames that a stack can have here.</summary>
    public uint MaxFrames => Spec.ValueSize / _frameSize;

    /// <summary>
    /// Stores a stack, innermost frame first, and returns its id; frames beyond <see cref="MaxFrames"/> are cut off.
    /// -EEXIST if another stack has the id, -ENOMEM if all elements are taken.
    /// </summary>
    public int Store(ReadOnlySpan<ulong> frames, ulong flags)
    {
        if (frames.Length > MaxFrames * (_frameSize / 8)) frames = frames[..(int)(MaxFrames * (_frameSize / 8))];
        uint hash;
        fixed (ulong* bytes = frames) hash = (uint)(HashLayout.Hash((byte*)bytes, (uint)frames.Length * 8, 0) >> 32);
        var id = hash & (_buckets - 1);
        using (MapEpoch.EnterThread())
            if (Matches(Volatile.Read(ref _table[id]), frames, hash, flags)) return (int)id;

        var list = _pool.Lock(0);
        var old = _table[id];
        int result;
        if (Matches(old, frames, hash, flags)) result = (int)id;
        else if (old != 0 && (flags & ReuseStackId) == 0) result = -(int)Errno.EEXIST;
        else if (old == 0 && Volatile.Read(ref _pool.Live) >= Spec.MaxEntries) result = -(int)Errno.ENOMEM;
        else
        {
            var fresh = _pool.Take(list);
            result = fresh == 0 ? -(int)Errno.ENOMEM : (int)id;
            if (fresh != 0)
            {
                var element = _pool.At(fresh);
                *(uint*)(element + 8) = (uint)frames.Length;
                *(uint*)(element + 12) = hash;
                frames.CopyTo(new Span<ulong>(element + 16, frames.Length));
                Volatile.Write(ref _table[id], fresh);
                if (old != 0) _pool.Retire(list, old);
                else Interlocked.Increment(ref _pool.Live);
            }
        }

        var counters = Statistics.Of(0);
        if (result >= 0) counters->Updates++;
        else counters->FailedUpdates++;
        ElementPool.Unlock(list);
        return result;
    }

    /// <inheritdoc/>
    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EINVAL;

    /// <inheritdoc/>
    public override int ProgramDelete(byte* key, uint cpu) => OnDelete(new ReadOnlySpan<byte>(key, 4));

    /// <inheritdoc/>
    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        var id = MemoryMarshal.Read<uint>(key);
        using var inside = MapEpoch.EnterThread();
        var element = id < _buckets ? Volatile.Read(ref _table[id]) : 0;
        if (element == 0) return -(int)Errno.ENOENT;
        Copy(element, value);
        return 0;
    }

    /// <inheritdoc/>
    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags) => -(int)Errno.EINVAL;

    /// <inheritdoc/>
    protected override int OnLookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        var id = MemoryMarshal.Read<uint>(key);
        if (id >= _buckets) return -(int)Errno.ENOENT;
        var list = _pool.Lock(0);
        var element = _table[id];
        if (element != 0)
        {
            Copy(element, value);
            Unlink(list, id, element);
        }

        ElementPool.Unlock(list);
        return element != 0 ? 0 : -(int)Errno.ENOENT;
    }

    /// <inheritdoc/>
    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        var id = MemoryMarshal.Read<uint>(key);
        if (id >= _buckets) return -(int)Errno.E2BIG;
        var list = _pool.Lock(0);
        var element = _table[id];
        if (element != 0) Unlink(list, id, element);
        ElementPool.Unlock(list);
        return element != 0 ? 0 : -(int)Errno.ENOENT;
    }

    /// <inheritdoc/>
    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        var id = 0u;
        if (!key.IsEmpty)
        {
            id = MemoryMarshal.Read<uint>(key);
            id = id >= _buckets || Volatile.Read(ref _table[id]) == 0 ? 0 : id + 1;
        }

        while (id < _buckets && Volatile.Read(ref _table[id]) == 0) id++;
        if (id >= _buckets) return -(int)Errno.ENOENT;
        MemoryMarshal.Write(nextKey, id);
        return 0;
    }

    private bool Matches(uint reference, ReadOnlySpan<ulong> frames, uint hash, ulong flags)
    {
        if (reference == 0) return false;
        var element = _pool.At(reference);
        if (*(uint*)(element + 12) != hash) return false;
        return (flags & FastStackCompare) != 0 || new ReadOnlySpan<ulong>(element + 16, *(int*)(element + 8)).SequenceEqual(frames);
    }

    private void Copy(uint reference, Span<byte> value)
    {
        var element = _pool.At(reference);
        var bytes = *(uint*)(element + 8) * 8;
        value = value[..(int)Spec.ValueSize];
        new ReadOnlySpan<byte>(element + 16, (int)bytes).CopyTo(value);
        value[(int)bytes..].Clear();
    }

    private void Unlink(ElementPool.CpuList* list, uint id, uint element)
    {
        Volatile.Write(ref _table[id], 0);
        Interlocked.Decrement(ref _pool.Live);
        _pool.Retire(list, element);
        Statistics.Of(0)->Deletes++;
    }
}
