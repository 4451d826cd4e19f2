namespace BpfSim.Maps;

/// <summary>queue and stack: values without keys behind one lock; push, pop, peek.</summary>
internal sealed unsafe class QueueMap : BpfMap
{
    private readonly byte* _values;
    private readonly ulong _slots;
    private readonly bool _stack;
    private readonly int* _lock;
    private ulong _first;
    private ulong _count;

    public QueueMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
        _stack = spec.Type == MapType.Stack;
        _slots = spec.MaxEntries;
        _values = Memory.Allocate((nuint)(_slots * spec.ValueSize));
        _lock = (int*)Memory.Allocate(sizeof(int));
    }

    public override ulong MemoryBytes => KernelMemory.Queue(Spec);

    public override uint Count => (uint)Volatile.Read(ref _count);

    public override int ProgramPush(byte* value, ulong flags)
    {
        if ((flags & UpdateFlags.NoExist) != 0 || flags > UpdateFlags.Exist) return -(int)Errno.EINVAL;
        var counters = Statistics.Of(0);
        MapSpinLock.Acquire(_lock);
        var errno = Errno.None;
        if (_count < _slots)
            ValueLayout.CopyBytes(At((_first + _count++) % _slots), value, Spec.ValueSize);
        else if (flags == UpdateFlags.Exist)
        {
            // The oldest gives way: it stands at the front, of a queue as of a stack.
            var at = _first;
            _first = (_first + 1) % _slots;
            ValueLayout.CopyBytes(At(at), value, Spec.ValueSize);
        }
        else errno = Errno.E2BIG;
        if (errno == Errno.None) counters->Updates++;
        else counters->FailedUpdates++;
        MapSpinLock.Release(_lock);
        return -(int)errno;
    }

    public override int ProgramPop(byte* value) => Get(value, remove: true);

    public override int ProgramPeek(byte* value) => Get(value, remove: false);

    public override int ProgramUpdate(byte* key, byte* value, ulong flags, uint cpu) => -(int)Errno.EINVAL;

    public override int ProgramDelete(byte* key, uint cpu) => -(int)Errno.EINVAL;

    protected override int OnLookup(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        fixed (byte* to = value) return Get(to, remove: false);
    }

    protected override int OnUpdate(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        fixed (byte* from = value) return ProgramPush(from, flags);
    }

    protected override int OnLookupAndDelete(ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        fixed (byte* to = value) return Get(to, remove: true);
    }

    protected override int OnDelete(ReadOnlySpan<byte> key) => -(int)Errno.EINVAL;

    protected override int OnGetNextKey(ReadOnlySpan<byte> key, Span<byte> nextKey) => -(int)Errno.EINVAL;

    private int Get(byte* value, bool remove)
    {
        MapSpinLock.Acquire(_lock);
        var found = _count > 0;
        if (found)
        {
            ValueLayout.CopyBytes(value, At((_stack ? _first + _count - 1 : _first) % _slots), Spec.ValueSize);
            if (remove)
            {
                if (!_stack) _first = (_first + 1) % _slots;
                _count--;
                Statistics.Of(0)->Deletes++;
            }
        }
        else new Span<byte>(value, (int)Spec.ValueSize).Clear();
        MapSpinLock.Release(_lock);
        return found ? 0 : -(int)Errno.ENOENT;
    }

    private byte* At(ulong slot) => _values + (slot * Spec.ValueSize);
}
