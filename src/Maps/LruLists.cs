using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Maps;

/// <summary>
/// Which elements of an LRU map go first. As in the kernel, an insertion never orders all entries: every CPU
/// takes free places in lots, and when the common store is empty, a lot is shrunk from the common lists, approximately
/// the least recently used; so an LRU map evicts before it is full. A CPU's newest entries wait on a pending
/// list of its own and move to the common lists when it next asks for a lot. With NO_COMMON_LRU every CPU has all lists for itself.
/// <para>The common lists are two, active and inactive. A lookup only sets a byte. Rotation moves inactive entries that were looked up to
/// the active list, and active ones that were not to the inactive list; eviction takes unreferenced entries from the
/// inactive end, and any if there are none.</para>
/// </summary>
internal sealed unsafe class LruLists
{
    private const uint MostInLot = 128;
    private const byte NoList = 0, Inactive = 1, Active = 2, Pending = 3;

    private readonly HashMap _map;
    private readonly ElementPool _pool;
    private readonly HashTable _table;
    private readonly Node* _nodes;
    private readonly Common* _commons;
    private readonly Local* _locals;
    private readonly uint _cpus;
    private readonly uint _lot;
    private readonly bool _own;
    private readonly uint _capacity;

    public LruLists(HashMap map, MapMemory memory, ElementPool pool, HashTable table, uint capacity, uint cpus, bool ownLists)
    {
        (_map, _pool, _table, _cpus, _own, _capacity) = (map, pool, table, cpus, ownLists, capacity);
        _nodes = (Node*)memory.Allocate((nuint)sizeof(Node) * pool.Slots);
        ReferencedBase = memory.Allocate(((nuint)pool.Slots + 2) * (pool.Stride / 8));
        _lot = ownLists ? 4 : Math.Clamp(capacity / cpus / 2, 1, MostInLot);
        var commons = ownLists ? cpus : 1;
        _commons = (Common*)memory.Allocate((nuint)sizeof(Common) * commons);
        for (var i = 0u; i < commons; i++) _commons[i].Free = (int)(capacity / commons);

        _locals = (Local*)memory.Allocate((nuint)sizeof(Local) * cpus);
    }

    /// <summary>One byte a reference unit: looked up since the last rotation?</summary>
    public byte* ReferencedBase { get; }

    /// <summary>Number of entries.</summary>
    public int Count
    {
        get
        {
            var free = 0;
            for (var i = 0u; i < (_own ? _cpus : 1); i++) free += Volatile.Read(ref _commons[i].Free);
            for (var i = 0u; i < _cpus; i++) free += Volatile.Read(ref _locals[i].Free);
            return (int)_capacity - free;
        }
    }

    /// <summary>A lookup by a program.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Touch(uint reference)
    {
        var flag = ReferencedBase + reference;
        if (*flag == 0) *flag = 1;
    }

    /// <summary>
    /// A place and an element for a new entry, evicting others if there is no room; 0 if nothing can be evicted. The caller
    /// holds <paramref name="list"/>, and links the element or gives it back by <see cref="Freed"/>.
    /// </summary>
    public uint Take(ElementPool.CpuList* list, uint cpu, MapStatistics.CpuCounters* counters)
    {
        if (!(_own ? TakeOwnPlace(list, cpu, counters) : TakePlace(list, cpu, counters))) return 0;
        var reference = _pool.Take(list);
        if (reference == 0)
        {
            GiveBackPlace(cpu);
            return 0;
        }

        var id = IdOf(reference);
        ReferencedBase[reference] = 0;
        _nodes[id - 1].Cpu = (ushort)cpu;
        if (_own)
        {
            MapSpinLock.Acquire(&_commons[cpu].Held);
            PushFront(&_commons[cpu].Inactive, id, Inactive);
            MapSpinLock.Release(&_commons[cpu].Held);
        }
        else
        {
            MapSpinLock.Acquire(&_locals[cpu].Held);
            PushFront(&_locals[cpu].Pending, id, Pending);
            MapSpinLock.Release(&_locals[cpu].Held);
        }

        return reference;
    }

    /// <summary>An element that was unlinked from the table, or never linked, gives its place back.</summary>
    public void Freed(uint reference)
    {
        var id = IdOf(reference);
        var node = _nodes + (id - 1);
        while (true)
        {
            if (Volatile.Read(ref node->List) == Pending)
            {
                var local = _locals + node->Cpu;
                MapSpinLock.Acquire(&local->Held);
                var still = node->List == Pending;
                if (still)
                {
                    Remove(&local->Pending, id);
                    local->Free++;
                }

                MapSpinLock.Release(&local->Held);
                if (still) return;
            }

            var common = _commons + (_own ? node->Cpu : 0);
            MapSpinLock.Acquire(&common->Held);
            var found = node->List is Inactive or Active;
            if (found)
            {
                Remove(node->List == Active ? &common->Active : &common->Inactive, id);
                common->Free++;
            }

            MapSpinLock.Release(&common->Held);
            if (found) return;
        }
    }

    private void GiveBackPlace(uint cpu)
    {
        var held = _own ? &_commons[cpu].Held : &_locals[cpu].Held;
        MapSpinLock.Acquire(held);
        if (_own) _commons[cpu].Free++;
        else _locals[cpu].Free++;
        MapSpinLock.Release(held);
    }

    private bool TakePlace(ElementPool.CpuList* list, uint cpu, MapStatistics.CpuCounters* counters)
    {
        var local = _locals + cpu;
        MapSpinLock.Acquire(&local->Held);
        if (local->Free == 0) FetchLot(local, list, counters);
        var got = local->Free > 0;
        if (got) local->Free--;
        MapSpinLock.Release(&local->Held);
        for (var i = 0u; !got && i < _cpus; i++)
        {
            var victim = (local->NextVictim + i) % _cpus;
            got = StealFrom(_locals + victim, list, counters);
            if (got) local->NextVictim = victim;
        }

        return got;
    }

    /// <summary>Moves the pending entries to the common lists, then takes free places and shrinks the lists for what is missing.</summary>
    private void FetchLot(Local* local, ElementPool.CpuList* list, MapStatistics.CpuCounters* counters)
    {
        var common = _commons;
        MapSpinLock.Acquire(&common->Held);
        while (local->Pending.Last != 0)
        {
            var id = local->Pending.Last;
            Remove(&local->Pending, id);
            if (TakeReferenced(id)) PushFront(&common->Active, id, Active);
            else PushFront(&common->Inactive, id, Inactive);
        }

        Rotate(common, (int)MostInLot);
        var free = Math.Min(common->Free, (int)_lot);
        common->Free -= free;
        local->Free += free;
        if (free < _lot) local->Free += Shrink(common, (int)_lot - free, (int)MostInLot, list, counters);
        MapSpinLock.Release(&common->Held);
    }

    private bool TakeOwnPlace(ElementPool.CpuList* list, uint cpu, MapStatistics.CpuCounters* counters)
    {
        var common = _commons + cpu;
        MapSpinLock.Acquire(&common->Held);
        Rotate(common, (int)_lot);
        if (common->Free == 0) common->Free += Shrink(common, (int)_lot, (int)_lot, list, counters);
        var got = common->Free > 0;
        if (got) common->Free--;
        MapSpinLock.Release(&common->Held);
        return got;
    }

    private bool StealFrom(Local* victim, ElementPool.CpuList* list, MapStatistics.CpuCounters* counters)
    {
        MapSpinLock.Acquire(&victim->Held);
        var got = victim->Free > 0;
        if (got) victim->Free--;
        for (var force = 0; !got && force < 2; force++)
            for (var id = victim->Pending.Last; !got && id != 0; id = _nodes[id - 1].Previous)
                if (force == 1 || ReferencedBase[ReferenceOf(id)] == 0)
                    got = Evict(id, &victim->Pending, list, counters);
        MapSpinLock.Release(&victim->Held);
        return got;
    }

    private void Rotate(Common* common, int scans)
    {
        if (common->Inactive.Count < common->Active.Count)
            for (var i = 0; i < scans && common->Active.Last != 0; i++)
            {
                var id = common->Active.Last;
                Remove(&common->Active, id);
                if (TakeReferenced(id)) PushFront(&common->Active, id, Active);
                else PushFront(&common->Inactive, id, Inactive);
            }

        var at = common->Rotation;
        if (at == 0 || _nodes[at - 1].List != Inactive || (_own && common != _commons + _nodes[at - 1].Cpu)) at = common->Inactive.Last;
        for (var i = 0; i < scans && at != 0; i++)
        {
            var id = at;
            at = _nodes[id - 1].Previous;
            if (!TakeReferenced(id)) continue;
            Remove(&common->Inactive, id);
            PushFront(&common->Active, id, Active);
        }

        common->Rotation = at;
    }

    /// <summary>Evicts up to <paramref name="wanted"/> entries; at least one, if there is any that can go.</summary>
    private int Shrink(Common* common, int wanted, int scans, ElementPool.CpuList* list, MapStatistics.CpuCounters* counters)
    {
        var evicted = 0;
        var id = common->Inactive.Last;
        for (var i = 0; i < scans && id != 0 && evicted < wanted; i++)
        {
            var previous = _nodes[id - 1].Previous;
            if (TakeReferenced(id))
            {
                Remove(&common->Inactive, id);
                PushFront(&common->Active, id, Active);
            }
            else if (Evict(id, &common->Inactive, list, counters)) evicted++;

            id = previous;
        }

        if (evicted > 0) return evicted;
        return EvictAny(&common->Inactive, list, counters) || EvictAny(&common->Active, list, counters) ? 1 : 0;
    }

    private bool EvictAny(Chain* chain, ElementPool.CpuList* list, MapStatistics.CpuCounters* counters)
    {
        for (var id = chain->Last; id != 0; id = _nodes[id - 1].Previous)
            if (Evict(id, chain, list, counters)) return true;
        return false;
    }

    /// <summary>Takes an entry out of the table; false if somebody else just did, or has not linked it yet.</summary>
    private bool Evict(uint id, Chain* chain, ElementPool.CpuList* list, MapStatistics.CpuCounters* counters)
    {
        var reference = ReferenceOf(id);
        var bucket = _table.Bucket(_table.Hash(_table.KeyOf(reference)));
        var first = HashTable.Lock(bucket, counters);
        uint before = 0, at = first;
        for (; at != 0 && at != reference; at = _table.Next(at)) before = at;
        if (at != 0) first = _table.Relink(first, before, _table.Next(reference));
        HashTable.Unlock(bucket, first);
        if (at == 0) return false;
        Remove(chain, id);
        _map.ReleaseElement(reference);
        _pool.Retire(list, reference);
        counters->Evictions++;
        return true;
    }

    private uint IdOf(uint reference) => reference / (_pool.Stride / 8);

    private uint ReferenceOf(uint id) => id * (_pool.Stride / 8);

    private bool TakeReferenced(uint id)
    {
        var flag = ReferencedBase + ReferenceOf(id);
        if (*flag == 0) return false;
        *flag = 0;
        return true;
    }

    private void PushFront(Chain* chain, uint id, byte list)
    {
        var node = _nodes + (id - 1);
        node->Previous = 0;
        node->Next = chain->First;
        if (chain->First != 0) _nodes[chain->First - 1].Previous = id;
        else chain->Last = id;
        chain->First = id;
        chain->Count++;
        Volatile.Write(ref node->List, list);
    }

    private void Remove(Chain* chain, uint id)
    {
        var node = _nodes + (id - 1);
        if (node->Previous != 0) _nodes[node->Previous - 1].Next = node->Next;
        else chain->First = node->Next;
        if (node->Next != 0) _nodes[node->Next - 1].Previous = node->Previous;
        else chain->Last = node->Previous;
        chain->Count--;
        Volatile.Write(ref node->List, NoList);
    }

    private struct Node
    {
        public uint Previous, Next;
        public ushort Cpu;
        public byte List;
    }

    /// <summary>A doubly linked list of node numbers; 0 is none.</summary>
    private struct Chain
    {
        public uint First, Last, Count;
    }

    [StructLayout(LayoutKind.Sequential, Size = 128)]
    private struct Common
    {
        public int Held;
        public int Free;
        public uint Rotation;
        public Chain Inactive, Active;
    }

    [StructLayout(LayoutKind.Sequential, Size = 128)]
    private struct Local
    {
        public int Held;
        public int Free;
        public uint NextVictim;
        public Chain Pending;
    }
}
