using System.Buffers.Binary;
using System.Numerics;

namespace BpfSim.Maps;

/// <summary>
/// lpm_trie: keys are a prefix length in bits and data, most significant bit first; a lookup finds the longest
/// stored prefix of its key. A binary radix trie: a node with a value, or an inner one where two prefixes part. Lookups take
/// no lock; writers share one, and publish every change by a single store.
/// </summary>
internal sealed unsafe class LpmTrieMap : BpfMap
{
    // Node: +0 u32 child for bit 0, +4 u32 child for bit 1, +8 u32 prefix length, +12 u32 has a value?, +16 data, then value.
    private const uint DataOffset = 16;
    private readonly ElementPool _pool;
    private readonly uint* _root;
    private readonly uint _dataSize;
    private readonly uint _maxPrefix;
    private readonly uint _valueOffset;

    public LpmTrieMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _dataSize = spec.KeySize - 4;
        _maxPrefix = _dataSize * 8;
        _valueOffset = DataOffset + RoundUp8(_dataSize);
        _pool = new ElementPool(Memory, 1, checked(spec.MaxEntries * 2), _valueOffset + RoundUp8(spec.ValueSize));
        _root = (uint*)Memory.Allocate(sizeof(uint));
    }

    public override ulong MemoryBytes => KernelMemory.LpmTrie(Spec, Count);

    public override uint Count => (uint)Volatile.Read(ref _pool.Live);

    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        var length = *(uint*)key;
        byte* found = null;
        if (length > _maxPrefix) return null;
        for (var at = Volatile.Read(ref *_root); at != 0;)
        {
            var node = _pool.At(at);
            var matched = MatchedBits(node, key + 4, length);
            if (matched < PrefixOf(node)) break;
            if (HasValue(node)) found = node + _valueOffset;
            if (matched == _maxPrefix || matched == length) break;
            at = Volatile.Read(ref Child(node, BitAt(key + 4, PrefixOf(node))));
        }

        return found;
    }

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu)
    {
        var length = *(uint*)key;
        if (flags > UpdateFlags.Exist || length > _maxPrefix) return -(int)Errno.EINVAL;
        var list = _pool.Lock(0);
        var errno = Insert(list, key + 4, length, value, flags);
        var counters = Statistics.Of(cpu);
        if (errno == Errno.None) counters->Updates++;
        else counters->FailedUpdates++;
        ElementPool.Unlock(list);
        return -(int)errno;
    }

    public override int ProgramDelete(byte* key, uint cpu)
    {
        if (*(uint*)key > _maxPrefix) return -(int)Errno.EINVAL;
        var list = _pool.Lock(0);
        var errno = Remove(list, key + 4, *(uint*)key);
        if (errno == Errno.None) Statistics.Of(cpu)->Deletes++;
        ElementPool.Unlock(list);
        return -(int)errno;
    }

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        using var inside = MapEpoch.EnterThread();
        fixed (byte* k = key, to = value)
        {
            var found = ProgramLookup(k, 0);
            if (found == null) return -(int)Errno.ENOENT;
            Layout.CopyOut(to, found);
            return 0;
        }
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* k = key, v = value) return ProgramUpdate(k, v, flags, UserCpu);
    }

    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key) return ProgramDelete(k, UserCpu);
    }

    /// <summary>Prefixes in the order of the kernel: what is longer comes before what contains it, 0 before 1.</summary>
    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        using var inside = MapEpoch.EnterThread();
        fixed (byte* k = key, to = nextKey)
        {
            var next = NextAfter(k);
            if (next == 0) return -(int)Errno.ENOENT;
            var node = _pool.At(next);
            *(uint*)to = PrefixOf(node);
            ValueLayout.CopyBytes(to + 4, node + DataOffset, _dataSize);
            return 0;
        }
    }

    protected override void OnDispose()
    {
        if (Layout.NeedsRelease) Release(*_root);
    }

    private void Release(uint at)
    {
        if (at == 0) return;
        var node = _pool.At(at);
        Release(Child(node, 0));
        Release(Child(node, 1));
        if (HasValue(node)) ReleaseValue(node + _valueOffset);
    }

    private Errno Insert(ElementPool.CpuList* list, byte* data, uint length, byte* value, ulong flags)
    {
        var slot = _root;
        uint at, matched = 0;
        byte* node = null;
        while ((at = *slot) != 0)
        {
            node = _pool.At(at);
            matched = MatchedBits(node, data, length);
            if (matched != PrefixOf(node) || PrefixOf(node) == length || PrefixOf(node) == _maxPrefix) break;
            slot = (uint*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref Child(node, BitAt(data, PrefixOf(node))));
        }

        var same = at != 0 && PrefixOf(node) == length && matched == length;
        var exists = same && HasValue(node);
        if (exists && flags == UpdateFlags.NoExist) return Errno.EEXIST;
        if (!exists && flags == UpdateFlags.Exist) return Errno.ENOENT;
        if (!exists && Volatile.Read(ref _pool.Live) >= Spec.MaxEntries) return Errno.ENOSPC;
        var fresh = NewNode(list, data, length, value);
        if (fresh == 0) return Errno.ENOMEM;
        if (!exists) Interlocked.Increment(ref _pool.Live);
        var freshNode = _pool.At(fresh);
        if (same)
        {
            (Child(freshNode, 0), Child(freshNode, 1)) = (Child(node, 0), Child(node, 1));
            Volatile.Write(ref *slot, fresh);
            if (exists) ReleaseValue(node + _valueOffset);
            _pool.Retire(list, at);
        }
        else if (at == 0) Volatile.Write(ref *slot, fresh);
        else if (matched == length)
        {
            Child(freshNode, BitAt(node + DataOffset, length)) = at;
            Volatile.Write(ref *slot, fresh);
        }
        else
        {
            var inner = NewNode(list, data, matched, null);
            if (inner == 0)
            {
                _pool.PutBack(list, fresh);
                Interlocked.Decrement(ref _pool.Live);
                return Errno.ENOMEM;
            }

            var innerNode = _pool.At(inner);
            var bit = BitAt(data, matched);
            (Child(innerNode, bit), Child(innerNode, bit ^ 1)) = (fresh, at);
            Volatile.Write(ref *slot, inner);
        }

        return Errno.None;
    }

    private Errno Remove(ElementPool.CpuList* list, byte* data, uint length)
    {
        var slot = _root;
        uint* parentSlot = null;
        uint at, parent = 0;
        byte* node = null;
        while ((at = *slot) != 0)
        {
            node = _pool.At(at);
            var matched = MatchedBits(node, data, length);
            if (matched != PrefixOf(node)) return Errno.ENOENT;
            if (PrefixOf(node) == length) break;
            parent = at;
            parentSlot = slot;
            slot = (uint*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref Child(node, BitAt(data, PrefixOf(node))));
        }

        if (at == 0 || !HasValue(node)) return Errno.ENOENT;
        Interlocked.Decrement(ref _pool.Live);
        ReleaseValue(node + _valueOffset);
        if (Child(node, 0) != 0 && Child(node, 1) != 0)
        {
            // Two prefixes part here: the node stays as an inner one.
            Volatile.Write(ref *(uint*)(node + 12), 0);
            return Errno.None;
        }

        var rest = Child(node, 0) != 0 ? Child(node, 0) : Child(node, 1);
        var parentNode = parent != 0 ? _pool.At(parent) : null;
        if (rest == 0 && parent != 0 && !HasValue(parentNode))
        {
            // The inner parent parts nothing any more: its other child takes its place.
            var other = slot == (uint*)parentNode ? Child(parentNode, 1) : Child(parentNode, 0);
            Volatile.Write(ref *parentSlot, other);
            _pool.Retire(list, parent);
        }
        else Volatile.Write(ref *slot, rest);
        _pool.Retire(list, at);
        return Errno.None;
    }

    /// <summary>The node after a key's in post-order; the first if the key is null or not there; 0 at the end.</summary>
    private uint NextAfter(byte* key)
    {
        var path = stackalloc uint[(int)_maxPrefix + 2];
        var depth = 0;
        var at = Volatile.Read(ref *_root);
        if (at == 0) return 0;
        if (key != null && *(uint*)key <= _maxPrefix)
        {
            var data = key + 4;
            var length = *(uint*)key;
            while (at != 0)
            {
                var node = _pool.At(at);
                path[depth++] = at;
                if (MatchedBits(node, data, length) != PrefixOf(node)) break;
                if (PrefixOf(node) == length)
                {
                    if (HasValue(node)) return Climb(path, depth);
                    break;
                }

                at = Volatile.Read(ref Child(node, BitAt(data, PrefixOf(node))));
            }
        }

        return First(Volatile.Read(ref *_root));
    }

    private uint Climb(uint* path, int depth)
    {
        for (var i = depth - 1; i > 0; i--)
        {
            var parent = _pool.At(path[i - 1]);
            var second = Volatile.Read(ref Child(parent, 1));
            if (Volatile.Read(ref Child(parent, 0)) == path[i] && second != 0 && First(second) is var first and not 0) return first;
            if (HasValue(parent)) return path[i - 1];
        }

        return 0;
    }

    /// <summary>The first node with a value in post-order under a node.</summary>
    private uint First(uint at)
    {
        while (at != 0)
        {
            var node = _pool.At(at);
            var next = Volatile.Read(ref Child(node, 0));
            if (next == 0) next = Volatile.Read(ref Child(node, 1));
            if (next == 0) return HasValue(node) ? at : 0;
            at = next;
        }

        return 0;
    }

    private uint NewNode(ElementPool.CpuList* list, byte* data, uint length, byte* value)
    {
        var fresh = _pool.Take(list);
        if (fresh == 0) return 0;
        var node = _pool.At(fresh);
        (Child(node, 0), Child(node, 1)) = (0, 0);
        *(uint*)(node + 8) = length;
        *(uint*)(node + 12) = value == null ? 0u : 1u;
        ValueLayout.CopyBytes(node + DataOffset, data, _dataSize);
        if (value != null) Layout.Fill(node + _valueOffset, value);
        return fresh;
    }

    private static ref uint Child(byte* node, int bit) => ref ((uint*)node)[bit];

    private static uint PrefixOf(byte* node) => *(uint*)(node + 8);

    private static bool HasValue(byte* node) => Volatile.Read(ref *(uint*)(node + 12)) != 0;

    private static int BitAt(byte* data, uint index) => data[index / 8] >> (int)(7 - (index % 8)) & 1;

    /// <summary>How many leading bits a node's prefix and a key share.</summary>
    private uint MatchedBits(byte* node, byte* data, uint length)
    {
        var limit = Math.Min(PrefixOf(node), length);
        var mine = node + DataOffset;
        var i = 0u;
        for (; (i * 8) + 32 <= limit; i += 4)
        {
            var differs = BinaryPrimitives.ReverseEndianness(*(uint*)(mine + i) ^ *(uint*)(data + i));
            if (differs != 0) return (i * 8) + (uint)BitOperations.LeadingZeroCount(differs);
        }

        for (; i * 8 < limit; i++)
        {
            var differs = (uint)(mine[i] ^ data[i]);
            if (differs != 0) return Math.Min(limit, (i * 8) + (uint)BitOperations.LeadingZeroCount(differs) - 24);
        }

        return limit;
    }
}
