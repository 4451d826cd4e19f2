using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Exploration;

/// <summary>A checkpoint and how useful it was.</summary>
internal sealed class Checkpoint(VerifierState state, int bucket)
{
    public readonly VerifierState State = state;
    public readonly int Bucket = bucket;
    public readonly long Bytes = state.CountBytes();
    public int Hits, Misses;
    public bool Removed, Cleaned;
}

/// <summary>The checkpoints, in buckets by instruction and call site, the newest first.</summary>
internal sealed class ExploredStates(int buckets)
{
    private readonly List<Checkpoint>?[] _buckets = new List<Checkpoint>?[Math.Max(1, buckets)];
    private readonly Dictionary<VerifierState, Checkpoint> _removed = new(ReferenceEqualityComparer.Instance);

    /// <summary>Checkpoints in all, over the whole verification.</summary>
    public int Total { get; private set; }

    /// <summary>Checkpoints in the buckets of this function, and those that earlier functions left behind.</summary>
    public int Kept { get; private set; }

    /// <summary>Checkpoints evicted while paths were still open below them.</summary>
    public int Lingering => _removed.Count;

    /// <summary>Most that existed at the same time.</summary>
    public int Peak { get; private set; }

    /// <summary>Bytes of the checkpoints that exist.</summary>
    public long Bytes { get; private set; }

    /// <summary>Most bytes that existed at the same time, waiting paths included.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Loop closures that wait for their loop's end.</summary>
    public int BackEdges { get; private set; }

    /// <summary>Most checkpoints in a bucket that was searched.</summary>
    public int MaxPerInsn { get; set; }

    /// <summary>The bucket of an instruction; searched from its end.</summary>
    public List<Checkpoint> At(int insnIdx, int callSite) => _buckets[Bucket(insnIdx, callSite)] ??= [];

    private int Bucket(int insnIdx, int callSite) => (int)((uint)(insnIdx ^ callSite) % (uint)_buckets.Length);

    /// <summary>Adds a checkpoint as the newest.</summary>
    public void Add(VerifierState state, int insnIdx, int callSite)
    {
        int bucket = Bucket(insnIdx, callSite);
        var point = new Checkpoint(state, bucket);
        (_buckets[bucket] ??= []).Add(point);
        Bytes += point.Bytes;
        Total++;
        Kept++;
    }

    /// <summary>Takes a useless checkpoint out of its bucket; while paths are open below it, it still counts.</summary>
    public void RemoveAt(List<Checkpoint> bucket, int index)
    {
        Checkpoint gone = bucket[index];
        bucket.RemoveAt(index);
        gone.Removed = true;
        Kept--;
        if (gone.State.Branches > 0) _removed[gone.State] = gone;
        else Bytes -= gone.Bytes;
    }

    /// <summary>Counts a loop closure; returns its bytes.</summary>
    public long AddBackEdge(VerifierState state)
    {
        long bytes = state.CountBytes();
        BackEdges++;
        Bytes += bytes;
        return bytes;
    }

    /// <summary>The closures of a loop are settled.</summary>
    public void RemoveBackEdges(int count, long bytes)
    {
        BackEdges -= count;
        Bytes -= bytes;
    }

    /// <summary>A state has no open paths any more.</summary>
    public void Release(VerifierState state)
    {
        if (_removed.Count > 0 && _removed.Remove(state, out Checkpoint? gone)) Bytes -= gone.Bytes;
    }

    /// <summary>Notes how many exist.</summary>
    public void UpdatePeak(long waitingBytes)
    {
        Peak = Math.Max(Peak, Kept + Lingering + BackEdges);
        PeakBytes = Math.Max(PeakBytes, Bytes + waitingBytes);
    }

    /// <summary>Gives the states of all checkpoints away; nothing can be asked afterwards.</summary>
    public void Recycle(StatePool pool)
    {
        foreach (List<Checkpoint>? bucket in _buckets)
        {
            if (bucket == null) continue;
            foreach (Checkpoint point in bucket) pool.Return(point.State);
        }

        Reset();
    }

    /// <summary>Forgets all checkpoints; the counts go on.</summary>
    public void Reset()
    {
        Array.Clear(_buckets);
        _removed.Clear();
        Bytes = 0;
    }
}
