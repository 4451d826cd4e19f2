using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>hash_of_maps: a hash whose values are the headers of inner maps; user space reads ids.</summary>
internal sealed unsafe class HashOfMaps(MapSpec spec, uint cpus) : HashMap(spec, cpus, (uint)sizeof(nint))
{
    public override uint UserValueSize => sizeof(uint);

    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        var value = base.ProgramLookup(key, cpu);
        return value == null ? null : *(byte**)value;
    }

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EINVAL;

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        using var inside = MapEpoch.EnterThread();
        fixed (byte* k = key)
        {
            var header = (MapHeader*)ProgramLookup(k, 0);
            if (header == null) return -(int)Errno.ENOENT;
            MemoryMarshal.Write(value, FromHeader(header).Id);
            return 0;
        }
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags) => -(int)Errno.EBADF;

    protected override int OnUpdateReference(ReadOnlySpan<byte> key, IMapReferent target, ulong flags)
    {
        if (target is not BpfMap inner || !MapChecks.FitsInner(Spec.InnerMap!, inner.Spec)) return -(int)Errno.EINVAL;
        target.Retain();
        var header = inner.Header;
        int errno;
        fixed (byte* k = key)
        {
            using var inside = MapEpoch.EnterThread();
            errno = Put(k, (byte*)&header, flags, UserCpu, allCpus: false);
        }

        if (errno != 0) target.Release();
        return errno;
    }

    protected override int OnLookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags) => -(int)Errno.ENOTSUPP;

    private protected override void ReleaseValue(byte* value) => ((IMapReferent)FromHeader(*(MapHeader**)value)).Release();

    private protected override void Export(uint reference, Span<byte> key, Span<byte> value, ulong flags)
    {
        Span<byte> header = stackalloc byte[sizeof(nint)];
        base.Export(reference, key, header, flags);
        MemoryMarshal.Write(value, FromHeader((MapHeader*)MemoryMarshal.Read<nint>(header)).Id);
    }
}
