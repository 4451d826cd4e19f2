using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// The elements of one hash map: one native area, cut into elements of equal size, named by references (offset
/// / 8, see <see cref="HashLayout"/>). Every CPU has a queue of elements that are in no chain: at its head those that are ready
/// for use, behind them those that it has taken out of the map and that programs may still see. Elements that were never
/// used come from a common mark, so that their memory is not touched before it is needed.
/// <para>An operation takes its CPU's list for its whole duration (<see cref="Lock"/>), before any bucket: two threads that
/// act for the same CPU wait for each other, different CPUs never meet here.</para>
/// </summary>
internal sealed unsafe class ElementPool
{
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
        for (var i = 0u; i < cpus; i++)
        {
            _lists[i].LastEpoch = MapEpoch.Current;
            Grow(_lists + i);
        }
    }

    /// <summary>Where references count from: reference 0 is never an element.</summary>
    public byte* Base { get; }

    /// <summary>Bytes of an element, a multiple of 8.</summary>
    public uint Stride { get; }

    /// <summary>Number of elements, live or not.</summary>
    public uint Slots { get; }

    /// <summary>The CPUs' lists; see <see cref="HashUpdateLayout"/>.</summary>
    public CpuList* Lists => _lists;

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
        if (list->Ready == 0 && !GetReady(list)) return 0;
        list->Ready--;
        return list->Queue[list->Head++ & (list->Size - 1)];
    }

    /// <summary>Puts an element back that was never linked.</summary>
    public void PutBack(CpuList* list, uint reference)
    {
        if (list->Tail - list->Head == list->Size) Grow(list);
        list->Queue[--list->Head & (list->Size - 1)] = reference;
        list->Ready++;
    }

    /// <summary>Puts an element away that has just been unlinked: it is reused once nobody can see it any more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Retire(CpuList* list, uint reference)
    {
        if (list->Tail - list->Head == list->Size) Grow(list);
        list->Queue[list->Tail++ & (list->Size - 1)] = reference;
        if ((++list->Open % HashUpdateLayout.AdvanceEvery) == 0 && !MapEpoch.TryAdvance() && list->Tail - list->Head > _mostWaiting) MapEpoch.Press();
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
        Poison(list, count);
        list->Ready += count;
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private void Poison(CpuList* list, uint count)
    {
        for (var i = list->Head + list->Ready; count > 0; i++, count--)
            new Span<byte>(At(list->Queue[i & (list->Size - 1)]) + HashLayout.KeyOffset, (int)(Stride - HashLayout.KeyOffset)).Fill(0x6b);
    }

    /// <summary>Looks for elements that can be used now; false if there are none.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool GetReady(CpuList* list)
    {
        if (list->Tail != list->Head && MapEpoch.TryAdvance()) Turn(list);
        if (list->Ready != 0 || Refill(list)) return true;
        // What others had ready was looked for in this epoch already: before it ends, little can have changed.
        var found = list->Searched != list->LastEpoch && Steal(list);
        if (!found) list->Searched = list->LastEpoch;
        return found || Hurry(list) || Steal(list);
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

    /// <summary>Takes half of what another CPU has ready, 64 at most.</summary>
    private bool Steal(CpuList* list)
    {
        for (var i = 0u; i < _cpus; i++)
        {
            var other = _lists + i;
            if (other == list || !MapSpinLock.TryAcquire(&other->Held)) continue;
            if (other->LastEpoch != MapEpoch.Current) Turn(other);
            for (var count = Math.Min(other->Ready + 1, 128) / 2; count > 0; count--) PutBack(list, Take(other));
            MapSpinLock.Release(&other->Held);
            if (list->Ready != 0) return true;
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
                if (other->Ready == 0)
                {
                    if (other->Older > 0) other->Older--;
                    else if (other->Newer > 0) other->Newer--;
                    else other->Open--;
                    other->Ready++;
                }

                if (other != list) PutBack(list, Take(other));
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
    [StructLayout(LayoutKind.Explicit, Size = HashUpdateLayout.ListStride)]
    internal struct CpuList
    {
        [FieldOffset(HashUpdateLayout.Held)] public int Held;
        [FieldOffset(HashUpdateLayout.Ready)] public uint Ready;
        [FieldOffset(HashUpdateLayout.LastEpoch)] public ulong LastEpoch;
        [FieldOffset(HashUpdateLayout.Queue)] public uint* Queue;
        [FieldOffset(HashUpdateLayout.Size)] public uint Size;
        [FieldOffset(HashUpdateLayout.Head)] public uint Head;
        [FieldOffset(HashUpdateLayout.Tail)] public uint Tail;
        [FieldOffset(HashUpdateLayout.Open)] public uint Open;
        [FieldOffset(40)] public uint Newer;
        [FieldOffset(44)] public uint Older;
        [FieldOffset(48)] public ulong NewerMark;
        [FieldOffset(56)] public ulong OlderMark;
        [FieldOffset(64)] public ulong Searched;
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Mark
    {
        [FieldOffset(0)] public uint Next;
        [FieldOffset(128)] public int Live;
    }
}
