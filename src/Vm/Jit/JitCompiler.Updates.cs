using BpfSim.Maps;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// Updates and deletions of plain hashes: the way that <see cref="HashUpdateLayout"/> describes, as long as nobody stands in
/// it. Whatever is rare (a lock that is taken, an epoch that has moved on, no free element, a full map, an error) is left to C#.
/// </summary>
internal sealed unsafe partial class JitCompiler
{
    // The key's address and the value's stay in rsi and rdx for the call that may follow; its other arguments are constants.
    private const X86Register Current = Rax, Elements = Rcx, Key = Rdi, List = R8, Fresh = R9, Before = R10, Bucket = R11;

    private void EmitHashChange(IrInsn n, nint helper)
    {
        MapHeader* map = _program.Source.Maps[n.Target].Header;
        bool update = n.Sub == IrOp.HashUpdate;
        bool mayReplace = n.Off != (int)UpdateFlags.NoExist, mayInsert = n.Off != (int)UpdateFlags.Exist;
        int done = _e.NewLabel(), call = _e.NewLabel(), leaveList = _e.NewLabel(), leaveBucket = _e.NewLabel();
        int linked = _e.NewLabel(), missing = _e.NewLabel(), finish = _e.NewLabel(), inChain = _e.NewLabel();
        FindBucket(map);
        TakeList(map, update, call, leaveList);
        if (update) FillFresh(map);
        TakeBucket(leaveList);
        int found = _e.NewLabel();
        Walk(map, found, missing);
        _e.Bind(found);
        if (update && !mayReplace)
        {
            _e.Jmp(leaveBucket);
        }
        else
        {
            if (update)
            {
                TakeFresh(map);
                _e.Load(Key, Element(Current), 4);
                _e.Store(Element(Fresh), Key, 4);
            }
            else
            {
                // What follows takes the old one's place.
                _e.Load(Fresh, Element(Current), 4);
            }
            _e.TestRR(Before, Before, false);
            _e.Jcc(X86Condition.NotEqual, inChain);
            _e.Store(new X86Memory(Bucket, 0), Fresh, 4);
            _e.Bind(linked);
            if (!update)
            {
                _e.MovRI(Fresh, (long)map->Live);
                _e.LockAluImm(X86Alu.Sub, new X86Memory(Fresh, 0), 1, false);
            }
            Retire();
            _cold.Add(() =>
            {
                _e.Bind(inChain);
                _e.Store(Element(Before), Fresh, 4);
                UnlockBucket();
                _e.Jmp(linked);
            });
        }
        _e.Bind(finish);
        _e.MovRI(Fresh, (long)map->Counters + (update ? HashUpdateLayout.Updates : HashUpdateLayout.Deletes));
        _e.Load(Key, new X86Memory(Context, RunContextOffsets.CpuId), 4);
        _e.ImulRRI(Key, Key, HashUpdateLayout.CountersStride, true);
        _e.AluMI(X86Alu.Add, new X86Memory(Fresh, 0, Key), 1, 8);
        _e.StoreImm(new X86Memory(List, HashUpdateLayout.Held), 0, 4);
        _e.MovRI(Rax, 0);
        _e.Bind(done);
        _cold.Add(() =>
        {
            _e.Bind(missing);
            if (update) Insert(map, mayInsert, leaveBucket, finish);
            else
            {
                UnlockBucket();
                _e.StoreImm(new X86Memory(List, HashUpdateLayout.Held), 0, 4);
                _e.MovRI(Rax, -(int)Errno.ENOENT);
                _e.Jmp(done);
            }
            _e.Reserve(512);
            _e.Bind(leaveBucket);
            UnlockBucket();
            _e.Bind(leaveList);
            _e.StoreImm(new X86Memory(List, HashUpdateLayout.Held), 0, 4);
            _e.Bind(call);
            _e.MovRI(Rdi, (long)map);
            _e.MovRI(Rcx, n.Off);
            EmitNativeCall(helper);
            _e.Jmp(done);
        });
    }

    private static X86Memory Element(X86Register reference, int offset = 0) => new(Elements, offset, reference, 8);

    private void UnlockBucket() => _e.AluMI(X86Alu.And, new X86Memory(Bucket, 0), (int)~HashLayout.LockBit, 4);

    /// <summary>Loads the key's first word, and finds its bucket's address; the hash stays where it is used next.</summary>
    private void FindBucket(MapHeader* map)
    {
        _e.Load(Key, new X86Memory(Rsi, 0), Math.Min((int)map->KeySize, 8));
        EmitHash(map, Key, new X86Memory(Rsi, 8));
        _e.MovRR(Bucket, Scratch0, true);
        _e.ShiftRI(X86Shift.Shr, Bucket, (int)map->HashShift, true);
        _e.MovRI(Rax, (long)map->Data);
        _e.Lea(Bucket, new X86Memory(Rax, 0, Bucket, 4), true);
        // Two locks follow, and none lets a later load begin: the bucket and its first element should be on their way by then.
        _e.Load(Rax, new X86Memory(Bucket, 0), 4);
        _e.MovRI(Elements, (long)map->Extra);
        _e.AluRI(X86Alu.And, Rax, (int)~HashLayout.LockBit, false);
        _e.PrefetchW(Element(Rax));
    }

    /// <summary>Takes the CPU's list, if it is in order.</summary>
    private void TakeList(MapHeader* map, bool update, int call, int leaveList)
    {
        X86Memory Field(int offset) => new(List, offset);
        _e.Load(List, new X86Memory(Context, RunContextOffsets.CpuId), 4);
        _e.ShiftRI(X86Shift.Shl, List, System.Numerics.BitOperations.Log2(HashUpdateLayout.ListStride), true);
        _e.MovRI(Rax, (long)map->Lists);
        _e.AluRR(X86Alu.Add, List, Rax, true);
        _e.MovRI(Rax, 1);
        _e.XchgM(Field(HashUpdateLayout.Held), Rax, false);
        _e.TestRR(Rax, Rax, false);
        _e.Jcc(X86Condition.NotEqual, call);
        _e.MovRI(Rax, (long)MapEpoch.CurrentAddress);
        _e.Load(Rax, new X86Memory(Rax, 0), 8);
        _e.AluRM(X86Alu.Cmp, Rax, Field(HashUpdateLayout.LastEpoch), true);
        _e.Jcc(X86Condition.NotEqual, leaveList);
        _e.Load(Rax, Field(HashUpdateLayout.Open), 4);
        _e.AluRI(X86Alu.And, Rax, HashUpdateLayout.AdvanceEvery - 1, false);
        _e.AluRI(X86Alu.Cmp, Rax, HashUpdateLayout.AdvanceEvery - 1, false);
        _e.Jcc(X86Condition.Equal, leaveList);
        if (update)
        {
            _e.AluMI(X86Alu.Cmp, Field(HashUpdateLayout.Ready), 0, 4);
            _e.Jcc(X86Condition.Equal, leaveList);
            LoadFresh(Rax);
            return;
        }
        _e.Load(Rax, Field(HashUpdateLayout.Tail), 4);
        _e.AluRM(X86Alu.Sub, Rax, Field(HashUpdateLayout.Head), false);
        _e.AluRM(X86Alu.Cmp, Rax, Field(HashUpdateLayout.Size), false);
        _e.Jcc(X86Condition.Equal, leaveList);
    }

    /// <summary>The element at the head of the queue.</summary>
    private void LoadFresh(X86Register temporary)
    {
        _e.Load(Fresh, new X86Memory(List, HashUpdateLayout.Size), 4);
        _e.AluRI(X86Alu.Sub, Fresh, 1, false);
        _e.AluRM(X86Alu.And, Fresh, new X86Memory(List, HashUpdateLayout.Head), false);
        _e.Load(temporary, new X86Memory(List, HashUpdateLayout.Queue), 8);
        _e.Load(Fresh, new X86Memory(temporary, 0, Fresh, 4), 4);
    }

    /// <summary>Writes key, tag and value into the first free element. It stays free until it is linked.</summary>
    private void FillFresh(MapHeader* map)
    {
        _e.Lea(Rax, Element(Fresh), true);
        _e.ShiftRI(X86Shift.Shr, Scratch0, 32, true);
        _e.Store(new X86Memory(Rax, (int)HashLayout.TagOffset), Scratch0, 4);
        _e.Store(new X86Memory(Rax, (int)HashLayout.KeyOffset), Key, Math.Min((int)map->KeySize, 8));
        if (map->KeySize == 16) EmitCopy(new X86Memory(Rax, (int)HashLayout.KeyOffset + 8), new X86Memory(Rsi, 8), 8, Scratch0);
        EmitCopy(new X86Memory(Rax, (int)map->ValueOffset), new X86Memory(Rdx, 0), (int)map->ValueSize, Scratch0);
        _e.Reserve(512);
    }

    private void TakeBucket(int leaveList)
    {
        X86Memory word = new(Bucket, 0);
        _e.Load(Rax, word, 4);
        _e.TestRR(Rax, Rax, false);
        _e.Jcc(X86Condition.Sign, leaveList);
        _e.MovRR(Before, Rax, false);
        _e.AluRI(X86Alu.Or, Before, unchecked((int)HashLayout.LockBit), false);
        _e.LockCmpxchg(word, Before, false);
        _e.Jcc(X86Condition.NotEqual, leaveList);
    }

    /// <summary>Goes along the chain from rax; before a hit, Before is the reference of the element in front, or 0.</summary>
    private void Walk(MapHeader* map, int found, int missing)
    {
        int again = _e.NewLabel(), next = _e.NewLabel();
        _e.MovRI(Before, 0);
        _e.TestRR(Rax, Rax, false);
        _e.Jcc(X86Condition.Equal, missing);
        _e.Bind(again);
        _e.AluRM(X86Alu.Cmp, Key, Element(Current, (int)HashLayout.KeyOffset), map->KeySize != 4);
        _e.Jcc(X86Condition.NotEqual, next);
        if (map->KeySize == 16)
        {
            _e.Load(Fresh, new X86Memory(Rsi, 8), 8);
            _e.AluRM(X86Alu.Cmp, Fresh, Element(Current, (int)HashLayout.KeyOffset + 8), true);
            _e.Jcc(X86Condition.NotEqual, next);
        }
        _cold.Add(() =>
        {
            _e.Bind(next);
            _e.MovRR(Before, Current, false);
            _e.Load(Current, Element(Current), 4);
            _e.TestRR(Current, Current, false);
            _e.Jcc(X86Condition.NotEqual, again);
            _e.Jmp(missing);
        });
    }

    /// <summary>The first free element leaves the queue.</summary>
    private void TakeFresh(MapHeader* map)
    {
        // Long keys were compared through its register.
        if (map->KeySize == 16) LoadFresh(Key);
        _e.AluMI(X86Alu.Add, new X86Memory(List, HashUpdateLayout.Head), 1, 4);
        _e.AluMI(X86Alu.Sub, new X86Memory(List, HashUpdateLayout.Ready), 1, 4);
    }

    /// <summary>The element in rax goes into the queue of those that somebody may still see.</summary>
    private void Retire()
    {
        X86Memory Field(int offset) => new(List, offset);
        _e.Load(Fresh, Field(HashUpdateLayout.Queue), 8);
        _e.Load(Key, Field(HashUpdateLayout.Tail), 4);
        _e.Load(Before, Field(HashUpdateLayout.Size), 4);
        _e.AluRI(X86Alu.Sub, Before, 1, false);
        _e.AluRR(X86Alu.And, Before, Key, false);
        _e.Store(new X86Memory(Fresh, 0, Before, 4), Rax, 4);
        _e.AluRI(X86Alu.Add, Key, 1, false);
        _e.Store(Field(HashUpdateLayout.Tail), Key, 4);
        _e.AluMI(X86Alu.Add, Field(HashUpdateLayout.Open), 1, 4);
    }

    /// <summary>No such key: the free element goes to the front of the chain, if the map is not full.</summary>
    private void Insert(MapHeader* map, bool mayInsert, int leaveBucket, int finish)
    {
        if (!mayInsert)
        {
            _e.Jmp(leaveBucket);
            return;
        }
        int full = _e.NewLabel();
        X86Memory live = new(Before, 0);
        _e.MovRI(Before, (long)map->Live);
        _e.MovRI(Key, 1);
        _e.LockXadd(live, Key, false);
        _e.AluRI(X86Alu.Cmp, Key, (int)map->MaxEntries, false);
        _e.Jcc(X86Condition.AboveEqual, full);
        TakeFresh(map);
        _e.Load(Key, new X86Memory(Bucket, 0), 4);
        _e.AluRI(X86Alu.And, Key, (int)~HashLayout.LockBit, false);
        _e.Store(Element(Fresh), Key, 4);
        _e.Store(new X86Memory(Bucket, 0), Fresh, 4);
        _e.Jmp(finish);
        _e.Bind(full);
        _e.LockAluImm(X86Alu.Sub, live, 1, false);
        _e.Jmp(leaveBucket);
    }
}
