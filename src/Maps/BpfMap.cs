using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// A live map. Two doors lead to it: the <c>Program…</c> methods are what helpers do inside a running
/// program (pointers, no copies, the calling CPU known); the others are the bpf(2) commands of user space
/// (spans, copies). Both return 0 or a negated <see cref="Errno"/>. All methods may be called from any thread.
/// </summary>
public abstract unsafe class BpfMap : IDisposable
{
    private GCHandle _self;

    /// <summary>Allocates the native header; the derived kind fills what emitted code reads of it.</summary>
    protected BpfMap(MapSpec spec, uint cpus)
    {
        Spec = spec;
        Cpus = cpus;
        _self = GCHandle.Alloc(this, GCHandleType.Weak);
        Header = (MapHeader*)NativeMemory.AllocZeroed((nuint)sizeof(MapHeader));
        *Header = new MapHeader
        {
            Self = GCHandle.ToIntPtr(_self), Type = spec.Type, KeySize = spec.KeySize, ValueSize = spec.ValueSize,
            MaxEntries = spec.MaxEntries,
        };
    }

    /// <summary>What the map was created from.</summary>
    public MapSpec Spec { get; }

    /// <summary>Number of possible CPUs: copies that a per-CPU map keeps of each value.</summary>
    public uint Cpus { get; }

    /// <summary>The id that user space sees, given by the machine; 0 before.</summary>
    public uint Id { get; set; }

    /// <summary>Set by BPF_MAP_FREEZE: user space can no longer write.</summary>
    public bool Frozen { get; protected set; }

    /// <summary>
    /// The map's address as programs know it: r1 of every map helper points here. Stays valid until
    /// <see cref="Dispose()"/>; the machine disposes a map only after every program that uses it is gone.
    /// </summary>
    public MapHeader* Header { get; private set; }

    /// <summary>Bytes of memory accounted to the map, as bpftool's memlock shows them.</summary>
    public abstract ulong MemoryBytes { get; }

    /// <summary>The map behind a pointer that a program handed to a helper.</summary>
    public static BpfMap FromHeader(MapHeader* header) => (BpfMap)GCHandle.FromIntPtr(header->Self).Target!;

    /// <summary>bpf_map_lookup_elem: address of the live value, or null.</summary>
    public virtual byte* ProgramLookup(byte* key, uint cpu) => null;

    /// <summary>bpf_map_update_elem with BPF_ANY, NOEXIST, EXIST or F_LOCK.</summary>
    public virtual int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EOPNOTSUPP;

    /// <summary>bpf_map_delete_elem.</summary>
    public virtual int ProgramDelete(byte* key, uint cpu) => -(int)Errno.EOPNOTSUPP;

    /// <summary>BPF_MAP_LOOKUP_ELEM: copies the value (of a per-CPU map: all CPUs' values, each rounded up to 8 bytes).</summary>
    public abstract int Lookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags = 0);

    /// <summary>BPF_MAP_UPDATE_ELEM.</summary>
    public abstract int Update(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags = 0);

    /// <summary>BPF_MAP_DELETE_ELEM.</summary>
    public abstract int Delete(ReadOnlySpan<byte> key);

    /// <summary>BPF_MAP_GET_NEXT_KEY: an empty key asks for the first.</summary>
    public abstract int GetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey);

    /// <summary>BPF_MAP_FREEZE.</summary>
    public virtual int Freeze()
    {
        Frozen = true;
        return 0;
    }

    /// <summary>Frees the native memory. No program may use the map any more.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the kind allocated, then the header.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (Header == null) return;
        NativeMemory.Free(Header);
        Header = null;
        _self.Free();
    }
}

/// <summary>
/// The native head of every map, where emitted code finds what it needs for an inlined lookup. The meaning
/// of the last fields belongs to the kind and is documented there.
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

    /// <summary>Hashes: number of buckets minus one. Arrays: a mask that no valid index exceeds.</summary>
    public ulong Mask;

    /// <summary>Hashes: the seed of the hash function.</summary>
    public ulong Seed;

    /// <summary>What else the kind needs.</summary>
    public void* Extra;
}
