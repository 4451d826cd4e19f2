using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// A live map. Two doors lead to it: the <c>Program…</c> methods are what helpers do inside a running
/// program (pointers, no copies, the calling CPU known); the others are the bpf(2) commands of user space
/// (spans, copies). Both return 0 or a negated <see cref="Errno"/>. All methods may be called from any thread.
/// <para>A pointer that a program got stays readable while its CPU stands in the <see cref="MapEpoch"/>.
/// Whether a descriptor may read or write is the business of whoever hands out descriptors; whether the map
/// is frozen is known here.</para>
/// </summary>
public abstract unsafe partial class BpfMap : IMapReferent, IDisposable
{
    private readonly GCHandle _self;
    private int _references = 1;

    /// <summary>Allocates the native header; the derived kind fills what emitted code reads of it.</summary>
    protected BpfMap(MapSpec spec, uint cpus) : this(spec, cpus, spec.ValueSize)
    {
    }

    /// <summary>The same for a kind that keeps something else than the user's value.</summary>
    private protected BpfMap(MapSpec spec, uint cpus, uint storedSize)
    {
        Spec = spec;
        Cpus = cpus;
        Info = MapTypes.Get(spec.Type);
        Layout = new ValueLayout(spec, storedSize);
        Statistics = new MapStatistics(Memory, cpus);
        _self = GCHandle.Alloc(this, GCHandleType.Weak);
        Header = (MapHeader*)Memory.Allocate((nuint)sizeof(MapHeader));
        *Header = new MapHeader
        {
            Self = GCHandle.ToIntPtr(_self),
            Type = spec.Type,
            KeySize = spec.KeySize,
            ValueSize = spec.ValueSize,
            MaxEntries = spec.MaxEntries,
        };
    }

    /// <summary>What the map was created from.</summary>
    public MapSpec Spec { get; }

    /// <summary>The row of the map's kind.</summary>
    public MapTypeInfo Info { get; }

    /// <summary>Number of possible CPUs: copies that a per-CPU map keeps of each value.</summary>
    public uint Cpus { get; }

    /// <summary>The id that user space sees, given by the machine; 0 before.</summary>
    public uint Id { get; set; }

    /// <summary>
    /// Whoever gives the map its id and counts who refers to it, other maps among them, so that an inner map keeps its id; null if
    /// that is the map itself.
    /// </summary>
    public IMapReferent? Owner { get; set; }

    /// <summary>Set by BPF_MAP_FREEZE: user space can no longer write.</summary>
    public bool Frozen { get; protected set; }

    /// <summary>What has happened to the map so far.</summary>
    public MapStatistics Statistics { get; }

    /// <summary>
    /// Called with the address of a value that is about to die and has special fields (timers, kptrs, lists):
    /// whoever knows how to release them sets it. May be called on any thread, never for plain values.
    /// </summary>
    public Action<BpfMap, nint>? ReleaseFields { get; set; }

    /// <summary>
    /// The map's address as programs know it: r1 of every map helper points here. Stays valid until
    /// <see cref="Dispose()"/>; the machine disposes a map only after every program that uses it is gone.
    /// </summary>
    public MapHeader* Header { get; private set; }

    /// <summary>Bytes of memory accounted to the map, as the kernel's fdinfo and bpftool's memlock show them.</summary>
    public abstract ulong MemoryBytes { get; }

    /// <summary>Bytes of native memory that the simulation holds for the map, touched or not.</summary>
    public ulong NativeBytes => Memory.Bytes;

    /// <summary>Bytes of a value as user space reads and writes it: of per-CPU kinds all copies, each rounded up to 8.</summary>
    public virtual uint UserValueSize => Info.IsPerCpu ? RoundUp8(Spec.ValueSize) * Cpus : Spec.ValueSize;

    /// <summary>Number of entries now, as far as the kind has any.</summary>
    public virtual uint Count => Spec.MaxEntries;

    /// <summary>The map's native memory.</summary>
    private protected MapMemory Memory { get; } = new();

    /// <summary>How values are copied.</summary>
    private protected ValueLayout Layout { get; }

    /// <summary>The map behind a pointer that a program handed to a helper.</summary>
    public static BpfMap FromHeader(MapHeader* header) => Unsafe.As<BpfMap>(GCHandle.FromIntPtr(header->Self).Target!);

    /// <summary>bpf_map_lookup_elem: address of the live value, or null.</summary>
    public virtual byte* ProgramLookup(byte* key, uint cpu) => null;

    /// <summary>bpf_map_lookup_percpu_elem: address of that CPU's live value, or null.</summary>
    public virtual byte* ProgramLookupPercpu(byte* key, uint cpu) => cpu < Cpus ? ProgramLookup(key, cpu) : null;

    /// <summary>bpf_map_update_elem with BPF_ANY, NOEXIST, EXIST or F_LOCK.</summary>
    public virtual int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EOPNOTSUPP;

    /// <summary>bpf_map_delete_elem.</summary>
    public virtual int ProgramDelete(byte* key, uint cpu) => -(int)Errno.EOPNOTSUPP;

    /// <summary>bpf_map_push_elem.</summary>
    public virtual int ProgramPush(byte* value, ulong flags) => -(int)Errno.EOPNOTSUPP;

    /// <summary>bpf_map_pop_elem.</summary>
    public virtual int ProgramPop(byte* value) => -(int)Errno.EOPNOTSUPP;

    /// <summary>bpf_map_peek_elem; of a bloom filter the test for membership.</summary>
    public virtual int ProgramPeek(byte* value) => -(int)Errno.EOPNOTSUPP;

    /// <summary>
    /// One step of bpf_for_each_map_elem: the next entry after the cursor (start with default), or false at
    /// the end. Key and value stay readable as after a lookup.
    /// </summary>
    public virtual bool ProgramNext(ref MapCursor cursor, uint cpu, out byte* key, out byte* value)
    {
        key = value = null;
        return false;
    }

    /// <summary>BPF_MAP_LOOKUP_ELEM: copies the value (<see cref="UserValueSize"/> bytes; flags: F_LOCK).</summary>
    public int Lookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0)
    {
        if ((flags & ~UpdateFlags.Lock) != 0 || LockMissing(flags)) return -(int)Errno.EINVAL;
        return key.Length != Spec.KeySize || value.Length < UserValueSize ? -(int)Errno.EINVAL : OnLookup(key, value, flags);
    }

    /// <summary>BPF_MAP_UPDATE_ELEM.</summary>
    public int Update(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags = 0)
    {
        if (Frozen) return -(int)Errno.EPERM;
        if (LockMissing(flags) || key.Length != Spec.KeySize || value.Length < UserValueSize) return -(int)Errno.EINVAL;
        return OnUpdate(key, value, flags);
    }

    /// <summary>BPF_MAP_DELETE_ELEM.</summary>
    public int Delete(ReadOnlySpan<byte> key)
    {
        if (Frozen) return -(int)Errno.EPERM;
        return key.Length != Spec.KeySize ? -(int)Errno.EINVAL : OnDelete(key);
    }

    /// <summary>BPF_MAP_LOOKUP_AND_DELETE_ELEM.</summary>
    public int LookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0)
    {
        if ((flags & ~UpdateFlags.Lock) != 0) return -(int)Errno.EINVAL;
        if (Frozen) return -(int)Errno.EPERM;
        if (flags != 0 && Spec.Type is MapType.Queue or MapType.Stack) return -(int)Errno.EINVAL;
        if (LockMissing(flags) || key.Length != Spec.KeySize || value.Length < UserValueSize) return -(int)Errno.EINVAL;
        return OnLookupAndDelete(key, value, flags);
    }

    /// <summary>BPF_MAP_GET_NEXT_KEY: an empty key asks for the first; a key that is not there does so too.</summary>
    public int GetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        if (key.Length != 0 && key.Length != Spec.KeySize) return -(int)Errno.EINVAL;
        return nextKey.Length < Spec.KeySize ? -(int)Errno.EINVAL : OnGetNextKey(key, nextKey);
    }

    /// <summary>
    /// Stores a reference (inner map, program, perf event, cgroup, socket) under a key, as BPF_MAP_UPDATE_ELEM
    /// with a descriptor does; <see cref="MapTypeInfo.References"/> says which kinds hold what.
    /// </summary>
    public int UpdateReference(ReadOnlySpan<byte> key, IMapReferent target, ulong flags = 0)
    {
        if (Frozen) return -(int)Errno.EPERM;
        return key.Length != Spec.KeySize || LockMissing(flags) ? -(int)Errno.EINVAL : OnUpdateReference(key, target, flags);
    }

    /// <summary>BPF_MAP_FREEZE: no more writes from user space; EPERM if it is frozen already, ENOTSUPP for values with special fields.</summary>
    public virtual int Freeze()
    {
        if (Spec.Type == MapType.StructOps || Spec.SpecialFields.Count > 0) return -(int)Errno.ENOTSUPP;
        if (Frozen) return -(int)Errno.EPERM;
        Frozen = true;
        return 0;
    }

    /// <summary>Copies a value out; the arguments have been checked.</summary>
    protected virtual int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags) => -(int)Errno.ENOTSUPP;

    /// <summary>Creates or replaces an entry; sizes and F_LOCK have been checked.</summary>
    protected virtual int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags) => -(int)Errno.ENOTSUPP;

    /// <summary>Deletes an entry.</summary>
    protected virtual int OnDelete(ReadOnlySpan<byte> key) => -(int)Errno.ENOTSUPP;

    /// <summary>Deletes an entry and copies its last value out.</summary>
    protected virtual int OnLookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags) => -(int)Errno.ENOTSUPP;

    /// <summary>Copies the key after the given one.</summary>
    protected virtual int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey) => -(int)Errno.ENOTSUPP;

    /// <summary>Stores a reference.</summary>
    protected virtual int OnUpdateReference(ReadOnlySpan<byte> key, IMapReferent target, ulong flags) => -(int)Errno.EINVAL;

    /// <summary>Another holder keeps the map alive until it calls <see cref="Dispose()"/> too.</summary>
    public void Retain() => Interlocked.Increment(ref _references);

    /// <summary>Gives one reference back; with the last one the native memory goes. No program may use the map any more.</summary>
    public void Dispose()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            OnDispose();
            _self.Free();
            Header = null;
            Memory.Dispose();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Lets go of what the kind holds besides native memory.</summary>
    protected virtual void OnDispose()
    {
    }

    void IMapReferent.Retain()
    {
        if (Owner is { } owner) owner.Retain();
        else Retain();
    }

    void IMapReferent.Release()
    {
        if (Owner is { } owner) owner.Release();
        else MapEpoch.Defer(Dispose);
    }

    /// <summary>The next multiple of 8.</summary>
    internal static uint RoundUp8(uint size) => (size + 7) & ~7u;

    private protected bool LockMissing(ulong flags) => (flags & UpdateFlags.Lock) != 0 && Layout.SpinLockOffset < 0;

    /// <summary>
    /// The CPU whose lists and counters a user-space operation uses. In an LRU map it decides who is evicted: there it is always the first, so
    /// that runs can be repeated.
    /// </summary>
    private protected uint UserCpu => Spec.Type is MapType.LruHash or MapType.LruPercpuHash ? 0 : (uint)Environment.CurrentManagedThreadId % Cpus;

    private protected virtual void ReleaseValue(byte* value)
    {
        if (Layout.NeedsRelease) ReleaseFields?.Invoke(this, (nint)value);
    }
}

/// <summary>Where an iteration over a map stands; default is before the first entry.</summary>
public struct MapCursor
{
    internal uint Slot;
    internal uint Element;
    internal uint Key;
}

/// <summary>Something that a map can refer to: a map, a program, a perf event, a cgroup, a socket.</summary>
public interface IMapReferent
{
    /// <summary>The id that user space reads back.</summary>
    uint Id { get; }

    /// <summary>A map starts to refer to it.</summary>
    void Retain();

    /// <summary>A map no longer refers to it. Programs may hold it until they end, so the last one defers (<see cref="MapEpoch.Defer"/>).</summary>
    void Release();
}

/// <summary>
/// The native head of every map, where emitted code finds what it needs for an inlined lookup: of arrays see
/// <see cref="ArrayMap"/>, of hashes <see cref="HashLayout"/>, of tail calls <see cref="ReferenceArray"/>, of map-in-map
/// arrays ArrayOfMaps. All fields but <see cref="Data"/> of growing kinds are constant for the map's life.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct MapHeader
{
    /// <summary>GCHandle of the <see cref="BpfMap"/>.</summary>
    public nint Self;

    /// <summary>The kind.</summary>
    public MapType Type;

    /// <summary>Key size in bytes.</summary>
    public uint KeySize;

    /// <summary>Value size in bytes, as created.</summary>
    public uint ValueSize;

    /// <summary>Capacity.</summary>
    public uint MaxEntries;

    /// <summary>Arrays: first value (of CPU 0). Hashes: the bucket table.</summary>
    public byte* Data;

    /// <summary>Arrays: bytes from one value to the next. Hashes: bytes of an element.</summary>
    public ulong Stride;

    /// <summary>Per-CPU kinds: bytes from one CPU's copy to the next.</summary>
    public ulong CpuStride;

    /// <summary>Hashes: number of buckets minus one (see <see cref="HashShift"/>). Arrays: a mask that every valid index passes unchanged.</summary>
    public ulong Mask;

    /// <summary>Hashes: the seed of the hash function.</summary>
    public ulong Seed;

    /// <summary>Hashes: where element references count from. Other kinds: see there.</summary>
    public void* Extra;

    /// <summary>Hashes: bytes from the start of an element to its value. See <see cref="HashLayout"/>.</summary>
    public uint ValueOffset;

    /// <summary>Hashes: by how much a 64-bit hash is shifted right to give the bucket's number.</summary>
    public uint HashShift;

    /// <summary>The number of possible CPUs.</summary>
    public uint Cpus;

    /// <summary>Per-CPU hashes: where value references count from (CPU 0). Otherwise null.</summary>
    public byte* ValueBase;

    /// <summary>LRU hashes: one byte a reference unit, set to 1 by whoever looks an element up. Otherwise null.</summary>
    public byte* ReferencedBase;

    /// <summary>Hashes that emitted code may change: the CPUs' lists of elements, see <see cref="HashUpdateLayout"/>. Otherwise null.</summary>
    public void* Lists;

    /// <summary>The same: number of entries.</summary>
    public int* Live;

    /// <summary>The same: the CPUs' counters.</summary>
    public void* Counters;
}
