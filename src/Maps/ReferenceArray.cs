using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>A program as a prog_array knows it.</summary>
public unsafe interface IMapProgram : IMapReferent
{
    /// <summary>GCHandle (as nint) of whatever engines need to run the program.</summary>
    nint Handle { get; }

    /// <summary>Entry point for a tail call from emitted code; null if there is none.</summary>
    void* Entry { get; }
}

/// <summary>
/// Arrays of references that user space fills with descriptors: prog_array, perf_event_array, cgroup_array, array_of_maps,
/// xskmap, sockmap, reuseport_sockarray. A slot holds one native word for programs and emitted code, and the managed object.
/// <para>For emitted code: slot <c>i &lt; MaxEntries</c> is at <c>Data + i * Stride</c>. prog_array: 16 bytes, the
/// <see cref="IMapProgram.Handle"/> (0 = empty: the tail call falls through), then the <see cref="IMapProgram.Entry"/>.
/// array_of_maps: 8 bytes, the <see cref="MapHeader"/>* of the inner map (0 = empty: the lookup gives null).</para>
/// </summary>
public unsafe class ReferenceArray : BpfMap
{
    private readonly IMapReferent?[] _targets;
    private readonly byte* _slots;
    private readonly uint _stride;
    private readonly Lock _write = new();

    internal ReferenceArray(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _targets = new IMapReferent?[spec.MaxEntries];
        _stride = spec.Type == MapType.ProgArray ? 16u : 8u;
        _slots = Memory.Allocate((nuint)_stride * spec.MaxEntries);
        Header->Data = _slots;
        Header->Stride = _stride;
        Header->Mask = System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)spec.MaxEntries) - 1;
        Header->Cpus = cpus;
    }

    /// <inheritdoc/>
    public override ulong MemoryBytes => KernelMemory.ReferenceArray(Spec);

    /// <inheritdoc/>
    public override uint UserValueSize => sizeof(uint);

    /// <inheritdoc/>
    public override uint Count => (uint)_targets.Count(t => t is not null);

    /// <summary>What a slot refers to, null if it is empty or does not exist.</summary>
    public IMapReferent? this[uint index] => index < (uint)_targets.Length ? Volatile.Read(ref _targets[index]) : null;

    /// <summary>array_of_maps: the inner map's header.</summary>
    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        var index = *(uint*)key;
        return index < Spec.MaxEntries && Spec.Type == MapType.ArrayOfMaps ? *(byte**)(_slots + ((ulong)index * _stride)) : null;
    }

    /// <inheritdoc/>
    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        switch (Spec.Type)
        {
            case MapType.PerfEventArray or MapType.CgroupArray: return -(int)Errno.ENOTSUPP;
            case MapType.Xskmap: return -(int)Errno.EOPNOTSUPP;
            case MapType.Sockmap when Spec.ValueSize != 8: return -(int)Errno.ENOSPC;
        }

        if (this[MemoryMarshal.Read<uint>(key)] is not { } target) return -(int)Errno.ENOENT;
        MemoryMarshal.Write(value, target.Id);
        return 0;
    }

    /// <summary>The value is a descriptor, which only its owner can resolve: see <see cref="BpfMap.UpdateReference"/>.</summary>
    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        var errno = CheckUpdate(key, flags);
        return errno != 0 ? errno : -(int)Errno.EBADF;
    }

    /// <inheritdoc/>
    protected override int OnUpdateReference(ReadOnlySpan<byte> key, IMapReferent target, ulong flags)
    {
        var errno = CheckUpdate(key, flags);
        if (errno != 0) return errno;
        if (!Accepts(target)) return -(int)Errno.EINVAL;
        target.Retain();
        Replace(MemoryMarshal.Read<uint>(key), target)?.Release();
        Statistics.Of(UserCpu)->Updates++;
        return 0;
    }

    /// <inheritdoc/>
    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        var index = MemoryMarshal.Read<uint>(key);
        if (index >= Spec.MaxEntries)
            return -(int)(Spec.Type is MapType.Xskmap or MapType.Sockmap ? Errno.EINVAL : Errno.E2BIG);
        var old = Replace(index, null);
        old?.Release();
        if (old is not null) Statistics.Of(UserCpu)->Deletes++;
        if (old is not null || Spec.Type == MapType.Xskmap) return 0;
        return -(int)(Spec.Type == MapType.Sockmap ? Errno.EINVAL : Errno.ENOENT);
    }

    /// <inheritdoc/>
    public override int ProgramDelete(byte* key, uint cpu) => OnDelete(new ReadOnlySpan<byte>(key, 4));

    /// <inheritdoc/>
    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        var index = key.IsEmpty ? uint.MaxValue : MemoryMarshal.Read<uint>(key);
        if (index == Spec.MaxEntries - 1) return -(int)Errno.ENOENT;
        MemoryMarshal.Write(nextKey, index >= Spec.MaxEntries ? 0 : index + 1);
        return 0;
    }

    /// <inheritdoc/>
    protected override void OnDispose() => Clear();

    /// <summary>Empties all slots: of a prog_array when its last user-space reference goes.</summary>
    public void Clear()
    {
        for (var i = 0u; i < (uint)_targets.Length; i++) Replace(i, null)?.Release();
    }

    private int CheckUpdate(ReadOnlySpan<byte> key, ulong flags)
    {
        var sockets = Info.References == MapReferenceKind.Socket;
        if (sockets ? flags > UpdateFlags.Exist : flags != UpdateFlags.Any) return -(int)Errno.EINVAL;
        var index = MemoryMarshal.Read<uint>(key);
        if (index >= Spec.MaxEntries) return -(int)Errno.E2BIG;
        if (flags == UpdateFlags.NoExist && this[index] is not null) return -(int)Errno.EEXIST;
        return flags == UpdateFlags.Exist && this[index] is null ? -(int)Errno.ENOENT : 0;
    }

    private bool Accepts(IMapReferent target) => Spec.Type switch
    {
        MapType.ProgArray => target is IMapProgram,
        MapType.ArrayOfMaps => target is BpfMap inner && MapChecks.FitsInner(Spec.InnerMap!, inner.Spec),
        _ => true,
    };

    private IMapReferent? Replace(uint index, IMapReferent? target)
    {
        lock (_write)
        {
            var old = _targets[index];
            var slot = (nint*)(_slots + ((ulong)index * _stride));
            // A reader that sees the handle must see its entry: empty the slot, change the entry, fill the slot.
            if (target is IMapProgram program)
            {
                Volatile.Write(ref slot[0], 0);
                Volatile.Write(ref slot[1], (nint)program.Entry);
                Volatile.Write(ref slot[0], program.Handle);
            }
            else
                Volatile.Write(ref slot[0], target is BpfMap map ? (nint)map.Header : 0);
            Volatile.Write(ref _targets[index], target);
            return old;
        }
    }
}
