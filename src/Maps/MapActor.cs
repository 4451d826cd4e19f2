using Akka.Actor;

namespace BpfSim.Maps;

/// <summary>
/// User space's door to one map: every message is one command and gets one reply (see <see cref="MapMessage"/>). The actor owns neither the
/// map nor its memory: it may crash and restart, and the map is as it was. Whoever asks and goes away leaves nothing behind; who watches
/// gets one delta at a time and the next only after an acknowledgement, so that a slow watcher makes nothing grow.
/// </summary>
public sealed class MapActor : UntypedActor, IWithTimers
{
    private readonly BpfMap _map;
    private readonly Dictionary<IActorRef, MapWatcher> _watchers = [];

    /// <summary>Opens the door to a map.</summary>
    public MapActor(BpfMap map) => _map = map;

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make the actor of a map.</summary>
    public static Props Props(BpfMap map) => Akka.Actor.Props.Create<MapActor>(map);

    /// <inheritdoc/>
    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case LookupElem m: Lookup(m); break;
            case UpdateElem m: Update(m); break;
            case AddElem m: Add(m); break;
            case DeleteElem m: Answer(_map.Delete(m.Key)); break;
            case LookupAndDeleteElem m: LookupAndDelete(m); break;
            case GetNextKey m: NextKey(m); break;
            case LookupBatch m: Batch(m); break;
            case UpdateBatch m: Batch(m); break;
            case DeleteBatch m: Batch(m); break;
            case GetSnapshot: Reply(_map.Snapshot()); break;
            case FreezeMap: Answer(_map.Freeze()); break;
            case GetStatistics: Reply(new MapStatus(_map.Spec, _map.Id, _map.Count, _map.Frozen, _map.MemoryBytes, _map.NativeBytes, _map.Statistics.Total)); break;
            case WatchMap m: Watch(m); break;
            case UnwatchMap: Forget(Sender); break;
            case DeltaReceived m: Acknowledge(m); break;
            case WatchTick m: Push(m.Watcher); break;
            case Terminated m: Forget(m.ActorRef); break;
            default: Unhandled(message); break;
        }
    }

    /// <summary>Answers, unless nobody has asked: then the message was an order.</summary>
    private void Reply(object answer)
    {
        if (!Sender.Equals(Context.System.DeadLetters)) Sender.Tell(answer);
    }

    private void Answer(int errno) => Reply(new MapReply(errno));

    private void Lookup(LookupElem message)
    {
        var value = new byte[_map.UserValueSize];
        message.Value?.AsSpan(0, Math.Min(value.Length, message.Value.Length)).CopyTo(value);
        var errno = _map.Lookup(message.Key, value, message.Flags);
        Reply(new MapReply(errno, errno == 0 ? value : null));
    }

    private void Update(UpdateElem message) => Answer(_map.Update(message.Key, message.Value, message.Flags));

    private void Add(AddElem message)
    {
        var value = new byte[_map.UserValueSize];
        var errno = _map.Lookup(message.Key, value);
        if (errno == 0 || errno == -(int)Errno.ENOENT)
        {
            var counter = value.Length >= sizeof(long) ? BitConverter.ToInt64(value) : 0;
            errno = BitConverter.TryWriteBytes(value, counter + message.Delta) ? _map.Update(message.Key, value) : -(int)Errno.EINVAL;
        }

        Answer(errno);
    }

    private void LookupAndDelete(LookupAndDeleteElem message)
    {
        var value = new byte[_map.UserValueSize];
        var errno = _map.LookupAndDelete(message.Key, value, message.Flags);
        Reply(new MapReply(errno, errno == 0 ? value : null));
    }

    private void NextKey(GetNextKey message)
    {
        var next = new byte[_map.Spec.KeySize];
        var errno = _map.GetNextKey(message.Key ?? [], next);
        Reply(new MapReply(errno, errno == 0 ? next : null));
    }

    private void Batch(LookupBatch message)
    {
        var room = Math.Min(message.Count, Math.Max(1, _map.Spec.MaxEntries));
        var token = new byte[Math.Max(4, _map.Spec.KeySize)];
        var keys = new byte[room * _map.Spec.KeySize];
        var values = new byte[room * _map.UserValueSize];
        var errno = _map.LookupBatch(message.InBatch ?? [], token, keys, values, ref room, message.ElemFlags, message.Delete);
        Reply(new BatchReply(errno, room, token, keys[..(int)(room * _map.Spec.KeySize)], values[..(int)(room * _map.UserValueSize)]));
    }

    private void Batch(UpdateBatch message)
    {
        var count = message.Count;
        var errno = _map.UpdateBatch(message.Keys, message.Values, ref count, message.ElemFlags);
        Reply(new BatchReply(errno, count));
    }

    private void Batch(DeleteBatch message)
    {
        var count = message.Count;
        var errno = _map.DeleteBatch(message.Keys, ref count, message.ElemFlags);
        Reply(new BatchReply(errno, count));
    }

    private void Watch(WatchMap message)
    {
        if (message.Interval <= TimeSpan.Zero)
        {
            Answer(-(int)Errno.EINVAL);
            return;
        }

        Forget(Sender);
        _watchers[Sender] = new MapWatcher();
        Context.Watch(Sender);
        Timers.StartPeriodicTimer(Sender, new WatchTick(Sender), message.Interval, message.Interval);
        Answer(0);
        Push(Sender);
    }

    private void Forget(IActorRef watcher)
    {
        if (!_watchers.Remove(watcher)) return;
        Context.Unwatch(watcher);
        Timers.Cancel(watcher);
    }

    private void Push(IActorRef to)
    {
        if (_watchers.TryGetValue(to, out var watcher) && watcher.Next(_map) is { } delta) to.Tell(delta);
    }

    private void Acknowledge(DeltaReceived message)
    {
        if (_watchers.TryGetValue(Sender, out var watcher)) watcher.Acknowledge(message.Sequence);
    }

    private sealed record WatchTick(IActorRef Watcher) : INotInfluenceReceiveTimeout;
}

/// <summary>What one watcher has seen, and whether it may be sent more.</summary>
internal sealed class MapWatcher
{
    private Dictionary<byte[], byte[]> _seen = new(ByteArrayComparer.Instance);
    private long _sequence;
    private bool _outstanding;

    /// <summary>What has changed since the last delta; null if nothing has, or if the last one has not been acknowledged.</summary>
    public MapDelta? Next(BpfMap map)
    {
        if (_outstanding) return null;
        var snapshot = map.Snapshot();
        var now = new Dictionary<byte[], byte[]>(snapshot.Count, ByteArrayComparer.Instance);
        List<KeyValuePair<byte[], byte[]>> changed = [];
        foreach (var (key, value) in snapshot.Entries())
        {
            now[key] = value;
            if (!_seen.TryGetValue(key, out var before) || !before.AsSpan().SequenceEqual(value)) changed.Add(new(key, value));
        }

        var removed = _seen.Keys.Where(k => !now.ContainsKey(k)).ToList();
        _seen = now;
        if (_sequence > 0 && changed.Count == 0 && removed.Count == 0) return null;
        _outstanding = true;
        return new MapDelta(++_sequence, changed, removed);
    }

    public void Acknowledge(long sequence)
    {
        if (sequence == _sequence) _outstanding = false;
    }

    private sealed class ByteArrayComparer : IEqualityComparer<byte[]>
    {
        public static readonly ByteArrayComparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] bytes)
        {
            var hash = default(HashCode);
            hash.AddBytes(bytes);
            return hash.ToHashCode();
        }
    }
}
