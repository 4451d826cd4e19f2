using BpfSim.Vm.Isa;

namespace BpfSim.Kernel.Tests.Soundness;

// The pieces that functions are made of.
internal sealed partial class FunctionWriter
{
    private const int LookupElem = 1, UpdateElem = 2, DeleteElem = 3, KtimeGetNs = 5, PrandomU32 = 7, SmpProcessorId = 8, CsumDiff = 28,
        ForEachMapElem = 164, Loop = 181;

    private void Piece()
    {
        switch (random.Next(34))
        {
            case < 7: Arithmetic(); break;
            case < 9: Bound(PickNumber(), random.Next(1, 64)); break;
            case < 13: Branch(); break;
            case 13: CountedLoop(); break;
            case 14 or 15: Spill(); break;
            case 16 or 17: Fill(); break;
            case 18: SpillPointer(); break;
            case 19 or 20: VariableStack(); break;
            case 21 or 22 or 23: Lookup(); break;
            case 24 or 25: Access(); break;
            case 26 or 27: PacketAccess(); break;
            case 28: Helper(); break;
            case 29: Call(); break;
            case 30: CallbackLoop(); break;
            case 31: SizedHelper(); break;
            case 32: ChosenConstant(); break;
            default: if (wild) Wild(); else Copy(); break;
        }
    }

    private void Arithmetic()
    {
        int dst = PickNumber(), cls = random.Next(2) == 0 ? 7 : 4, src = random.Next(2) == 0 ? PickNumber() : -1;
        int[] ops = [0x00, 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0];
        int op = ops[random.Next(ops.Length)];
        switch (op)
        {
            case 0x80: Add(cls | 0x80, dst, 0, 0, 0); return;
            case 0xd0:
                if (random.Next(2) == 0) Add(7 | 0xd0, dst, 0, 0, 16 << random.Next(3));
                else Add(4 | 0xd0 | (random.Next(2) << 3), dst, 0, 0, 16 << random.Next(3));
                return;
            case 0xb0:
                int to = PickFree();
                Add(cls | 0xb8, to, dst, random.Next(2) == 0 ? 0 : 8 << random.Next(cls == 7 ? 3 : 2), 0);
                _regs[to] = Holds.Number;
                return;
            case 0x30 or 0x90:
                int signed = random.Next(3) == 0 ? 1 : 0, divisor = Immediate();
                if (src >= 0) Add(op | cls | 8, dst, src, signed, 0);
                else Add(op | cls, dst, 0, signed, divisor == 0 ? 3 : divisor);
                return;
            case 0x60 or 0x70 or 0xc0:
                if (src >= 0) Add(op | cls | 8, dst, src, 0, 0);
                else Add(op | cls, dst, 0, 0, random.Next(cls == 7 ? 64 : 32));
                return;
            default:
                if (src >= 0) Add(op | cls | 8, dst, src, 0, 0);
                else Add(op | cls, dst, 0, 0, Immediate());
                return;
        }
    }

    /// <summary>Makes a number lie in 0 to max, in one of many ways; some are not enough, and then its use is rejected.</summary>
    private void Bound(int r, int max)
    {
        int cls = random.Next(2) == 0 ? 7 : 4, jump = random.Next(2) == 0 ? 5 : 6;
        switch (random.Next(16))
        {
            case 0 or 1 or 2: Add(0x50 | cls, r, 0, 0, Mask(max)); break;
            case 3 or 4: JumpToEnd(0x25, r, 0, max); break;
            case 5: JumpToEnd(0x35, r, 0, max + 1); break;
            case 6:
                Add(0xbc, r, r, 0, 0);
                JumpToEnd(0x20 | jump, r, 0, max);
                break;
            case 7:
                JumpToEnd(0x60 | jump, r, 0, max);
                JumpToEnd(0xc0 | jump, r, 0, 0);
                break;
            case 8: Add(0x97, r, 0, 0, max + 1); Add(0x50 | cls, r, 0, 0, Mask(max)); break;
            case 9:
                Add(0x77, r, 0, 0, 58);
                JumpToEnd(0x25, r, 0, max);
                break;
            case 10:
                // The jump over the end: what is left is inside.
                Add(0xa5 | (jump == 6 ? 3 : 0), r, 0, 1, max + 1);
                Add(0xb7, r, 0, 0, random.Next(max + 1));
                break;
            case 11:
                Add(0x66, r, 0, 2, max);
                Add(0xc6, r, 0, 1, 0);
                Add(0x05, 0, 0, 1, 0);
                Add(0xb7, r, 0, 0, 0);
                Add(0xbc, r, r, 0, 0);
                break;
            case 12:
                // A copy is compared: its siblings learn, too.
                int copy = PickFree();
                if (copy != r) Add(0xbf, copy, r, 0, 0);
                _regs[copy] = Holds.Number;
                if (random.Next(2) == 0) Add(0x07, copy, 0, 0, random.Next(-3, 4));
                JumpToEnd(0x25, copy, 0, max);
                break;
            case 13: Add(0xbf, r, r, 8 << random.Next(2), 0); Add(0x57, r, 0, 0, Mask(max)); break;
            case 14: JumpToEnd(random.Next(2) == 0 ? 0x26 : 0x65, r, 0, max); break;
            default:
                Add(0x67, r, 0, 0, 32);
                Add(0xc7, r, 0, 0, 32);
                JumpToEnd(0x25, r, 0, max);
                break;
        }
    }

    private static int Mask(int max)
    {
        int mask = 0;
        while (((mask << 1) | 1) <= max) mask = (mask << 1) | 1;
        return mask;
    }

    private void Branch()
    {
        if (_depth >= 3) return;
        Insn condition = Condition();
        List<int> over = [Code.Count];
        Code.Add(condition);
        Holds[] before = [.. _regs];
        int[] sizes = [.. _size];
        _depth++;
        for (int n = random.Next(1, 4); n > 0 && _budget-- > 0; n--) Piece();
        if (random.Next(3) == 0)
        {
            List<int> overElse = [Code.Count];
            Add(0x05, 0, 0, 0, 0);
            Land(over);
            Holds[] then = [.. _regs];
            int[] thenSizes = [.. _size];
            before.CopyTo(_regs, 0);
            sizes.CopyTo(_size, 0);
            for (int n = random.Next(1, 3); n > 0 && _budget-- > 0; n--) Piece();
            Land(overElse);
            Meet(then, thenSizes);
        }
        else
        {
            Land(over);
            Meet(before, sizes);
        }

        _depth--;
    }

    private void Meet(Holds[] other, int[] sizes)
    {
        for (int r = 0; r < 10; r++)
        {
            if (_regs[r] != other[r]) _regs[r] = Holds.Nothing;
            _size[r] = Math.Min(_size[r], sizes[r]);
        }
    }

    private void CountedLoop()
    {
        if (_depth >= 2) return;
        int slot = -72 - (8 * _depth), rounds = random.Next(1, 7);
        Add(0x7a, 10, 0, slot, 0);
        int start = Code.Count;
        Holds[] before = [.. _regs];
        int[] sizes = [.. _size];
        _depth++;
        // What the body may leave behind must be there at its start.
        bool open = random.Next(3) == 0;
        Certain &= !open;
        for (int n = random.Next(1, 4); n > 0 && _budget-- > 0; n--)
        {
            if (open) Piece();
            else Arithmetic();
        }

        _depth--;
        Meet(before, sizes);
        int counter = PickFree();
        Add(0x79, counter, 10, slot, 0);
        Add(0x07, counter, 0, 0, 1);
        Add(0x7b, 10, counter, slot, 0);
        _regs[counter] = Holds.Number;
        int code = random.Next(3) switch { 0 => 0xa5, 1 => 0x55, _ => 0xc5 };
        Add(code, counter, 0, start - Code.Count - 1, rounds);
    }

    private void Spill()
    {
        int size = random.Next(4), bytes = size switch { 0 => 4, 1 => 2, 2 => 1, _ => 8 };
        int off = -8 * random.Next(1, 9);
        if (bytes < 8 && random.Next(3) == 0) off += bytes * random.Next(8 / bytes);
        if (random.Next(4) == 0) Add(0x62 | (size << 3), 10, 0, off, random.Next(2) == 0 ? 0 : Immediate());
        else Add(0x63 | (size << 3), 10, PickNumber(), off, 0);
        if (random.Next(6) == 0 && bytes >= 4 && off % bytes == 0) Atomic(10, off, bytes);
    }

    private void Fill()
    {
        int size = random.Next(4), bytes = size switch { 0 => 4, 1 => 2, 2 => 1, _ => 8 };
        int off = -8 * random.Next(1, 9), to = PickFree();
        if (bytes < 8 && random.Next(3) == 0) off += bytes * random.Next(8 / bytes);
        bool signExtends = bytes < 8 && random.Next(4) == 0;
        Add((signExtends ? 0x81 : 0x61) | (size << 3), to, 10, off, 0);
        _regs[to] = Holds.Number;
    }

    private void Atomic(int reg, int off, int bytes)
    {
        int[] kinds = [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1];
        int kind = kinds[random.Next(kinds.Length)], value = PickNumber();
        if (value == reg) return;
        if (kind == 0xf1 && _regs[0] != Holds.Number) return;
        Add(bytes == 8 ? 0xdb : 0xc3, reg, value, off, kind);
    }

    private void SpillPointer()
    {
        int r = random.Next(6, 10);
        if (_regs[r] is Holds.Nothing or Holds.Number) return;
        int off = -8 * random.Next(1, 9);
        Add(0x7b, 10, r, off, 0);
        if (random.Next(2) == 0) Arithmetic();
        int to = random.Next(6, 10);
        Holds what = _regs[r];
        int size = _size[r];
        Add(0x79, to, 10, off, 0);
        (_regs[to], _size[to]) = (what, size);
        // Addresses must not be taken for data afterwards.
        Add(0x7a, 10, 0, off, random.Next(3));
    }

    private void VariableStack()
    {
        int index = PickNumber(), pointer = PickFree();
        if (pointer == index || pointer == 0) return;
        int size = random.Next(4), bytes = size switch { 0 => 4, 1 => 2, 2 => 1, _ => 8 }, room = 8 * random.Next(2, 7);
        Bound(index, room - bytes);
        if (bytes > 1 && random.Next(2) == 0) Add(0x57, index, 0, 0, -bytes);
        Add(0xbf, pointer, 10, 0, 0);
        if (random.Next(2) == 0)
        {
            Add(0x07, pointer, 0, 0, -room);
            Add(0x0f, pointer, index, 0, 0);
        }
        else
        {
            Add(0x0f, pointer, index, 0, 0);
            Add(0x07, pointer, 0, 0, -room);
        }

        _regs[pointer] = Holds.Nothing;
        if (random.Next(3) > 0)
        {
            if (random.Next(2) == 0) Add(0x62 | (size << 3), pointer, 0, 0, random.Next(2));
            else Add(0x63 | (size << 3), pointer, PickNumberOtherThan(pointer), 0, 0);
        }

        if (random.Next(3) > 0)
        {
            Add(0x61 | (size << 3), pointer, pointer, 0, 0);
            _regs[pointer] = Holds.Number;
        }
    }

    private int PickNumberOtherThan(int register)
    {
        for (int r = 9; r >= 0; r--)
        {
            if (_regs[r] == Holds.Number && r != register) return r;
        }

        // The stack pointer's own slot cannot be meant: a constant will do.
        int other = register == 5 ? 4 : 5;
        Add(0xb7, other, 0, 0, Immediate());
        _regs[other] = Holds.Number;
        return other;
    }

    private void Lookup()
    {
        int map = random.Next(2), slot = -8 * random.Next(1, 9);
        if (random.Next(2) == 0) Add(0x62, 10, 0, slot, random.Next(5));
        else
        {
            int key = PickNumber();
            if (random.Next(2) == 0) Add(0x57, key, 0, 0, 3);
            Add(0x63, 10, key, slot, 0);
        }

        Add(0xbf, 2, 10, 0, 0);
        Add(0x07, 2, 0, 0, slot);
        LoadMap(1, map);
        Add(0x85, 0, 0, 0, LookupElem);
        ForgetCallerSaved();
        int keep = 0;
        if (random.Next(2) == 0)
        {
            keep = random.Next(6, 10);
            Add(0xbf, keep, 0, 0, 0);
        }

        if (random.Next(30) > 0)
        {
            // The value that both copies share is tested in one of them.
            Add(random.Next(4) == 0 ? 0x1d : 0x15, keep != 0 && random.Next(2) == 0 ? keep : 0, 0, 0, 0);
            if ((Code[^1].Code & 8) != 0) Code[^1] = new Insn(0x15, 0, 0, 0, 0);
            _toEnd.Add(Code.Count - 1);
        }

        (_regs[0], _size[0]) = (Holds.Buffer, map == 0 ? 24 : 48);
        if (keep != 0) (_regs[keep], _size[keep]) = (Holds.Buffer, _size[0]);
        if (random.Next(4) > 0) Access();
    }

    private void LoadMap(int r, int map)
    {
        Add(0x18, r, (int)PseudoSource.MapFd, 0, map);
        Code.Add(default);
    }

    /// <summary>Loads from, stores into or adds to a map value or the caller's stack.</summary>
    private void Access()
    {
        int buffer = PickBuffer();
        if (buffer < 0) return;
        int size = random.Next(4), bytes = size switch { 0 => 4, 1 => 2, 2 => 1, _ => 8 }, room = _size[buffer] - bytes;
        int pointer = buffer, off;
        if (random.Next(3) == 0)
        {
            off = random.Next(0, room + 1);
        }
        else
        {
            off = random.Next(-2, Math.Max(1, room / 2));
            int index = PickNumber();
            if (index == buffer) return;
            // Mostly exact, sometimes one too many.
            int max = Math.Max(0, room - off) + (random.Next(12) == 0 ? 1 : 0);
            if (random.Next(12) > 0) Bound(index, max);
            if (_regs[buffer] != Holds.Buffer || index == buffer) return;
            pointer = PickFree();
            if (pointer == index || pointer == buffer) pointer = buffer;
            if (pointer != buffer) Add(0xbf, pointer, buffer, 0, 0);
            if (pointer != buffer && random.Next(4) == 0)
            {
                // Number plus pointer.
                Add(0xbf, pointer, index, 0, 0);
                Add(0x0f, pointer, buffer, 0, 0);
            }
            else Add(0x0f, pointer, index, 0, 0);
            _regs[pointer] = Holds.Nothing;
            if (random.Next(3) == 0)
            {
                int shift = random.Next(0, 8);
                Add(random.Next(2) == 0 ? 0x07 : 0x17, pointer, 0, 0, shift);
                off += Code[^1].Code == 0x07 ? -shift : shift;
            }
        }

        switch (random.Next(4))
        {
            case 0: Add(0x62 | (size << 3), pointer, 0, off, Immediate()); break;
            case 1: Add(0x63 | (size << 3), pointer, PickNumberOtherThan(pointer), off, 0); break;
            case 2 when bytes >= 4 && off % bytes == 0: Atomic(pointer, off, bytes); break;
            default:
                int to = PickFree();
                Add(0x61 | (size << 3), to, pointer, off, 0);
                _regs[to] = Holds.Number;
                break;
        }
    }

    private void PacketAccess()
    {
        if (_regs[7] != Holds.Packet || _regs[8] != Holds.PacketEnd) return;
        int pointer = random.Next(1, 6), len = random.Next(1, 30), from = 7;
        _regs[pointer] = Holds.Nothing;
        if (random.Next(2) == 0)
        {
            int index = PickNumber();
            if (index == pointer || index > 9) return;
            Bound(index, random.Next(2) == 0 ? 15 : random.Next(1, 60000));
            Add(0xbf, pointer, 7, 0, 0);
            Add(0x0f, pointer, index, 0, 0);
            from = pointer == 5 ? 4 : pointer + 1;
            Add(0xbf, from, pointer, 0, 0);
            _regs[from] = Holds.Nothing;
        }
        else Add(0xbf, pointer, 7, 0, 0);

        Add(0x07, pointer, 0, 0, len);
        bool swapped = random.Next(3) == 0;
        (int code, int shrink) = random.Next(3) switch
        {
            0 => (swapped ? 0xad : 0x2d, 0),
            1 => (swapped ? 0xbd : 0x3d, 0),
            _ => (swapped ? 0xad : 0x2d, 0),
        };
        if (code is 0x3d or 0xbd && random.Next(4) == 0) shrink = -1;
        JumpToEnd(code, swapped ? 8 : pointer, swapped ? pointer : 8, 0);
        int size = random.Next(4), bytes = size switch { 0 => 4, 1 => 2, 2 => 1, _ => 8 };
        int off = len - bytes - shrink - random.Next(0, 3) + (random.Next(12) == 0 ? 1 : 0);
        if (random.Next(4) > 0) off = Math.Max(off, 0);
        int at = random.Next(3) == 0 && from != 7 ? pointer : from;
        if (at == pointer) off -= len;
        if (random.Next(3) == 0) Add(0x63 | (size << 3), at, PickNumberOtherThan(at), off, 0);
        else
        {
            int to = PickFree();
            Add(0x61 | (size << 3), to, at, off, 0);
            _regs[to] = Holds.Number;
        }

        if (_regs[from] == Holds.Nothing && from != 7) _regs[from] = Holds.Nothing;
    }

    private void Helper()
    {
        switch (random.Next(5))
        {
            case 0: Add(0x85, 0, 0, 0, PrandomU32); break;
            case 1: Add(0x85, 0, 0, 0, SmpProcessorId); break;
            case 2: Add(0x85, 0, 0, 0, KtimeGetNs); break;
            default:
                bool update = random.Next(2) == 0;
                int key = -8 * random.Next(1, 9);
                Add(0x57, PickNumber(), 0, 0, 7);
                Add(0x63, 10, PickNumber(), key, 0);
                Add(0xbf, 2, 10, 0, 0);
                Add(0x07, 2, 0, 0, key);
                Add(0xbf, 3, 10, 0, 0);
                Add(0x07, 3, 0, 0, -64);
                Add(0xb7, 4, 0, 0, 0);
                LoadMap(1, 0);
                Add(0x85, 0, 0, 0, update ? UpdateElem : DeleteElem);
                break;
        }

        ForgetCallerSaved();
        _regs[0] = Holds.Number;
    }

    private void Call()
    {
        if (helpers == 0) return;
        int which = random.Next(helpers), argument = PickNumber();
        Used.Add(which);
        if (argument != 1) Add(0xbf, 1, argument, 0, 0);
        Add(0xbf, 2, 10, 0, 0);
        Add(0x07, 2, 0, 0, -8 * random.Next(4, 9));
        Add(0x85, 0, 1, 0, which);
        ForgetCallerSaved();
        _regs[0] = Holds.Number;
    }

    private void CallbackLoop()
    {
        if (callbacks == 0) return;
        int which = helpers + random.Next(callbacks);
        bool each = random.Next(4) == 0;
        Used.Add(which);
        if (each)
        {
            // Its second argument is the key, of four bytes: a callback written for 32 is mostly rejected.
            LoadMap(1, random.Next(2));
        }
        else if (random.Next(2) == 0)
        {
            Add(0xb7, 1, 0, 0, random.Next(0, 12));
        }
        else
        {
            int rounds = PickNumber();
            Add(0x57, rounds, 0, 0, 7);
            if (rounds != 1) Add(0xbf, 1, rounds, 0, 0);
        }

        Add(0x18, 2, (int)PseudoSource.Func, 0, which);
        Code.Add(default);
        Add(0xbf, 3, 10, 0, 0);
        Add(0x07, 3, 0, 0, -8 * random.Next(4, 9));
        Add(0xb7, 4, 0, 0, 0);
        Add(0x85, 0, 0, 0, each ? ForEachMapElem : Loop);
        ForgetCallerSaved();
        _regs[0] = Holds.Number;
    }

    /// <summary>bpf_csum_diff reads as many bytes as a register says.</summary>
    private void SizedHelper()
    {
        int size = PickNumber(), room = 8 * random.Next(1, 9), buffer = PickBuffer();
        bool fromBuffer = buffer >= 0 && random.Next(2) == 0;
        if (fromBuffer) room = _size[buffer];
        if (size == buffer) return;
        Bound(size, room + (random.Next(12) == 0 ? 4 : 0));
        if (fromBuffer && _regs[buffer] != Holds.Buffer) return;
        if (random.Next(4) > 0) Add(0x57, size, 0, 0, -4);
        if (size != 2) Add(0xbf, 2, size, 0, 0);
        if (fromBuffer && buffer != 2) Add(0xbf, 1, buffer, 0, 0);
        else
        {
            Add(0xbf, 1, 10, 0, 0);
            Add(0x07, 1, 0, 0, -room);
        }

        Add(0xb7, 3, 0, 0, 0);
        Add(0xb7, 4, 0, 0, 0);
        Add(0xb7, 5, 0, 0, 0);
        Add(0x85, 0, 0, 0, CsumDiff);
        ForgetCallerSaved();
        _regs[0] = Holds.Number;
    }

    /// <summary>A constant that depends on a branch, then code in which paths meet, then its use as an offset: precision must hold it.</summary>
    private void ChosenConstant()
    {
        int buffer = PickBuffer();
        if (buffer < 6) return;
        int chosen = 9 == buffer ? 6 : 9;
        Insn condition = Condition();
        int small = random.Next(0, 8), large = random.Next(0, _size[buffer] + (random.Next(6) == 0 ? 8 : 0));
        Add(0xb7, chosen, 0, 0, small);
        if (condition.Dst == chosen || ((condition.Code & 8) != 0 && condition.Src == chosen)) return;
        Code.Add(condition with { Off = 1 });
        Add(0xb7, chosen, 0, 0, large);
        _regs[chosen] = Holds.Nothing;
        if (random.Next(2) == 0)
        {
            int slot = -8 * random.Next(1, 9);
            Add(0x7b, 10, chosen, slot, 0);
            Branch();
            Add(0x79, chosen, 10, slot, 0);
        }
        else
        {
            Branch();
            Branch();
        }

        _regs[chosen] = Holds.Number;
        if (_regs[buffer] != Holds.Buffer) return;
        int pointer = random.Next(1, 6);
        Add(0xbf, pointer, buffer, 0, 0);
        Add(0x0f, pointer, chosen, 0, 0);
        Add(0x71, pointer, pointer, 0, 0);
        _regs[pointer] = Holds.Number;
    }

    private void Copy()
    {
        int from = PickNumber(), to = PickFree();
        Add(random.Next(4) == 0 ? 0xbc : 0xbf, to, from, 0, 0);
        _regs[to] = Holds.Number;
    }

    /// <summary>Any instruction on any registers, whatever they hold.</summary>
    private void Wild()
    {
        int dst = random.Next(10), src = random.Next(11);
        switch (random.Next(6))
        {
            case 0: Add(0x0f, dst, src, 0, 0); break;
            case 1: Add(0x1f, dst, src, 0, 0); break;
            case 2: Add(0x61 | (random.Next(4) << 3), dst, src, random.Next(-16, 16), 0); break;
            case 3: Add(0x63 | (random.Next(4) << 3), dst, src, random.Next(-16, 16), 0); return;
            case 4: Add(0xbf, dst, src, 0, 0); break;
            default: Add(0x07, dst, 0, 0, Immediate()); break;
        }

        if (_regs[dst] != Holds.Number) _regs[dst] = Holds.Nothing;
    }
}
