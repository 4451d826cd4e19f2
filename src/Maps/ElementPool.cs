using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// The elements of one hash map: one native area, cut into elements of equal size, named by references (offset
/// / 8, see <see cref="HashLayout"/>). Every CPU has a list of free elements and a queue of elements that it has
/// taken out of the map and that programs may still see. Elements that were never used come from a common mark, so
/// that their memory is not touched before it is needed.
/// <para>An operation takes its CPU's list for its whole duration (<see cref="Lock"/>), before any bucket: two threads that
/// act for the same CPU wait for each other, different CPUs never meet here.</para>
/// </summary>
internal sealed unsafe class ElementPool
{
    private const uint AdvanceEvery = 32;

    /// <summary>As many elements may wait for a reader that stays inside: several updates for each event of a long batch.</summary>
    private const ulong SpareElements = 16384;

    private readonly MapMemory _memory;
    private readonly CpuList* _lists;
    private readonly uint _cpus;
    private readonly uint _unit;
    private readonly uint _end;
    private readonly uint _chunk;
    private readonly Mark* _mark;
    private readonly uint _mostWaiting;

    /// <summary>
    /// Lays out <paramref name="capacity"/> elements that may be live at once, and some more for those on their way out. <paramref name="outside"/> is what the
    /// map keeps elsewhere for each, in bytes.
    /// </summary>
    public ElementPool(MapMemory memory, uint cpus, uint capacity, uint elementSize, uint outside = 0)
    {
        _memory = memory;
        _cpus = cpus;
        Stride = elementSize;
        _unit = elementSize / 8;
        var spare = Math.Max((cpus * 8) + 8, Math.Min(Math.Max(SpareElements, capacity / 8), (64ul << 20) / (elementSize + outside)));
        var total = capacity + spare;
        if ((total + 1) * _unit >= HashLayout.LockBit) throw new OverflowException($"a map of {capacity} elements of {elementSize} bytes");
        Slots = (uint)total;
        _mostWaiting = (uint)(spare / (2 * cpus));
        Base = memory.Allocate((nuint)((total + 1) * elementSize));
        _end = (uint)((total + 1) * _unit);
        _chunk = (uint)Math.Clamp(total / (cpus * 8), 1, 64);
        _mark = (Mark*)memory.Allocate((nuint)sizeof(Mark));
        _mark->Next = _unit;
        _lists = (CpuList*)memory.Allocate((nuint)sizeof(CpuList) * cpus);
        for (var i = 0u; i < cpus; i++) _lists[i].LastEpoch = MapEpoch.Current;
    }

    /// <summary>Where references count from: reference 0 is never an element.</summary>
    public byte* Base { get; }

    /// <summary>Bytes of an element, a multiple of 8.</summary>
    public uint Stride { get; }

    /// <summary>Number of elements, live or not.</summary>
    public uint Slots { get; }

    /// <summary>Number of entries, kept by the map.</summary>
    public ref int Live => ref _mark->Live;

    /// <summary>The number of an element, from 0 to <see cref="Slots"/> - 1.</summary>
    public uint IndexOf(uint reference) => (reference / _unit) - 1;

    /// <summary>Address of an element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* At(uint reference) => Base + (8ul * reference);

    /// <summary>Takes a CPU's list.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public CpuList* Lock(uint cpu)
    {
        var list = _lists + cpu;
        // The fence of taking the lock makes every earlier unlinking of this CPU visible before the epoch is read.
        MapSpinLock.Acquire(&list->Held);
        if (list->LastEpoch != MapEpoch.Current) Turn(list);
        return list;
    }

    /// <summary>Releases it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unlock(CpuList* list) => MapSpinLock.Release(&list->Held);

    /// <summary>Takes an element that nobody can see; 0 if there is none left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Take(CpuList* list)
    {
        var reference = list->Free;
        if (reference == 0) return TakeSlow(list);
        list->Free = *(uint*)At(reference);
        return reference;
    }

    /// <summary>Puts an element back that was never linked.</summary>
    public void PutBack(CpuList* list, uint reference)
    {
        *(uint*)At(reference) = list->Free;
        list->Free = reference;
    }

    /// <summary>Puts an element away that has just been unlinked: it is reused once nobody can see it any more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Retire(CpuList* list, uint reference)
    {
        if (list->Tail - list->Head == list->Size) Grow(list);
        list->Queue[list->Tail++ & (list->Size - 1)] = reference;
        if ((++list->Open % AdvanceEvery) == 0 && !MapEpoch.TryAdvance() && list->Tail - list->Head > _mostWaiting) MapEpoch.Press();
    }

    /// <summary>
    /// The epoch has moved on since this list was last held: what was retired then gets this epoch's mark, and
    /// what has an older mark is free. (Marking late, after a fence, spares every deletion one.)
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Turn(CpuList* list)
    {
        var now = MapEpoch.Current;
        if (list->OlderMark + 2 <= now)
        {
            Release(list, list->Older);
            list->Older = 0;
        }

        if (list->NewerMark + 2 <= now)
        {
            Release(list, list->Newer);
            list->Newer = 0;
        }

        // At most two marks are younger than now - 2: the one of the last turn, and this one.
        (list->Older, list->OlderMark) = (list->Older + list->Newer, Math.Max(list->OlderMark, list->NewerMark));
        (list->Newer, list->NewerMark) = (list->Open, now);
        list->Open = 0;
        list->LastEpoch = now;
    }

    private void Release(CpuList* list, uint count)
    {
        for (; count > 0; count--)
        {
            var reference = list->Queue[list->Head++ & (list->Size - 1)];
            Poison(reference);
            PutBack(list, reference);
        }
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private void Poison(uint reference) => new Span<byte>(At(reference) + HashLayout.KeyOffset, (int)(Stride - HashLayout.KeyOffset)).Fill(0x6b);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private uint TakeSlow(CpuList* list)
    {
        if (list->Tail != list->Head && MapEpoch.TryAdvance()) Turn(list);
        if (list->Free == 0 && !Refill(list))
        {
            // What others had free was looked for in this epoch already: before it ends, little can have changed.
            var found = list->Searched != list->LastEpoch && Steal(list);
            if (!found) list->Searched = list->LastEpoch;
            if (!found && !Hurry(list) && !Steal(list)) return 0;
        }

        var reference = list->Free;
        list->Free = *(uint*)At(reference);
        return reference;
    }

    private bool Refill(CpuList* list)
    {
        if (Volatile.Read(ref _mark->Next) >= _end) return false;
        var step = _chunk * _unit;
        var from = (ulong)Interlocked.Add(ref _mark->Next, step) - step;
        var to = Math.Min(from + step, _end);
        for (var at = to; at > from; at -= _unit) PutBack(list, (uint)(at - _unit));
        return to > from;
    }

    /// <summary>Takes half of what another CPU has free.</summary>
    private bool Steal(CpuList* list)
    {
        for (var i = 0u; i < _cpus; i++)
        {
            var other = _lists + i;
            if (other == list || !MapSpinLock.TryAcquire(&other->Held)) continue;
            if (other->LastEpoch != MapEpoch.Current) Turn(other);
            var count = 0;
            for (var r = other->Free; r != 0 && count < 128; r = *(uint*)At(r)) count++;
            for (var taken = 0; taken < (count + 1) / 2; taken++)
            {
                var reference = other->Free;
                other->Free = *(uint*)At(reference);
                PutBack(list, reference);
            }

            MapSpinLock.Release(&other->Held);
            if (list->Free != 0) return true;
        }

        return false;
    }

    /// <summary>
    /// Somebody stays inside so long that everything spare is waiting for it: the oldest retired element is reused
    /// at once, as the kernel's preallocated hashes always do. Memory stays an element; a pointer held across
    /// that may see another key's value.
    /// </summary>
    private bool Hurry(CpuList* list)
    {
        for (var i = 0u; i <= _cpus; i++)
        {
            var other = i == 0 ? list : _lists + i - 1;
            if (i > 0 && (other == list || !MapSpinLock.TryAcquire(&other->Held))) continue;
            var found = other->Tail != other->Head;
            if (found)
            {
                if (other->Older > 0) other->Older--;
                else if (other->Newer > 0) other->Newer--;
                else other->Open--;
                PutBack(list, other->Queue[other->Head++ & (other->Size - 1)]);
            }

            if (i > 0) MapSpinLock.Release(&other->Held);
            if (found) return true;
        }

        return false;
    }

    private void Grow(CpuList* list)
    {
        // The old queue stays with the map's memory until the end; sizes double, so that is at most as much again.
        var size = Math.Max(64, list->Size * 2);
        var queue = (uint*)_memory.Allocate(size * sizeof(uint));
        for (var i = list->Head; i != list->Tail; i++) queue[i & (size - 1)] = list->Queue[i & (list->Size - 1)];
        list->Queue = queue;
        list->Size = size;
    }

    /// <summary>What one CPU holds; alone on its cache lines.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 256)]
    internal struct CpuList
    {
        public int Held;
        public uint Free;
        public ulong LastEpoch;
        public uint* Queue;
        public uint Size, Head, Tail;
        public uint Open, Newer, Older;
        public ulong NewerMark, OlderMark, Searched;
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Mark
    {
        [FieldOffset(0)] public uint Next;
        [FieldOffset(128)] public int Live;
    }
}
