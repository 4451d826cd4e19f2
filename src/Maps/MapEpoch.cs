using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// What RCU is to the kernel's maps: whoever holds pointers into maps (a CPU while it runs programs, a thread
/// while it copies a value out) stands in an epoch, and an element taken out of a map is reused only after
/// everybody who could have seen it has left. The epoch is one number for the process. It advances when every
/// reader inside has seen the current one; what was unlinked in epoch e is free once the number is e + 2.
/// <para>A CPU enters once a batch of events, not once a program: entering costs a fence.</para>
/// </summary>
public static unsafe class MapEpoch
{
    private static readonly Lock s_registry = new();
    private static readonly List<nint> s_spare = [];
    private static EpochReader*[] s_readers = [];
    private static int s_count;
    private static readonly Queue<(ulong Epoch, Action Action)> s_deferred = new();

    [ThreadStatic]
    private static ThreadReader? t_reader;

    private const int YieldsBeforeGivingUp = 132;
    // Native, so that emitted code can read it.
    private static readonly ulong* s_current = FirstEpoch();
    private static ulong s_awaited;
    private static ulong s_gaveUpAt;

    /// <summary>The current epoch, from 2 upwards.</summary>
    public static ulong Current => Volatile.Read(ref *s_current);

    /// <summary>Where <see cref="Current"/> stands, for emitted code; never moves.</summary>
    public static ulong* CurrentAddress => s_current;

    /// <summary>A slot for a reader that enters often, such as a simulated CPU. Give it back with <see cref="Unregister"/>.</summary>
    public static EpochReader* Register()
    {
        lock (s_registry)
        {
            if (s_spare.Count > 0)
            {
                var reused = (EpochReader*)s_spare[^1];
                s_spare.RemoveAt(s_spare.Count - 1);
                return reused;
            }

            // Slots are never freed: a scan may run over them at any time.
            var reader = (EpochReader*)NativeMemory.AlignedAlloc((nuint)sizeof(EpochReader), 128);
            *reader = default;
            var readers = new EpochReader*[s_count + 1];
            for (var i = 0; i < s_count; i++) readers[i] = s_readers[i];
            readers[s_count++] = reader;
            Volatile.Write(ref s_readers, readers);
            return reader;
        }
    }

    /// <summary>Returns a slot; its owner must have left.</summary>
    public static void Unregister(EpochReader* reader)
    {
        lock (s_registry)
        {
            reader->Nesting = 0;
            Volatile.Write(ref reader->Epoch, 0);
            s_spare.Add((nint)reader);
        }
    }

    /// <summary>Enters; may be nested. Pointers got from maps from here on stay readable until <see cref="Leave"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Enter(EpochReader* reader)
    {
        if (reader->Nesting++ != 0) return;
        if (Volatile.Read(ref s_awaited) != 0) Relieve();
        Interlocked.Exchange(ref reader->Epoch, Volatile.Read(ref *s_current));
    }

    /// <summary>Leaves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Leave(EpochReader* reader)
    {
        if (--reader->Nesting == 0) Volatile.Write(ref reader->Epoch, 0);
    }

    /// <summary>Enters with the calling thread's own slot; dispose the result to leave.</summary>
    public static EpochScope EnterThread() => new((t_reader ??= new ThreadReader()).Slot);

    /// <summary>
    /// Advances the epoch if everybody inside has seen the current one; false if somebody has not. Also runs
    /// what <see cref="Defer"/> has postponed long enough.
    /// </summary>
    public static bool TryAdvance()
    {
        var current = Volatile.Read(ref *s_current);
        foreach (var reader in Volatile.Read(ref s_readers))
        {
            var seen = Volatile.Read(ref reader->Epoch);
            if (seen != 0 && seen != current) return false;
        }

        var advanced = Interlocked.CompareExchange(ref *s_current, current + 1, current) == current;
        if (advanced && s_deferred.Count > 0) RunDeferred();
        return advanced;
    }

    /// <summary>
    /// A map has many elements waiting for somebody who stays inside (a thread that the system has stopped, say): whoever enters next
    /// gives that one its turn first, so that the spare elements last.
    /// </summary>
    internal static void Press()
    {
        var current = Current;
        if (Volatile.Read(ref s_gaveUpAt) != current) Volatile.Write(ref s_awaited, current + 2);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Relieve()
    {
        for (var i = 0; i < YieldsBeforeGivingUp; i++)
        {
            TryAdvance();
            var awaited = Volatile.Read(ref s_awaited);
            if (Current >= awaited)
            {
                Interlocked.CompareExchange(ref s_awaited, 0, awaited);
                return;
            }

            if (i < 32) Thread.Yield();
            else Thread.Sleep(1);
        }

        // Somebody stays for good: then nobody shall wait for it again.
        Volatile.Write(ref s_gaveUpAt, Current);
        Volatile.Write(ref s_awaited, 0);
    }

    /// <summary>Runs an action once everybody who is inside now has left (call_rcu); never inside a caller that is inside.</summary>
    public static void Defer(Action action)
    {
        lock (s_deferred) s_deferred.Enqueue((Current, action));
        if (TryAdvance()) TryAdvance();
    }

    private static ulong* FirstEpoch()
    {
        var current = (ulong*)NativeMemory.AlignedAlloc(128, 128);
        *current = 2;
        return current;
    }

    private static void RunDeferred()
    {
        while (true)
        {
            Action action;
            lock (s_deferred)
            {
                if (s_deferred.Count == 0 || s_deferred.Peek().Epoch + 2 > Current) return;
                action = s_deferred.Dequeue().Action;
            }

            action();
        }
    }

    /// <summary>Returns the slot of a thread that has ended.</summary>
    private sealed class ThreadReader
    {
        public EpochReader* Slot { get; } = Register();

        ~ThreadReader() => Unregister(Slot);
    }
}

/// <summary>Where one reader announces the epoch it stands in; alone on its cache lines.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
public struct EpochReader
{
    /// <summary>The epoch at entry, 0 outside.</summary>
    [FieldOffset(0)] public ulong Epoch;

    /// <summary>How often the owner has entered and not left.</summary>
    [FieldOffset(8)] public uint Nesting;
}

/// <summary>A stay in an epoch; disposing it leaves.</summary>
public readonly unsafe ref struct EpochScope
{
    private readonly EpochReader* _reader;

    internal EpochScope(EpochReader* reader)
    {
        _reader = reader;
        MapEpoch.Enter(reader);
    }

    /// <summary>Leaves.</summary>
    public void Dispose() => MapEpoch.Leave(_reader);
}
