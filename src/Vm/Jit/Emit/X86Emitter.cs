using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Jit.Emit;

/// <summary>
/// Encodes the x86-64 instructions that the compiler uses into a buffer. Iced's encoder costs about 100 ns an
/// instruction, this a few; Iced checks it in the tests (every form is decoded again) and formats the dumps.
/// Jumps and labels are recorded, and placed by <see cref="CodeLayout"/> when all code is known.
/// </summary>
internal sealed unsafe class X86Emitter
{
    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(1 << 14, pinned: true);
    private byte* _p;
    private byte* _end;

    public X86Emitter() => Reset();

    /// <summary>What must be placed later, in order of position.</summary>
    public CodeLayout Layout { get; } = new();

    /// <summary>Bytes emitted so far, before layout.</summary>
    public int Position => (int)(_p - Start);

    /// <summary>How many instructions have been emitted.</summary>
    public int Count { get; private set; }

    private byte* Start => (byte*)Unsafe.AsPointer(ref _buffer[0]);

    /// <summary>Starts over with an empty buffer.</summary>
    public void Reset()
    {
        _p = Start;
        _end = _p + _buffer.Length;
        Count = 0;
        Layout.Reset();
    }

    /// <summary>The bytes before layout.</summary>
    public ReadOnlySpan<byte> Bytes => new(Start, Position);

    /// <summary>Makes room for one more BPF instruction's code.</summary>
    public void Reserve(int bytes)
    {
        if (_end - _p >= bytes) return;
        int position = Position;
        byte[] larger = GC.AllocateUninitializedArray<byte>(_buffer.Length * 2 + bytes, pinned: true);
        _buffer.AsSpan(0, position).CopyTo(larger);
        _buffer = larger;
        _p = Start + position;
        _end = Start + larger.Length;
    }

    public int NewLabel() => Layout.NewLabel();

    public void Bind(int label) => Layout.Bind(label, Position);

    public void Jmp(int label)
    {
        Count++;
        Layout.AddJump(Position, label, CodeLayout.JumpKind.Jmp, 0);
    }

    public void Jcc(X86Condition condition, int label)
    {
        Count++;
        Layout.AddJump(Position, label, CodeLayout.JumpKind.Jcc, (byte)condition);
    }

    public void CallLabel(int label)
    {
        Count++;
        Layout.AddJump(Position, label, CodeLayout.JumpKind.Call, 0);
    }

    /// <summary>The next instruction starts at a multiple of this power of two, or of 8 if that takes too many bytes.</summary>
    public void Align(int alignment, int most = 15) => Layout.AddAlignment(Position, alignment, most);

    // ---- moves ----

    public void MovRR(X86Register dst, X86Register src, bool wide)
    {
        if (wide && dst == src) return;
        OpRR(0x8b, dst, src, wide);
    }

    /// <summary>Loads a constant; with <paramref name="keepFlags"/> never by xor.</summary>
    public void MovRI(X86Register dst, long value, bool keepFlags = false)
    {
        if (value == 0 && !keepFlags)
        {
            OpRR(0x33, dst, dst, false);
            return;
        }
        Count++;
        int r = (int)dst;
        if ((ulong)value <= uint.MaxValue)
        {
            if (r >= 8) *_p++ = 0x41;
            *_p++ = (byte)(0xb8 | (r & 7));
            Imm32((int)value);
        }
        else if (value == (int)value)
        {
            *_p++ = (byte)(0x48 | (r >> 3));
            *_p++ = 0xc7;
            *_p++ = (byte)(0xc0 | (r & 7));
            Imm32((int)value);
        }
        else
        {
            *_p++ = (byte)(0x48 | (r >> 3));
            *_p++ = (byte)(0xb8 | (r & 7));
            *(long*)_p = value;
            _p += 8;
        }
    }

    /// <summary>Zero-extending load of 1, 2, 4 or 8 bytes.</summary>
    public void Load(X86Register dst, in X86Memory memory, int size)
    {
        switch (size)
        {
            case 1: OpRM(0x0fb6, dst, memory, false); break;
            case 2: OpRM(0x0fb7, dst, memory, false); break;
            default: OpRM(0x8b, dst, memory, size == 8); break;
        }
    }

    /// <summary>Sign-extending load of 1, 2 or 4 bytes to 64 bits.</summary>
    public void LoadSx(X86Register dst, in X86Memory memory, int size) =>
        OpRM(size switch { 1 => 0x0fbe, 2 => 0x0fbf, _ => 0x63 }, dst, memory, true);

    /// <summary>Stores the low 1, 2, 4 or 8 bytes.</summary>
    public void Store(in X86Memory memory, X86Register src, int size)
    {
        if (size == 2)
        {
            *_p++ = 0x66;
            OpRM(0x89, src, memory, false);
        }
        else
        {
            OpRM(size == 1 ? 0x88 : 0x89, src, memory, size == 8, size == 1);
        }
    }

    /// <summary>Stores a constant of 1, 2, 4 or 8 bytes; 8 bytes are sign-extended from 32 bits.</summary>
    public void StoreImm(in X86Memory memory, int value, int size)
    {
        if (size == 2) *_p++ = 0x66;
        OpRM(size == 1 ? 0xc6 : 0xc7, 0, memory, size == 8);
        if (size == 1) *_p++ = (byte)value;
        else if (size == 2) Imm16((short)value);
        else Imm32(value);
    }

    /// <summary>movzx from the low 1 or 2 bytes, to 64 bits.</summary>
    public void MovZx(X86Register dst, X86Register src, int size) => OpRR(size == 1 ? 0x0fb6 : 0x0fb7, dst, src, false, size == 1);

    /// <summary>movsx or movsxd from the low 1, 2 or 4 bytes.</summary>
    public void MovSx(X86Register dst, X86Register src, int size, bool wide) =>
        OpRR(size switch { 1 => 0x0fbe, 2 => 0x0fbf, _ => 0x63 }, dst, src, wide, size == 1);

    public void Lea(X86Register dst, in X86Memory memory, bool wide) => OpRM(0x8d, dst, memory, wide);

    public void Push(X86Register r)
    {
        Count++;
        if ((int)r >= 8) *_p++ = 0x41;
        *_p++ = (byte)(0x50 | ((int)r & 7));
    }

    public void Pop(X86Register r)
    {
        Count++;
        if ((int)r >= 8) *_p++ = 0x41;
        *_p++ = (byte)(0x58 | ((int)r & 7));
    }

    public void Xchg(X86Register a, X86Register b) => OpRR(0x87, a, b, true);

    public void Cmov(X86Condition condition, X86Register dst, X86Register src, bool wide) =>
        OpRR(0x0f40 | (int)condition, dst, src, wide);

    public void Setcc(X86Condition condition, X86Register dst) => OpRR(0x0f90 | (int)condition, 0, dst, false, true);

    // ---- arithmetic ----

    public void AluRR(X86Alu op, X86Register dst, X86Register src, bool wide) => OpRR((int)op * 8 + 3, dst, src, wide);

    public void AluRM(X86Alu op, X86Register dst, in X86Memory memory, bool wide) => OpRM((int)op * 8 + 3, dst, memory, wide);

    public void AluRI(X86Alu op, X86Register dst, int imm, bool wide)
    {
        if (imm == (sbyte)imm)
        {
            OpRR(0x83, (X86Register)op, dst, wide);
            *_p++ = (byte)imm;
        }
        else if (dst == X86Register.Rax)
        {
            Count++;
            if (wide) *_p++ = 0x48;
            *_p++ = (byte)((int)op * 8 + 5);
            Imm32(imm);
        }
        else
        {
            OpRR(0x81, (X86Register)op, dst, wide);
            Imm32(imm);
        }
    }

    /// <summary>Operation on memory with a constant; size 1, 2, 4 or 8 (sign-extended from 32 bits).</summary>
    public void AluMI(X86Alu op, in X86Memory memory, int imm, int size)
    {
        if (size == 2) *_p++ = 0x66;
        if (size == 1)
        {
            OpRM(0x80, (X86Register)op, memory, false);
            *_p++ = (byte)imm;
        }
        else if (imm == (sbyte)imm)
        {
            OpRM(0x83, (X86Register)op, memory, size == 8);
            *_p++ = (byte)imm;
        }
        else
        {
            OpRM(0x81, (X86Register)op, memory, size == 8);
            if (size == 2) Imm16((short)imm);
            else Imm32(imm);
        }
    }

    /// <summary>Operation on memory of 4 or 8 bytes with a register, without lock.</summary>
    public void AluMR(X86Alu op, in X86Memory memory, X86Register src, bool wide) => OpRM((int)op * 8 + 1, src, memory, wide);

    public void TestRR(X86Register a, X86Register b, bool wide) => OpRR(0x85, b, a, wide);

    public void TestRI(X86Register a, int imm, bool wide)
    {
        // A mask of one byte of a low register, or of any: the short form tests the same bits.
        if (imm is >= 0 and <= 127)
        {
            OpRR(0xf6, 0, a, false, true);
            *_p++ = (byte)imm;
            return;
        }
        // A positive 32-bit mask clears the upper half anyway.
        OpRR(0xf7, 0, a, wide && imm < 0);
        Imm32(imm);
    }

    public void Neg(X86Register r, bool wide) => OpRR(0xf7, (X86Register)3, r, wide);

    public void Not(X86Register r, bool wide) => OpRR(0xf7, (X86Register)2, r, wide);

    /// <summary>rdx:rax = rax * r, unsigned.</summary>
    public void Mul(X86Register r, bool wide) => OpRR(0xf7, (X86Register)4, r, wide);

    /// <summary>rdx:rax = rax * r, signed.</summary>
    public void Imul1(X86Register r, bool wide) => OpRR(0xf7, (X86Register)5, r, wide);

    public void Div(X86Register r, bool wide) => OpRR(0xf7, (X86Register)6, r, wide);

    public void Idiv(X86Register r, bool wide) => OpRR(0xf7, (X86Register)7, r, wide);

    public void Imul(X86Register dst, X86Register src, bool wide) => OpRR(0x0faf, dst, src, wide);

    public void ImulRRI(X86Register dst, X86Register src, int imm, bool wide)
    {
        if (imm == (sbyte)imm)
        {
            OpRR(0x6b, dst, src, wide);
            *_p++ = (byte)imm;
        }
        else
        {
            OpRR(0x69, dst, src, wide);
            Imm32(imm);
        }
    }

    /// <summary>cdq or cqo.</summary>
    public void SignExtendRax(bool wide)
    {
        Count++;
        if (wide) *_p++ = 0x48;
        *_p++ = 0x99;
    }

    public void ShiftRI(X86Shift op, X86Register r, int count, bool wide)
    {
        if (count == 1)
        {
            OpRR(0xd1, (X86Register)op, r, wide);
            return;
        }
        OpRR(0xc1, (X86Register)op, r, wide);
        *_p++ = (byte)count;
    }

    /// <summary>Shift by cl.</summary>
    public void ShiftCl(X86Shift op, X86Register r, bool wide) => OpRR(0xd3, (X86Register)op, r, wide);

    /// <summary>rol of the low 16 bits by 8: swaps two bytes.</summary>
    public void Rol16By8(X86Register r)
    {
        *_p++ = 0x66;
        OpRR(0xc1, (X86Register)X86Shift.Rol, r, false);
        *_p++ = 8;
    }

    public void Bswap(X86Register r, bool wide)
    {
        Count++;
        int rex = (wide ? 0x48 : 0) | ((int)r >= 8 ? 0x41 : 0);
        if (rex != 0) *_p++ = (byte)rex;
        *_p++ = 0x0f;
        *_p++ = (byte)(0xc8 | ((int)r & 7));
    }

    // ---- BMI2 ----

    /// <summary>shlx, shrx, sarx: dst = src shifted by the low bits of count; flags stay.</summary>
    public void ShiftX(X86Shift op, X86Register dst, X86Register src, X86Register count, bool wide)
    {
        int prefix = op switch { X86Shift.Shl => 1, X86Shift.Sar => 2, _ => 3 };
        Vex(2, prefix, wide, dst, count, src);
        *_p++ = 0xf7;
        *_p++ = (byte)(0xc0 | (((int)dst & 7) << 3) | ((int)src & 7));
    }

    /// <summary>rorx: dst = src rotated right by a constant.</summary>
    public void Rorx(X86Register dst, X86Register src, int count, bool wide)
    {
        Vex(3, 3, wide, dst, 0, src);
        *_p++ = 0xf0;
        *_p++ = (byte)(0xc0 | (((int)dst & 7) << 3) | ((int)src & 7));
        *_p++ = (byte)count;
    }

    /// <summary>mulx: high and low half of rdx * src; flags stay.</summary>
    public void Mulx(X86Register high, X86Register low, X86Register src, bool wide)
    {
        Vex(2, 3, wide, high, low, src);
        *_p++ = 0xf6;
        *_p++ = (byte)(0xc0 | (((int)high & 7) << 3) | ((int)src & 7));
    }

    private void Vex(int map, int prefix, bool wide, X86Register reg, X86Register vvvv, X86Register rm)
    {
        Count++;
        *_p++ = 0xc4;
        *_p++ = (byte)(((int)reg >= 8 ? 0 : 0x80) | 0x40 | ((int)rm >= 8 ? 0 : 0x20) | map);
        *_p++ = (byte)((wide ? 0x80 : 0) | ((~(int)vvvv & 15) << 3) | prefix);
    }

    // ---- atomics, calls and the rest ----

    /// <summary>lock op [memory], src.</summary>
    public void LockAlu(X86Alu op, in X86Memory memory, X86Register src, bool wide)
    {
        *_p++ = 0xf0;
        OpRM((int)op * 8 + 1, src, memory, wide);
    }

    /// <summary>lock op [memory], constant.</summary>
    public void LockAluImm(X86Alu op, in X86Memory memory, int imm, bool wide)
    {
        *_p++ = 0xf0;
        AluMI(op, memory, imm, wide ? 8 : 4);
    }

    public void LockXadd(in X86Memory memory, X86Register src, bool wide)
    {
        *_p++ = 0xf0;
        OpRM(0x0fc1, src, memory, wide);
    }

    /// <summary>xchg with memory: locked by itself.</summary>
    public void XchgM(in X86Memory memory, X86Register src, bool wide) => OpRM(0x87, src, memory, wide);

    public void LockCmpxchg(in X86Memory memory, X86Register src, bool wide)
    {
        *_p++ = 0xf0;
        OpRM(0x0fb1, src, memory, wide);
    }

    public void ZeroXmm0() => OpRR(0x0f57, 0, 0, false);

    /// <summary>movups [memory], xmm0.</summary>
    public void StoreXmm0(in X86Memory memory) => OpRM(0x0f11, 0, memory, false);

    /// <summary>prefetchw: fetches the cache line for writing; faults on nothing.</summary>
    public void PrefetchW(in X86Memory memory) => OpRM(0x0f0d, (X86Register)1, memory, false);

    public void CallR(X86Register r) => OpRR(0xff, (X86Register)2, r, false);

    public void JmpR(X86Register r) => OpRR(0xff, (X86Register)4, r, false);

    public void Ret()
    {
        Count++;
        *_p++ = 0xc3;
    }

    public void Int3() => *_p++ = 0xcc;

    // ---- encoding ----

    private void OpRR(int op, X86Register reg, X86Register rm, bool wide, bool byteRm = false)
    {
        Count++;
        int rex = (wide ? 8 : 0) | (((int)reg >> 3) << 2) | ((int)rm >> 3);
        // spl, bpl, sil and dil exist only with a REX prefix.
        if (rex != 0 || (byteRm && (int)rm >= 4)) *_p++ = (byte)(0x40 | rex);
        if (op > 0xff) *_p++ = (byte)(op >> 8);
        *_p++ = (byte)op;
        *_p++ = (byte)(0xc0 | (((int)reg & 7) << 3) | ((int)rm & 7));
    }

    private void OpRM(int op, X86Register reg, in X86Memory m, bool wide, bool byteReg = false)
    {
        Count++;
        int index = m.Index == X86Register.None ? 0 : (int)m.Index, b = m.Base == X86Register.None ? 0 : (int)m.Base;
        int rex = (wide ? 8 : 0) | (((int)reg >> 3) << 2) | ((index >> 3) << 1) | (b >> 3);
        if (rex != 0 || (byteReg && (int)reg >= 4)) *_p++ = (byte)(0x40 | rex);
        if (op > 0xff) *_p++ = (byte)(op >> 8);
        *_p++ = (byte)op;
        int regBits = ((int)reg & 7) << 3;
        if (m.Base == X86Register.None)
        {
            *_p++ = (byte)(regBits | 4);
            *_p++ = (byte)(m.Index == X86Register.None ? 0x25 : (ScaleBits(m.Scale) << 6) | ((index & 7) << 3) | 5);
            Imm32(m.Disp);
            return;
        }
        int mod = m.Disp == 0 && (b & 7) != 5 ? 0 : m.Disp == (sbyte)m.Disp ? 0x40 : 0x80;
        if (m.Index != X86Register.None)
        {
            *_p++ = (byte)(mod | regBits | 4);
            *_p++ = (byte)((ScaleBits(m.Scale) << 6) | ((index & 7) << 3) | (b & 7));
        }
        else
        {
            *_p++ = (byte)(mod | regBits | (b & 7));
            if ((b & 7) == 4) *_p++ = 0x24;
        }
        if (mod == 0x40) *_p++ = (byte)m.Disp;
        else if (mod == 0x80) Imm32(m.Disp);
    }

    private static int ScaleBits(int scale) => scale switch { 1 => 0, 2 => 1, 4 => 2, _ => 3 };

    private void Imm16(short value)
    {
        *(short*)_p = value;
        _p += 2;
    }

    private void Imm32(int value)
    {
        *(int*)_p = value;
        _p += 4;
    }
}
