namespace BpfSim.Maps;

/// <summary>A message to a <see cref="MapActor"/>. Errors come back in the reply as negated errno, never as a failure.</summary>
public abstract record MapMessage;

/// <summary>BPF_MAP_LOOKUP_ELEM; answered by <see cref="MapReply"/>. <paramref name="Value"/> only asks a bloom filter.</summary>
public sealed record LookupElem(byte[] Key, ulong Flags = 0, byte[]? Value = null) : MapMessage;

/// <summary>BPF_MAP_UPDATE_ELEM; answered by <see cref="MapReply"/>.</summary>
public sealed record UpdateElem(byte[] Key, byte[] Value, ulong Flags = 0) : MapMessage;

/// <summary>
/// Adds to the 8-byte counter at the start of a value, creating the entry if it is missing; answered by <see cref="MapReply"/>. Exact among
/// messages; a program that adds at the same time may still get lost, as with any read and write of user space.
/// </summary>
public sealed record AddElem(byte[] Key, long Delta) : MapMessage;

/// <summary>BPF_MAP_DELETE_ELEM; answered by <see cref="MapReply"/>.</summary>
public sealed record DeleteElem(byte[] Key) : MapMessage;

/// <summary>BPF_MAP_LOOKUP_AND_DELETE_ELEM; answered by <see cref="MapReply"/>.</summary>
public sealed record LookupAndDeleteElem(byte[] Key, ulong Flags = 0) : MapMessage;

/// <summary>BPF_MAP_GET_NEXT_KEY, null for the first; answered by <see cref="MapReply"/> with the key as value.</summary>
public sealed record GetNextKey(byte[]? Key) : MapMessage;

/// <summary>BPF_MAP_LOOKUP_BATCH or _LOOKUP_AND_DELETE_BATCH; answered by <see cref="BatchReply"/>.</summary>
public sealed record LookupBatch(byte[]? InBatch, uint Count, ulong ElemFlags = 0, bool Delete = false) : MapMessage;

/// <summary>BPF_MAP_UPDATE_BATCH; answered by <see cref="BatchReply"/>.</summary>
public sealed record UpdateBatch(byte[] Keys, byte[] Values, uint Count, ulong ElemFlags = 0) : MapMessage;

/// <summary>BPF_MAP_DELETE_BATCH; answered by <see cref="BatchReply"/>.</summary>
public sealed record DeleteBatch(byte[] Keys, uint Count, ulong ElemFlags = 0) : MapMessage;

/// <summary>All entries; answered by a <see cref="MapSnapshot"/>.</summary>
public sealed record GetSnapshot : MapMessage;

/// <summary>BPF_MAP_FREEZE; answered by <see cref="MapReply"/>.</summary>
public sealed record FreezeMap : MapMessage;

/// <summary>Answered by <see cref="MapStatus"/>.</summary>
public sealed record GetStatistics : MapMessage;

/// <summary>
/// The sender gets a <see cref="MapReply"/>, then a <see cref="MapDelta"/> with everything, then one an interval while there are changes. Each must be
/// acknowledged by <see cref="DeltaReceived"/>; until then changes wait and are merged. Ends with <see cref="UnwatchMap"/> or the sender's death.
/// </summary>
public sealed record WatchMap(TimeSpan Interval) : MapMessage;

/// <summary>The sender wants no more deltas.</summary>
public sealed record UnwatchMap : MapMessage;

/// <summary>The sender has worked off a delta.</summary>
public sealed record DeltaReceived(long Sequence) : MapMessage;

/// <summary>The answer to a command: 0 or a negated errno, and what was read.</summary>
public sealed record MapReply(int Errno, byte[]? Value = null);

/// <summary>The answer to a batch command.</summary>
public sealed record BatchReply(int Errno, uint Count, byte[]? OutBatch = null, byte[]? Keys = null, byte[]? Values = null);

/// <summary>What changed between two moments of a map: new or changed entries, and keys that are gone. Sequences start at 1 without gaps.</summary>
public sealed record MapDelta(long Sequence, IReadOnlyList<KeyValuePair<byte[], byte[]>> Changed, IReadOnlyList<byte[]> Removed);

/// <summary>A map's state in numbers. Memory in bytes: as the kernel would account it, and as held here.</summary>
public sealed record MapStatus(MapSpec Spec, uint Id, uint Entries, bool Frozen, ulong MemoryBytes, ulong NativeBytes, MapCounters Counters);
