using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>Something that file descriptors, pins and other objects keep alive by counted references.</summary>
public abstract class KernelObject
{
    private int _references = 1;
    private volatile bool _followed;

    /// <summary>The id that user space sees; unique within its kind, never 0 and never reused in a run.</summary>
    public uint Id { get; internal set; }

    /// <summary>The name as the user gave it, at most 15 characters.</summary>
    public string Name { get; protected init; } = "";

    /// <summary>References held now; 0 once the object is gone.</summary>
    public int References => Volatile.Read(ref _references);

    /// <summary>Takes one more reference; the caller must hold one.</summary>
    internal void Get() => Interlocked.Increment(ref _references);

    /// <summary>Gives one reference back; the last one frees the object.</summary>
    internal void Put()
    {
        if (Interlocked.Decrement(ref _references) != 0) return;
        Gone?.Invoke(this);
        if (_followed) MapEpoch.Defer(Release);
        else Release();
    }

    /// <summary>
    /// Gives back a reference by which running programs may have come to the object: when the last one is gone its id is gone
    /// at once, but what it owns stays until those programs have left.
    /// </summary>
    internal void PutFollowed()
    {
        _followed = true;
        Put();
    }

    /// <summary>Called once when the last reference is gone, before <see cref="Release"/>: the id table forgets the object.</summary>
    internal Action<KernelObject>? Gone { get; set; }

    /// <summary>Frees what the object owns and gives back the references that it holds.</summary>
    protected abstract void Release();
}
