using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// devmap, devmap_hash, cpumap: slots for redirection. The simulation has no drivers to redirect to, so a slot just keeps the user's
/// value (interface index or queue size first, an optional program descriptor behind it); an interface index or queue size of 0 empties it.
/// </summary>
internal sealed unsafe class DeviceMap : BpfMap
{
    private readonly SortedDictionary<uint, nint> _slots = [];
    private readonly Lock _lock = new();

    public DeviceMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
    }

    public override ulong MemoryBytes => KernelMemory.Device(Spec);

    public override uint Count
    {
        get
        {
            lock (_lock) return (uint)_slots.Count;
        }
    }

    private bool Hashed => Spec.Type == MapType.DevmapHash;

    public override byte* ProgramLookup(byte* key, uint cpu)
    {
        lock (_lock) return _slots.TryGetValue(*(uint*)key, out var value) ? (byte*)value : null;
    }

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        lock (_lock)
        {
            if (!_slots.TryGetValue(MemoryMarshal.Read<uint>(key), out var found)) return -(int)Errno.ENOENT;
            new ReadOnlySpan<byte>((void*)found, (int)Spec.ValueSize).CopyTo(value);
            return 0;
        }
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        if (flags > UpdateFlags.Exist) return -(int)Errno.EINVAL;
        var index = MemoryMarshal.Read<uint>(key);
        var first = MemoryMarshal.Read<uint>(value);
        if (!Hashed && index >= Spec.MaxEntries) return -(int)Errno.E2BIG;
        if (Spec.Type == MapType.Cpumap && index >= Cpus) return -(int)Errno.ENODEV;
        lock (_lock)
        {
            if (!Hashed && flags == UpdateFlags.NoExist) return -(int)Errno.EEXIST;
            if (Hashed && first == 0) return -(int)Errno.EINVAL;
            if (Hashed && flags == UpdateFlags.NoExist && _slots.ContainsKey(index)) return -(int)Errno.EEXIST;
            if (Hashed && !_slots.ContainsKey(index) && _slots.Count >= Spec.MaxEntries) return -(int)Errno.E2BIG;
            if (first == 0)
            {
                _slots.Remove(index);
                return 0;
            }

            if (Spec.Type == MapType.Cpumap && first > 16384) return -(int)Errno.EOVERFLOW;
            var slot = Memory.Allocate(RoundUp8(Spec.ValueSize));
            value[..(int)Spec.ValueSize].CopyTo(new Span<byte>(slot, (int)Spec.ValueSize));
            _slots[index] = (nint)slot;
            return 0;
        }
    }

    protected override int OnDelete(ReadOnlySpan<byte> key)
    {
        var index = MemoryMarshal.Read<uint>(key);
        lock (_lock)
        {
            if (Hashed) return _slots.Remove(index) ? 0 : -(int)Errno.ENOENT;
            if (index >= Spec.MaxEntries) return -(int)Errno.EINVAL;
            _slots.Remove(index);
            return 0;
        }
    }

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey)
    {
        var index = key.IsEmpty ? uint.MaxValue : MemoryMarshal.Read<uint>(key);
        if (!Hashed)
        {
            if (index == Spec.MaxEntries - 1) return -(int)Errno.ENOENT;
            MemoryMarshal.Write(nextKey, index >= Spec.MaxEntries ? 0 : index + 1);
            return 0;
        }

        lock (_lock)
        {
            foreach (var slot in _slots.Keys)
                if (key.IsEmpty || !_slots.ContainsKey(index) || slot > index)
                {
                    MemoryMarshal.Write(nextKey, slot);
                    return 0;
                }
        }

        return -(int)Errno.ENOENT;
    }
}
