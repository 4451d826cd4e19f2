using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The file descriptors of the one simulated user process that loads programs. The lowest free number is
/// taken, from 3 on, as open(2) does: 0 to 2 are its standard streams, open but nothing that bpf(2) could use.
/// Each descriptor holds one reference.
/// </summary>
public sealed class FdTable
{
    private const int First = 3;
    private readonly List<KernelObject?> _objects = [];
    private readonly Lock _lock = new();
    private static readonly KernelObject s_stream = new StandardStream();

    /// <summary>Open descriptors.</summary>
    public int Count
    {
        get { lock (_lock) return _objects.Count(o => o != null); }
    }

    /// <summary>Gives the object, whose reference the table takes over, a descriptor.</summary>
    internal int Install(KernelObject value)
    {
        lock (_lock)
        {
            int index = _objects.IndexOf(null);
            if (index < 0)
            {
                index = _objects.Count;
                _objects.Add(null);
            }
            _objects[index] = value;
            return index + First;
        }
    }

    /// <summary>The object behind a descriptor, null if it is not open. No reference is taken.</summary>
    public KernelObject? Find(int fd)
    {
        lock (_lock)
        {
            int index = fd - First;
            return (uint)fd < First ? s_stream : (uint)index < (uint)_objects.Count ? _objects[index] : null;
        }
    }

    /// <summary>close(2): 0, or -EBADF.</summary>
    public int Close(int fd)
    {
        KernelObject? value;
        lock (_lock)
        {
            int index = fd - First;
            if ((uint)index >= (uint)_objects.Count || _objects[index] == null) return -(int)Errno.EBADF;
            value = _objects[index];
            _objects[index] = null;
        }
        value!.Put();
        return 0;
    }

    /// <summary>dup(2): a second descriptor of the same object, or -EBADF.</summary>
    public int Duplicate(int fd)
    {
        if ((uint)fd < First) return -(int)Errno.EINVAL;
        KernelObject? value = Find(fd);
        if (value == null) return -(int)Errno.EBADF;
        value.Get();
        return Install(value);
    }

    /// <summary>Closes every descriptor, as the end of a process does.</summary>
    internal void CloseAll()
    {
        for (int fd = First; ; fd++)
        {
            lock (_lock)
                if (fd - First >= _objects.Count) return;
            Close(fd);
        }
    }
}

/// <summary>What stands behind descriptors 0 to 2.</summary>
internal sealed class StandardStream : KernelObject
{
    /// <inheritdoc/>
    protected override void Release()
    {
    }
}

/// <summary>Objects of one kind by id, in ascending order, as BPF_*_GET_NEXT_ID walks them.</summary>
internal sealed class IdTable<T> where T : KernelObject
{
    private readonly SortedList<uint, T> _byId = [];
    private readonly Lock _lock = new();
    private uint _last;

    /// <summary>Gives the object the next id.</summary>
    public void Add(T value)
    {
        lock (_lock)
        {
            value.Id = ++_last;
            _byId.Add(value.Id, value);
        }
        value.Gone = o =>
        {
            lock (_lock) _byId.Remove(o.Id);
        };
    }

    /// <summary>The object with this id, or null.</summary>
    public T? Find(uint id)
    {
        lock (_lock) return _byId.GetValueOrDefault(id);
    }

    /// <summary>The smallest id above the given one, 0 if there is none.</summary>
    public uint NextId(uint start)
    {
        lock (_lock)
        {
            foreach (uint id in _byId.Keys)
                if (id > start) return id;
            return 0;
        }
    }

    /// <summary>All objects, ascending by id.</summary>
    public IReadOnlyList<T> All
    {
        get { lock (_lock) return [.. _byId.Values]; }
    }
}
