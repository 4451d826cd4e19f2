using System.Runtime.CompilerServices;

namespace BpfSim.Maps;

/// <summary>
/// The native layout of all hash kinds and their hash function: what emitted code relies on for an inlined
/// lookup, and <see cref="Find"/> does the same in C#. All numbers little-endian.
/// <code>
/// MapHeader.Data       u32 bucket[Mask + 1]      word: bit 31 = locked by an updater, bits 0..30 = reference
///                                                of the first element, 0 = none
/// MapHeader.Extra      element of reference r is at Extra + 8 * r
/// element              +0  u32 next              reference of the next element, 0 = none (never has bit 31)
///                      +4  u32 tag               hash, lru_hash, hash_of_maps: the high half of the key's hash
///                                                per-CPU kinds: value reference v
///                      +8  key                   KeySize bytes
///                      +ValueOffset value        8 + KeySize rounded up to 8; not in per-CPU kinds
/// per-CPU value        ValueBase + 8 * v + cpu * CpuStride
/// LRU kinds            a hit sets byte ReferencedBase[r] to 1 (test first: the line is shared)
/// hash_of_maps         the value is the MapHeader* of the inner map
/// </code>
/// <para>Hash of a key: h = Seed; for every 8-byte word w of the key: h = (h ^ w) * <see cref="Multiplier"/>, and before every
/// word but the first h ^= h &gt;&gt; 32. A rest of 4 to 7, 2 to 3 or 1 bytes makes a last word from those bytes, zero-extended.
/// The bucket is h &gt;&gt; HashShift. For keys of 4 and 8 bytes that is: load, xor, multiply, shift.</para>
/// <para>A lookup: load the bucket word, clear bit 31, walk while the reference is not 0; compare the key (for keys longer than 16
/// bytes the tag first, where it is a hash). No lock, no fence. An element that is unlinked during the walk keeps its
/// next field and its key until everybody inside the <see cref="MapEpoch"/> has left.</para>
/// </summary>
public static unsafe class HashLayout
{
    /// <summary>The odd constant of the multiplicative hash (2^64 divided by the golden ratio).</summary>
    public const ulong Multiplier = 0x9E3779B97F4A7C15;

    /// <summary>Bit of a bucket word that says that an updater holds the bucket.</summary>
    public const uint LockBit = 0x8000_0000;

    /// <summary>Offset of the tag in an element.</summary>
    public const uint TagOffset = 4;

    /// <summary>Offset of the key in an element.</summary>
    public const uint KeyOffset = 8;

    /// <summary>The 64-bit hash of a key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Hash(byte* key, uint size, ulong seed)
    {
        if (size == 8) return (seed ^ *(ulong*)key) * Multiplier;
        if (size == 4) return (seed ^ *(uint*)key) * Multiplier;
        return HashLong(key, size, seed);
    }

    /// <summary>Whether two keys are equal.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool KeysEqual(byte* a, byte* b, uint size)
    {
        if (size == 8) return *(ulong*)a == *(ulong*)b;
        if (size == 4) return *(uint*)a == *(uint*)b;
        if (size == 16) return *(ulong*)a == *(ulong*)b && ((ulong*)a)[1] == ((ulong*)b)[1];
        return new ReadOnlySpan<byte>(a, (int)size).SequenceEqual(new ReadOnlySpan<byte>(b, (int)size));
    }

    /// <summary>The reference of the element with a key, 0 if there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Find(MapHeader* map, byte* key, uint keySize)
    {
        var hash = Hash(key, keySize, map->Seed);
        var elements = (byte*)map->Extra;
        var reference = Volatile.Read(ref ((uint*)map->Data)[hash >> (int)map->HashShift]) & ~LockBit;
        while (reference != 0)
        {
            var element = elements + (8ul * reference);
            if (KeysEqual(element + KeyOffset, key, keySize)) break;
            reference = Volatile.Read(ref *(uint*)element);
        }

        return reference;
    }

    private static ulong HashLong(byte* key, uint size, ulong seed)
    {
        var hash = seed;
        var first = true;
        for (; size >= 8; size -= 8, key += 8, first = false)
            hash = ((first ? hash : hash ^ (hash >> 32)) ^ *(ulong*)key) * Multiplier;
        if (size == 0) return hash;
        var (word, shift) = (0ul, 0);
        if ((size & 4) != 0)
        {
            (word, shift) = (*(uint*)key, 32);
            key += 4;
        }

        if ((size & 2) != 0)
        {
            word |= (ulong)*(ushort*)key << shift;
            shift += 16;
            key += 2;
        }

        if ((size & 1) != 0) word |= (ulong)*key << shift;
        return ((first ? hash : hash ^ (hash >> 32)) ^ word) * Multiplier;
    }
}
