namespace BpfSim.Maps;

/// <summary>
/// Kinds that exist here so that objects with them load and verify: sockhash, cgroup storage, struct_ops, arena. Their contents belong to
/// subsystems that the simulation does not have; commands answer as the kernel does for an empty map.
/// </summary>
internal sealed unsafe class OpaqueMap : BpfMap
{
    public OpaqueMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        if (spec.Type is not (MapType.CgroupStorage or MapType.PercpuCgroupStorage)) return;
        // What bpf_get_local_storage gives: one value (a CPU) for the one cgroup that programs run in.
        Header->CpuStride = spec.Type == MapType.PercpuCgroupStorage ? RoundUp8(spec.ValueSize) : 0;
        Header->Data = Memory.Allocate(RoundUp8(spec.ValueSize) * (nuint)cpus);
    }

    public override ulong MemoryBytes => KernelMemory.Opaque(Spec);

    public override uint Count => 0;

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags) => -(int)(Spec.Type switch
    {
        MapType.Sockhash => Spec.ValueSize == 8 ? Errno.ENOENT : Errno.ENOSPC,
        MapType.Arena => Errno.EINVAL,
        _ => Errno.ENOENT,
    });

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags) => -(int)(Spec.Type switch
    {
        MapType.Sockhash => Errno.EBADF,
        MapType.Arena => Errno.EOPNOTSUPP,
        MapType.StructOps => flags != 0 ? Errno.EINVAL : Errno.EOPNOTSUPP,
        _ => (flags & ~(UpdateFlags.Exist | UpdateFlags.Lock)) != 0 ? Errno.EINVAL : Errno.ENOENT,
    });

    protected override int OnDelete(ReadOnlySpan<byte> key) => -(int)(Spec.Type switch
    {
        MapType.Sockhash => Errno.ENOENT,
        MapType.Arena => Errno.EOPNOTSUPP,
        _ => Errno.EINVAL,
    });

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey) => -(int)(Spec.Type == MapType.Arena ? Errno.EOPNOTSUPP : Errno.ENOENT);
}
