namespace BpfSim.Maps;

/// <summary>
/// What emitted code needs, besides <see cref="HashLayout"/>, to replace, insert and delete elements of a plain hash as
/// <see cref="HashMap"/> and <see cref="ElementPool"/> do it. Only maps whose <see cref="MapHeader.Lists"/> is set can be
/// changed in this way: of kind hash, and with nothing in their values that must be released.
/// <para>An update takes its CPU's list (<see cref="Held"/>: 0 free, 1 held), and goes on only if <see cref="LastEpoch"/> is the
/// current epoch (<see cref="MapEpoch.CurrentAddress"/>), <see cref="Ready"/> is not 0 (or the queue has room, for a deletion) and
/// <see cref="Open"/> + 1 is no multiple of <see cref="AdvanceEvery"/>; else C# does it. Then it takes the bucket by its bit 31, links the
/// element at the head of the queue in the place of the old one (or first), releases the bucket by writing it, and puts the old element to
/// the queue's tail. Insertions and deletions count in <see cref="MapHeader.Live"/>.</para>
/// </summary>
public static class HashUpdateLayout
{
    /// <summary>Bytes from one CPU's list to the next.</summary>
    public const int ListStride = 256;

    /// <summary>i32 lock of the list.</summary>
    public const int Held = 0;

    /// <summary>u32 elements at the head of the queue that nobody can see any more.</summary>
    public const int Ready = 4;

    /// <summary>u64 epoch in which the list was last in order.</summary>
    public const int LastEpoch = 8;

    /// <summary>Address of the queue of elements that are in no chain: u32 references, those that are ready first.</summary>
    public const int Queue = 16;

    /// <summary>u32 places of the queue, a power of two.</summary>
    public const int Size = 24;

    /// <summary>u32 number of elements that have left the queue.</summary>
    public const int Head = 28;

    /// <summary>u32 number of elements that have entered it: the next goes to this, modulo the size.</summary>
    public const int Tail = 32;

    /// <summary>u32 elements unlinked in this epoch.</summary>
    public const int Open = 36;

    /// <summary>So often C# is asked to try and advance the epoch.</summary>
    public const int AdvanceEvery = 32;

    /// <summary>Bytes from one CPU's counters (<see cref="MapHeader.Counters"/>) to the next's.</summary>
    public const int CountersStride = 128;

    /// <summary>i64 successful updates.</summary>
    public const int Updates = 16;

    /// <summary>i64 successful deletions.</summary>
    public const int Deletes = 32;
}
