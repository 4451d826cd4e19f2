namespace BpfSim.Maps;

/// <summary>
/// The blueprint of a map: what BPF_MAP_CREATE is given. Sizes are bytes. A spec says nothing about whether
/// the kernel would accept it; creating the map does.
/// </summary>
public sealed record MapSpec
{
    /// <summary>The map's name; the kernel keeps 15 characters.</summary>
    public string Name { get; init; } = "";

    /// <summary>The kind (enum bpf_map_type).</summary>
    public required MapType Type { get; init; }

    /// <summary>The section that a map of global data stands for (<c>.rodata</c>); empty for others.</summary>
    public string Section { get; init; } = "";

    /// <summary>Key size in bytes, 0 for kinds without keys.</summary>
    public uint KeySize { get; init; }

    /// <summary>Value size in bytes as the user gave it, before any rounding.</summary>
    public uint ValueSize { get; init; }

    /// <summary>Capacity in entries; for ring buffers the data size in bytes.</summary>
    public uint MaxEntries { get; init; }

    /// <summary>BPF_F_* creation flags.</summary>
    public uint Flags { get; init; }

    /// <summary>map_extra: the number of hash functions of a bloom filter.</summary>
    public ulong MapExtra { get; init; }

    /// <summary>NUMA node, used with BPF_F_NUMA_NODE; -1 for none.</summary>
    public int NumaNode { get; init; } = -1;

    /// <summary>The blueprint of the inner maps of array_of_maps and hash_of_maps.</summary>
    public MapSpec? InnerMap { get; init; }

    /// <summary>LIBBPF_PIN_BY_NAME if the definition asks for it.</summary>
    public bool PinByName { get; init; }

    /// <summary>Id of the key's type in the object's BTF, 0 if unknown.</summary>
    public uint BtfKeyTypeId { get; init; }

    /// <summary>Id of the value's type in the object's BTF, 0 if unknown.</summary>
    public uint BtfValueTypeId { get; init; }

    /// <summary>Id of the vmlinux type of a struct_ops map's value, else 0.</summary>
    public uint BtfVmlinuxValueTypeId { get; init; }

    /// <summary>The object's BTF, whose type belongs to the layer above and which is only carried here; null if none.</summary>
    public object? Btf { get; init; }

    /// <summary>Fields of the value with a meaning of their own (locks, timers, kptrs), found through BTF.</summary>
    public IReadOnlyList<SpecialField> SpecialFields { get; init; } = [];

    /// <summary>First contents: of a global-data map its one value, by slot number for arrays.</summary>
    public IReadOnlyDictionary<uint, byte[]> InitialValues { get; init; } = new Dictionary<uint, byte[]>();

    /// <summary>First contents by reference: slot → name of the inner map or tail-called program.</summary>
    public IReadOnlyDictionary<uint, string> InitialReferences { get; init; } = new Dictionary<uint, string>();

    /// <summary>Whether the loader freezes the map after filling it (.rodata).</summary>
    public bool FreezeAfterLoad { get; init; }
}

/// <summary>A field in a map value, or in an allocated object, that programs may only use through helpers and kfuncs.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Offset">Offset in bytes from the start of the value.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="BtfTypeId">For kptrs, lists and trees: the id of the pointed-to or contained type.</param>
/// <param name="ContainedName">For lists and trees: <c>type:member</c> as written in __contains.</param>
public readonly record struct SpecialField(SpecialFieldKind Kind, int Offset, int Size, uint BtfTypeId = 0, string? ContainedName = null);

/// <summary>Kinds of <see cref="SpecialField"/> (enum btf_field_type).</summary>
public enum SpecialFieldKind
{
    SpinLock, Timer, KptrUnref, KptrRef, KptrPercpu, Uptr, ListHead, ListNode, RbRoot, RbNode, Refcount, Workqueue,
    ResSpinLock, TaskWork,
}

/// <summary>Kinds of maps by their kernel number (enum bpf_map_type, Linux 6.18).</summary>
public enum MapType : uint
{
    Unspec, Hash, Array, ProgArray, PerfEventArray, PercpuHash, PercpuArray, StackTrace, CgroupArray, LruHash,
    LruPercpuHash, LpmTrie, ArrayOfMaps, HashOfMaps, Devmap, Sockmap, Cpumap, Xskmap, Sockhash, CgroupStorage,
    ReuseportSockarray, PercpuCgroupStorage, Queue, Stack, SkStorage, DevmapHash, StructOps, Ringbuf, InodeStorage,
    TaskStorage, BloomFilter, UserRingbuf, CgrpStorage, Arena, InsnArray,
}
