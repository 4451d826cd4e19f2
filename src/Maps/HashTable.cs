using System.Runtime.CompilerServices;

namespace BpfSim.Maps;

/// <summary>Buckets and chains of a hash map as <see cref="HashLayout"/> lays them out: finding without locks, linking under a bucket's bit.</summary>
internal sealed unsafe class HashTable
{
    private readonly MapHeader* _header;
    private readonly uint* _buckets;
    private readonly byte* _elements;
    private readonly int _shift;
    private readonly uint _keySize;
    private readonly ulong _seed;

    public HashTable(MapHeader* header, MapMemory memory, uint capacity, byte* elements, ulong seed)
    {
        _header = header;
        var buckets = Math.Max(2, System.Numerics.BitOperations.RoundUpToPowerOf2(capacity));
        _buckets = (uint*)memory.Allocate((nuint)buckets * sizeof(uint));
        _elements = elements;
        _shift = 64 - System.Numerics.BitOperations.Log2(buckets);
        _keySize = header->KeySize;
        _seed = seed;
        header->Data = (byte*)_buckets;
        header->Mask = buckets - 1;
        header->HashShift = (uint)_shift;
        header->Seed = seed;
        header->Extra = elements;
    }

    /// <summary>Number of buckets.</summary>
    public uint Buckets => (uint)_header->Mask + 1;

    /// <summary>The hash of a key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Hash(byte* key) => HashLayout.Hash(key, _keySize, _seed);

    /// <summary>The bucket word of a hash.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint* Bucket(ulong hash) => _buckets + (hash >> _shift);

    /// <summary>The bucket word by number.</summary>
    public uint* BucketAt(uint number) => _buckets + number;

    /// <summary>Number of the bucket of a hash.</summary>
    public uint NumberOf(ulong hash) => (uint)(hash >> _shift);

    /// <summary>The element with a key, without locks; 0 if there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Find(byte* key) => HashLayout.Find(_header, key, _keySize);

    /// <summary>The first element of a chain, without locks.</summary>
    public uint First(uint bucket) => Volatile.Read(ref _buckets[bucket]) & ~HashLayout.LockBit;

    /// <summary>The element after another one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Next(uint reference) => Volatile.Read(ref *(uint*)At(reference));

    /// <summary>Address of an element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* At(uint reference) => _elements + (8ul * reference);

    /// <summary>Address of an element's key.</summary>
    public byte* KeyOf(uint reference) => At(reference) + HashLayout.KeyOffset;

    /// <summary>Takes a bucket and returns its first element; counts a wait if it was taken.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Lock(uint* bucket, MapStatistics.CpuCounters* counters)
    {
        var word = *bucket;
        if ((word & HashLayout.LockBit) == 0 && Interlocked.CompareExchange(ref *bucket, word | HashLayout.LockBit, word) == word) return word;
        return Wait(bucket, counters);
    }

    /// <summary>Releases a bucket and publishes its first element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unlock(uint* bucket, uint first) => Volatile.Write(ref *bucket, first);

    /// <summary>Finds a key in a locked chain; <paramref name="before"/> is the element that precedes it, 0 if it is the first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint FindLocked(uint first, byte* key, out uint before)
    {
        before = 0;
        for (var reference = first; reference != 0; reference = *(uint*)At(reference))
        {
            if (HashLayout.KeysEqual(At(reference) + HashLayout.KeyOffset, key, _keySize)) return reference;
            before = reference;
        }

        return 0;
    }

    /// <summary>Puts <paramref name="next"/> where an element stood; returns the chain's first element afterwards.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Relink(uint first, uint before, uint next)
    {
        if (before == 0) return next;
        Volatile.Write(ref *(uint*)At(before), next);
        return first;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static uint Wait(uint* bucket, MapStatistics.CpuCounters* counters)
    {
        counters->LockWaits++;
        var spin = new SpinWait();
        while (true)
        {
            var word = Volatile.Read(ref *bucket);
            if ((word & HashLayout.LockBit) == 0 && Interlocked.CompareExchange(ref *bucket, word | HashLayout.LockBit, word) == word) return word;
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }
}
