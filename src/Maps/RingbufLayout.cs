namespace BpfSim.Maps;

/// <summary>
/// Where emitted code finds what it needs to reserve and submit records of a ring buffer; <see cref="RingbufMap"/> does the
/// same in C#. Offsets from <c>MapHeader.Extra</c>, the consumer's page:
/// <code>
///  -4096  nint GCHandle of the map, u64 size of the data minus one (the page that a record's header counts back to)
///  +0     u64  consumer's position
///  +4096  u64  producer's position      +4104 u64 position of the oldest record that is busy
///  +4224  i32  lock: 0 free, 1 held     +4352 i64 drops
///  +8192  data
/// </code>
/// </summary>
public static class RingbufLayout
{
    /// <summary>Bytes of a page, the unit of a record's page distance.</summary>
    public const int Page = 4096;

    /// <summary>Offset of the map's own page.</summary>
    public const int Own = -Page;

    /// <summary>Offset in the own page of the mask of positions.</summary>
    public const int OwnMask = 8;

    /// <summary>Offset of the producer's position.</summary>
    public const int Producer = Page;

    /// <summary>Offset of the position of the oldest busy record.</summary>
    public const int Pending = Page + 8;

    /// <summary>Offset of the producers' lock.</summary>
    public const int Lock = Page + 128;

    /// <summary>Offset of the number of drops.</summary>
    public const int Drops = Page + 256;

    /// <summary>Offset of the data.</summary>
    public const int Data = 2 * Page;

    /// <summary>Bytes of a record before its sample.</summary>
    public const int HeaderSize = 8;

    /// <summary>Bytes that a sample takes up with its header.</summary>
    public static ulong RecordLength(ulong size) => (size + HeaderSize + 7) & ~7ul;
}
