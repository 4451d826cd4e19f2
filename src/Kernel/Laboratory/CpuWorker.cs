using System.Diagnostics;
using Akka.Actor;
using BpfSim.Maps;
using HdrHistogram;

namespace BpfSim.Kernel.Laboratory;

/// <summary>One simulated CPU of an experiment: does to the map what a program of the chosen style would do, on a thread of its own.</summary>
internal sealed class CpuWorker(ContentionSpec spec, BpfMap map, IActorRef? door, uint cpu, uint cpus)
{
    private const int SampleEvery = 16;
    private const int OperationsInEpoch = 64;
    private const int AskEvery = 64;
    private const int OutstandingQuestions = 8;
    private readonly uint[] _draws = KeyChooser.Draw(spec, cpu, cpus);
    private readonly LongHistogram _latency = new(TimeSpan.TicksPerMinute * 100, 3);
    private unsafe byte* _zero;
    private readonly int _deleteBelow = spec.ReadPercent + spec.DeletePercent;

    /// <summary>Latencies of sampled operations in nanoseconds.</summary>
    public HistogramBase Latency => _latency;

    /// <summary>Operations done.</summary>
    public long Operations { get; private set; }

    /// <summary>Additions done: the ledger.</summary>
    public long Added { get; private set; }

    /// <summary>What was in counters when this CPU deleted them.</summary>
    public long Taken { get; private set; }

    /// <summary>Updates that returned an error.</summary>
    public long Failed { get; private set; }

    /// <summary>Works until told to stop.</summary>
    public unsafe void Run(Func<bool> stop)
    {
        var reader = MapEpoch.Register();
        var zero = new byte[spec.ValueSize];
        var key = stackalloc byte[(int)spec.KeySize];
        var value = stackalloc byte[(int)Math.Min(spec.ValueSize, 4096)];
        var large = spec.ValueSize > 4096 ? new byte[spec.ValueSize] : [];
        fixed (byte* largeValue = large, zeroes = zero)
        {
            _zero = spec.IsStorage ? zeroes : null;
            new Span<byte>(key, (int)spec.KeySize).Clear();
            var fresh = large.Length > 0 ? largeValue : value;
            new Span<byte>(fresh, (int)spec.ValueSize).Clear();
            *(long*)fresh = 1;
            for (var at = 0u; !stop();)
            {
                MapEpoch.Enter(reader);
                for (var i = 0; i < OperationsInEpoch; i++, at++)
                {
                    *(uint*)key = _draws[at % KeyChooser.Length];
                    if (at % SampleEvery != 0)
                    {
                        Operate(key, fresh, (int)(at * 61 % 100));
                        continue;
                    }

                    var begin = Stopwatch.GetTimestamp();
                    Operate(key, fresh, (int)(at * 61 % 100));
                    _latency.RecordValue(Math.Max(1, RealTime.NanosecondsSince(begin) - RealTime.ClockCost));
                }

                MapEpoch.Leave(reader);
                Operations += OperationsInEpoch;
            }
        }

        MapEpoch.Unregister(reader);
    }

    /// <summary>
    /// The same through the map's actor: every operation is a message. Every 64th is a question; some of them unanswered are the credit, so that
    /// the mailbox never holds more than a few hundred messages of this CPU.
    /// </summary>
    public async Task RunThroughMailbox(Func<bool> stop)
    {
        var questions = new Queue<(Task<MapReply> Reply, long Sent, bool Deletes)>();
        for (var at = 0u; !stop(); at++, Operations++)
        {
            var message = Message(at);
            if (message is AddElem) Added++;
            // What a deletion took out belongs to the ledger: its answer is needed.
            var deletes = message is LookupAndDeleteElem;
            if (at % AskEvery != 0 && !deletes)
            {
                door!.Tell(message, ActorRefs.NoSender);
                continue;
            }

            questions.Enqueue((door!.Ask<MapReply>(message, TimeSpan.FromSeconds(60)), Stopwatch.GetTimestamp(), deletes));
            if (questions.Count >= (spec.DeletePercent > 0 ? AskEvery : OutstandingQuestions)) await Receive().ConfigureAwait(false);
        }

        while (questions.Count > 0) await Receive().ConfigureAwait(false);

        // The last messages stand behind the last question: one more makes sure that they are done.
        await door!.Ask<MapStatus>(new GetStatistics(), TimeSpan.FromSeconds(60)).ConfigureAwait(false);

        async Task Receive()
        {
            var (reply, sent, deletes) = questions.Dequeue();
            var answer = await reply.ConfigureAwait(false);
            _latency.RecordValue(Math.Max(1, RealTime.NanosecondsSince(sent)));
            if (!deletes || answer.Value is not { } value) return;
            var step = map.Info.IsPerCpu ? value.Length / (int)cpus : value.Length;
            for (var i = 0; i < value.Length; i += step) Taken += BitConverter.ToInt64(value, i);
        }
    }

    private MapMessage Message(uint at)
    {
        var key = new byte[spec.KeySize];
        BitConverter.TryWriteBytes(key, _draws[at % KeyChooser.Length]);
        var choice = (int)(at * 61 % 100);
        return choice < spec.ReadPercent ? new LookupElem(key) : choice < _deleteBelow ? new LookupAndDeleteElem(key) : new AddElem(key, 1);
    }

    private unsafe void Operate(byte* key, byte* fresh, int choice)
    {
        if (choice < spec.ReadPercent) _ = Read(key);
        else if (choice < _deleteBelow) Delete(key);
        else Add(key, fresh);
    }

    private unsafe long* Find(byte* key, byte* fresh = null) => map is LocalStorageMap storage
        ? (long*)storage.ProgramGet(OwnerOf(*(uint*)key), fresh, fresh == null ? 0 : LocalStorageMap.Create) : (long*)map.ProgramLookup(key, cpu);

    /// <summary>Address of the object that carries a value of local storage.</summary>
    public static ulong OwnerOf(uint key) => Memory.KernelArena.KernelBase + (key * 4096ul);

    private unsafe long Read(byte* key)
    {
        var value = Find(key);
        return value == null ? 0 : Volatile.Read(ref *value);
    }

    private unsafe void Delete(byte* key)
    {
        var held = Read(key);
        if (map.Info.IsPerCpu)
        {
            held = 0;
            for (var i = 0u; i < cpus; i++)
            {
                var value = (long*)map.ProgramLookup(key, i);
                if (value != null) held += Volatile.Read(ref *value);
            }
        }

        if ((map is LocalStorageMap storage ? storage.ProgramRemove(OwnerOf(*(uint*)key)) : map.ProgramDelete(key, cpu)) == 0) Taken += held;
    }

    private unsafe void Add(byte* key, byte* fresh)
    {
        Added++;
        if (spec.FullUpdate)
        {
            Replace(key, fresh);
            return;
        }

        for (var attempt = 0; attempt < 3; attempt++)
        {
            var value = Find(key, _zero);
            if (value != null)
            {
                AddTo(value);
                return;
            }

            var errno = map.ProgramUpdate(key, fresh, UpdateFlags.NoExist, cpu);
            if (errno == 0) return;
            // Somebody else has just inserted it: look again.
            if (errno != -(int)Errno.EEXIST) break;
        }

        Failed++;
    }

    /// <summary>Reads the counter, and replaces the whole element by one more.</summary>
    private unsafe void Replace(byte* key, byte* fresh)
    {
        *(long*)fresh = Read(key) + 1;
        if (map.ProgramUpdate(key, fresh, UpdateFlags.Any, cpu) != 0) Failed++;
        *(long*)fresh = 1;
    }

    private unsafe void AddTo(long* value)
    {
        switch (spec.Style)
        {
            case UpdateStyle.Atomic:
                Interlocked.Increment(ref *value);
                break;
            case UpdateStyle.SpinLock:
                var word = (int*)(value + 1);
                MapSpinLock.Acquire(word);
                Volatile.Write(ref *value, Volatile.Read(ref *value) + 1);
                MapSpinLock.Release(word);
                break;
            default:
                // Load, add, store, as clang compiles it for BPF: not one instruction of the host.
                var seen = Volatile.Read(ref *value);
                Volatile.Write(ref *value, seen + 1);
                break;
        }
    }
}
