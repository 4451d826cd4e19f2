namespace BpfSim.Maps;

/// <summary>
/// bloom_filter: a set that never forgets and sometimes claims too much. map_extra is the number of hash functions (0: 5);
/// the bits are what the kernel would take, so that the rate of false positives is the same.
/// </summary>
internal sealed unsafe class BloomFilterMap : BpfMap
{
    private readonly long* _bits;
    private readonly uint _mask;
    private readonly uint _functions;

    public BloomFilterMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        (_functions, var bits) = Size(spec);
        _mask = (uint)(bits - 1);
        _bits = (long*)Memory.Allocate((nuint)(bits / 8));
    }

    public override ulong MemoryBytes => KernelMemory.BloomFilter(Size(Spec).Bits);

    public override uint Count => 0;

    /// <summary>Number of hash functions, and of bits: 7/5 bits a function and entry, rounded up to a power of two of at least 64.</summary>
    internal static (uint Functions, ulong Bits) Size(MapSpec spec)
    {
        var functions = (uint)(spec.MapExtra & 15);
        if (functions == 0) functions = 5;
        var wanted = (ulong)spec.MaxEntries * functions * 7 / 5;
        return (functions, wanted > 1ul << 31 ? 1ul << 32 : Math.Max(64, System.Numerics.BitOperations.RoundUpToPowerOf2(wanted)));
    }

    public override int ProgramPush(byte* value, ulong flags)
    {
        if (flags != UpdateFlags.Any) return -(int)Errno.EINVAL;
        for (var i = 0u; i < _functions; i++)
        {
            var bit = Bit(value, i);
            if ((Volatile.Read(ref _bits[bit / 64]) >> (int)(bit % 64) & 1) == 0) Interlocked.Or(ref _bits[bit / 64], 1L << (int)(bit % 64));
        }

        Statistics.Of(0)->Updates++;
        return 0;
    }

    public override int ProgramPeek(byte* value)
    {
        for (var i = 0u; i < _functions; i++)
        {
            var bit = Bit(value, i);
            if ((Volatile.Read(ref _bits[bit / 64]) >> (int)(bit % 64) & 1) == 0) return -(int)Errno.ENOENT;
        }

        return 0;
    }

    /// <summary>BPF_MAP_LOOKUP_ELEM: the value is the question, not the answer.</summary>
    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        fixed (byte* v = value) return ProgramPeek(v);
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* v = value) return ProgramPush(v, flags);
    }

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EINVAL;

    protected override int OnDelete(ReadOnlySpan<byte> key) => -(int)Errno.EOPNOTSUPP;

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey) => -(int)Errno.EOPNOTSUPP;

    private uint Bit(byte* value, uint function)
    {
        var hash = HashLayout.Hash(value, Spec.ValueSize, (function + 1) * 0xD6E8FEB86659FD93);
        // The high half of a product is well mixed; fold it once more, since neighbouring seeds give neighbouring products.
        hash = (hash ^ (hash >> 32)) * HashLayout.Multiplier;
        return (uint)(hash >> 32) & _mask;
    }
}
