using System.Numerics;
using BpfSim.Maps;
using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Jit.Ir;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// Map lookups as emitted code, with addresses and sizes of the map as constants. A null check that follows
/// is taken over: a miss goes straight to where the check would have led.
/// </summary>
internal sealed unsafe partial class JitCompiler
{
    private void EmitLookup(in IrInsn n)
    {
        MapHeader* map = _program.Source.Maps[n.Imm].Header;
        int done = _e.NewLabel(), miss = TakeOverNullCheck(out int missTarget, out int hitTarget);
        if (map->Type is MapType.Array or MapType.PercpuArray) EmitArrayLookup(n, map, miss);
        else EmitHashLookup(n, map, miss, done);
        _e.Bind(done);
        if (hitTarget >= 0) _e.Jmp(_labels[hitTarget]);
        _flagsPosition = -1;
        _cold.Add(() =>
        {
            _e.Bind(miss);
            _e.MovRI(Rax, 0);
            if (missTarget >= 0) _e.Jmp(_labels[missTarget]);
            else _e.Jmp(done);
        });
    }

    /// <summary>
    /// If the next instruction compares r0 with 0, it need not be emitted: says where a miss and a hit go,
    /// -1 for the next instruction.
    /// </summary>
    private int TakeOverNullCheck(out int missTarget, out int hitTarget)
    {
        missTarget = hitTarget = -1;
        int miss = _e.NewLabel();
        int next = _index + 1;
        while (next < _function.End && _program.Insns[next].Op == IrOp.Nop && !_program.IsTarget[next]) next++;
        if (!_options.JumpOptimization || next >= _function.End || _program.IsTarget[next]) return miss;
        ref readonly IrInsn check = ref _program.Insns[next];
        if (check.Op != IrOp.Branch || check.A != 0 || check.B != IrInsn.None || check.Imm != 0 || check.Is32 || check.Target <= next) return miss;
        if (check.Condition == X86Condition.Equal)
        {
            missTarget = check.Target;
            _skip = next;
        }
        else if (check.Condition == X86Condition.NotEqual)
        {
            // A miss falls into the code behind the check; the hit jumps over it.
            int behind = _program.SkipNops(next + 1, _function.End);
            if (_labels[behind] < 0) _labels[behind] = _e.NewLabel();
            missTarget = behind;
            hitTarget = check.Target;
            _skip = next;
        }
        return miss;
    }

    /// <summary>The key's low half or whole in a register: where it already is, or loaded into Scratch1.</summary>
    private X86Register KeyRegister(in IrInsn n, int size)
    {
        if (n.B != IrInsn.None)
        {
            _e.MovRR(Scratch1, R(n.B), size == 8);
            return Scratch1;
        }
        _e.Load(Scratch1, new X86Memory(R(n.A), n.Off), size);
        return Scratch1;
    }

    private void EmitArrayLookup(in IrInsn n, MapHeader* map, int miss)
    {
        if (n.Flag)
        {
            uint slot = (uint)n.Target;
            if (slot >= map->MaxEntries)
            {
                _e.Jmp(miss);
                return;
            }
            _e.MovRI(Rax, (long)(map->Data + (slot * map->Stride)));
        }
        else
        {
            X86Register key = KeyRegister(n, 4);
            _e.AluRI(X86Alu.Cmp, key, (int)map->MaxEntries, false);
            _e.Jcc(X86Condition.AboveEqual, miss);
            _e.MovRI(Rax, (long)map->Data);
            int stride = (int)map->Stride;
            if (stride == 8)
            {
                _e.Lea(Rax, new X86Memory(Rax, 0, key, 8), true);
            }
            else
            {
                if (BitOperations.IsPow2(stride)) _e.ShiftRI(X86Shift.Shl, key, BitOperations.TrailingZeroCount(stride), true);
                else _e.ImulRRI(key, key, stride, true);
                _e.AluRR(X86Alu.Add, Rax, key, true);
            }
        }
        if (map->Type != MapType.PercpuArray) return;
        AddCpuOffset(map);
    }

    /// <summary>rax += this CPU's number * CpuStride.</summary>
    private void AddCpuOffset(MapHeader* map)
    {
        _e.Load(Scratch0, new X86Memory(Context, RunContextOffsets.CpuId), 4);
        _e.ImulRRI(Scratch0, Scratch0, (int)map->CpuStride, true);
        _e.AluRR(X86Alu.Add, Rax, Scratch0, true);
    }

    /// <summary>The walk that <see cref="HashLayout"/> describes.</summary>
    private void EmitHashLookup(in IrInsn n, MapHeader* map, int miss, int done)
    {
        int keySize = (int)map->KeySize;
        int first = Math.Min(keySize, 8);
        X86Register key = KeyRegister(n, first);
        X86Memory second = new(R(n.A == IrInsn.None ? (byte)2 : n.A), n.Off + 8);
        EmitHash(map, key, second);
        _e.ShiftRI(X86Shift.Shr, Scratch0, (int)map->HashShift, true);
        _e.MovRI(Rax, (long)map->Data);
        _e.Load(Rax, new X86Memory(Rax, 0, Scratch0, 4), 4);
        _e.MovRI(Scratch0, (long)map->Extra);
        _e.AluRI(X86Alu.And, Rax, 0x7fffffff, false);
        _e.Jcc(X86Condition.Equal, miss);
        int again = _e.NewLabel(), differs = _e.NewLabel();
        _e.Bind(again);
        X86Memory Element(int offset) => new(Scratch0, offset, Rax, 8);
        int nextElement = _e.NewLabel();
        _e.AluRM(X86Alu.Cmp, key, Element((int)HashLayout.KeyOffset), first == 8);
        _e.Jcc(X86Condition.NotEqual, nextElement);
        if (keySize == 16)
        {
            _e.AluRM(X86Alu.Cmp, Scratch2, Element((int)HashLayout.KeyOffset + 8), true);
            _e.Jcc(X86Condition.NotEqual, nextElement);
        }
        _cold.Add(() =>
        {
            _e.Bind(nextElement);
            _e.Load(Rax, Element(0), 4);
            _e.TestRR(Rax, Rax, false);
            _e.Jcc(X86Condition.NotEqual, again);
            _e.Jmp(miss);
        });
        if (map->ReferencedBase != null)
        {
            int known = _e.NewLabel();
            _e.MovRI(Scratch1, (long)map->ReferencedBase);
            X86Memory referenced = new(Scratch1, 0, Rax);
            _e.AluMI(X86Alu.Cmp, referenced, 0, 1);
            _e.Jcc(X86Condition.NotEqual, known);
            _e.StoreImm(referenced, 1, 1);
            _e.Bind(known);
        }
        if (map->Type is MapType.PercpuHash or MapType.LruPercpuHash)
        {
            _e.Load(Rax, Element((int)HashLayout.TagOffset), 4);
            _e.MovRI(Scratch0, (long)map->ValueBase);
            _e.Lea(Rax, Element(0), true);
            AddCpuOffset(map);
        }
        else
        {
            _e.Lea(Rax, Element((int)map->ValueOffset), true);
        }
    }

    /// <summary>
    /// Scratch0 = the hash of a key whose first word is in a register and whose second, if it has one, in memory; that one is
    /// in Scratch2 afterwards. Uses rax.
    /// </summary>
    private void EmitHash(MapHeader* map, X86Register key, in X86Memory second)
    {
        _e.MovRI(Rax, unchecked((long)HashLayout.Multiplier));
        if (map->Seed == 0)
        {
            _e.MovRR(Scratch0, key, true);
        }
        else
        {
            _e.MovRI(Scratch0, (long)map->Seed);
            _e.AluRR(X86Alu.Xor, Scratch0, key, true);
        }
        _e.Imul(Scratch0, Rax, true);
        if (map->KeySize == 16)
        {
            _e.MovRR(Scratch2, Scratch0, true);
            _e.ShiftRI(X86Shift.Shr, Scratch2, 32, true);
            _e.AluRR(X86Alu.Xor, Scratch0, Scratch2, true);
            _e.Load(Scratch2, second, 8);
            _e.AluRR(X86Alu.Xor, Scratch0, Scratch2, true);
            _e.Imul(Scratch0, Rax, true);
        }
    }
}
