using System.Numerics;
using BpfSim.Maps;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// Records of ring buffers: what <see cref="RingbufMap"/> does, with addresses, sizes and flags as constants. Who finds
/// the producers' lock taken, or has a consumer to wake, calls C#.
/// </summary>
internal sealed unsafe partial class JitCompiler
{
    private static readonly int NotDiscarded = unchecked((int)~RingbufMap.DiscardBit), NotBusy = (int)~RingbufMap.BusyBit;

    private const int PrefetchDistance = 512;

    /// <summary>bpf_ringbuf_reserve (a null check that follows is taken over), or bpf_ringbuf_output as a whole.</summary>
    private void EmitRingReserve(IrInsn n, nint helper)
    {
        MapHeader* map = _program.Source.Maps[n.Target].Header;
        bool output = n.Sub == IrOp.RingOutput;
        int size = n.Off, length = (int)RingbufLayout.RecordLength((ulong)size), mask = (int)map->Mask;
        int done = _e.NewLabel(), contended = _e.NewLabel(), full = _e.NewLabel(), missTarget = -1, hitTarget = -1;
        int miss = output ? _e.NewLabel() : TakeOverNullCheck(out missTarget, out hitTarget);
        X86Memory Area(int offset) => new(R10, offset);
        // Until the lock is held, the arguments stay where the call would want them.
        _e.MovRI(R10, (long)map->Extra);
        _e.MovRI(Rax, 1);
        _e.XchgM(Area(RingbufLayout.Lock), Rax, false);
        _e.TestRR(Rax, Rax, false);
        _e.Jcc(X86Condition.NotEqual, contended);
        // r11: the data; r8: the oldest busy record, which moves on over those that are ready.
        _e.Lea(R11, Area(RingbufLayout.Data), true);
        _e.Load(R8, Area(RingbufLayout.Pending), 8);
        int scan = _e.NewLabel(), scanned = _e.NewLabel();
        _e.Bind(scan);
        _e.AluRM(X86Alu.Cmp, R8, Area(RingbufLayout.Producer), true);
        _e.Jcc(X86Condition.AboveEqual, scanned);
        _e.MovRR(Rax, R8, false);
        _e.AluRI(X86Alu.And, Rax, mask, false);
        _e.Load(Rax, new X86Memory(R11, 0, Rax), 4);
        _e.TestRR(Rax, Rax, false);
        _e.Jcc(X86Condition.Sign, scanned);
        _e.AluRI(X86Alu.And, Rax, NotDiscarded, false);
        _e.AluRI(X86Alu.Add, Rax, RingbufLayout.HeaderSize + 7, false);
        _e.AluRI(X86Alu.And, Rax, -8, false);
        _e.AluRR(X86Alu.Add, R8, Rax, true);
        _e.Jmp(scan);
        _e.Bind(scanned);
        _e.Store(Area(RingbufLayout.Pending), R8, 8);
        // Room counts from the consumer and from the oldest busy record.
        _e.Load(R9, Area(RingbufLayout.Producer), 8);
        _e.Lea(Rax, new X86Memory(R9, length), true);
        _e.MovRR(Rdi, Rax, true);
        _e.AluRM(X86Alu.Sub, Rdi, Area(0), true);
        _e.AluRI(X86Alu.Cmp, Rdi, mask, true);
        _e.Jcc(X86Condition.Above, full);
        _e.MovRR(Rdi, Rax, true);
        _e.AluRR(X86Alu.Sub, Rdi, R8, true);
        _e.AluRI(X86Alu.Cmp, Rdi, mask, true);
        _e.Jcc(X86Condition.Above, full);
        // The record's header, busy; then everybody may see it.
        _e.AluRI(X86Alu.And, R9, mask, false);
        _e.MovRR(R8, R9, false);
        _e.AluRR(X86Alu.Add, R11, R9, true);
        _e.ShiftRI(X86Shift.Shr, R8, BitOperations.Log2(RingbufLayout.Page), false);
        _e.AluRI(X86Alu.Add, R8, (RingbufLayout.Data - RingbufLayout.Own) / RingbufLayout.Page, false);
        _e.StoreImm(new X86Memory(R11, 0), unchecked((int)((uint)size | RingbufMap.BusyBit)), 4);
        _e.Store(new X86Memory(R11, 4), R8, 4);
        _e.Store(Area(RingbufLayout.Producer), Rax, 8);
        _e.StoreImm(Area(RingbufLayout.Lock), 0, 4);
        // The next lock waits until all stores are done: what will be written soon should be in the cache by then.
        _e.PrefetchW(new X86Memory(R11, PrefetchDistance));
        if (output)
        {
            EmitCopy(new X86Memory(R11, RingbufLayout.HeaderSize), new X86Memory(Rsi, 0), size, R9);
            _e.Reserve(256);
            EmitCommit(n.Size, size, done);
        }
        else
        {
            _e.Lea(Rax, new X86Memory(R11, RingbufLayout.HeaderSize), true);
        }
        _e.Bind(done);
        if (hitTarget >= 0) _e.Jmp(_labels[hitTarget]);
        _flagsPosition = -1;
        _cold.Add(() =>
        {
            _e.Bind(full);
            _e.AluMI(X86Alu.Add, Area(RingbufLayout.Drops), 1, 8);
            _e.StoreImm(Area(RingbufLayout.Lock), 0, 4);
            _e.Bind(miss);
            _e.MovRI(Rax, output ? -(int)Errno.EAGAIN : 0);
            if (missTarget >= 0) _e.Jmp(_labels[missTarget]);
            else _e.Jmp(done);
            _e.Reserve(64);
            _e.Bind(contended);
            EmitNativeCall(helper);
            if (missTarget >= 0)
            {
                _e.TestRR(Rax, Rax, true);
                _e.Jcc(X86Condition.Equal, miss);
            }
            _e.Jmp(done);
        });
    }

    /// <summary>bpf_ringbuf_submit or bpf_ringbuf_discard of the sample in r1; r0 is 0 afterwards.</summary>
    private void EmitRingCommit(in IrInsn n)
    {
        int done = _e.NewLabel();
        _e.Lea(R11, new X86Memory(Rdi, -RingbufLayout.HeaderSize), true);
        _e.Load(R8, new X86Memory(R11, 4), 4);
        _e.Load(Rax, new X86Memory(R11, 0), 4);
        _e.AluRI(X86Alu.And, Rax, NotBusy, false);
        if (n.Flag) _e.AluRI(X86Alu.Or, Rax, (int)RingbufMap.DiscardBit, false);
        EmitCommit(n.Off, null, done);
        _e.Bind(done);
    }

    /// <summary>
    /// Makes the record at r11 ready, with the length in eax (or known) and the distance from the own page in r8; r0 becomes
    /// 0. Unless told not to, it looks whether the consumer waits for this very record: then it is woken.
    /// </summary>
    private void EmitCommit(int flags, int? size, int done)
    {
        X86Memory word = new(R11, 0);
        if (flags == (int)RingbufMap.NoWakeup)
        {
            if (size is { } known) _e.StoreImm(word, known, 4);
            else _e.Store(word, Rax, 4);
            _e.MovRI(Rax, 0);
            return;
        }
        if (size is { } length) _e.MovRI(Rax, length);
        // A full fence: the record must be visible before the consumer's position is looked at.
        _e.XchgM(word, Rax, false);
        int wake = _e.NewLabel();
        _e.MovRR(Rdi, R11, true);
        _e.ShiftRI(X86Shift.Shl, R8, BitOperations.Log2(RingbufLayout.Page), true);
        _e.AluRI(X86Alu.And, Rdi, -RingbufLayout.Page, true);
        _e.AluRR(X86Alu.Sub, Rdi, R8, true);
        _e.Load(R8, new X86Memory(Rdi, -RingbufLayout.Own), 8);
        _e.AluRM(X86Alu.And, R8, new X86Memory(Rdi, RingbufLayout.OwnMask), true);
        _e.Lea(R8, new X86Memory(Rdi, RingbufLayout.Data - RingbufLayout.Own, R8), true);
        _e.MovRI(Rax, 0);
        _e.AluRR(X86Alu.Cmp, R8, R11, true);
        _e.Jcc(X86Condition.Equal, wake);
        _cold.Add(() =>
        {
            _e.Bind(wake);
            EmitNativeCall(JitRuntime.Wake);
            _e.Jmp(done);
        });
    }

    /// <summary>Copies a known number of bytes through a register.</summary>
    private void EmitCopy(X86Memory target, X86Memory source, int size, X86Register through)
    {
        for (int at = 0; at < size;)
        {
            int bytes = size - at >= 8 ? 8 : size - at >= 4 ? 4 : size - at >= 2 ? 2 : 1;
            _e.Reserve(64);
            _e.Load(through, source with { Disp = source.Disp + at }, bytes);
            _e.Store(target with { Disp = target.Disp + at }, through, bytes);
            at += bytes;
        }
    }
}
