using BpfSim.Vm.Isa;

namespace BpfSim.Kernel.Tests.Soundness;

/// <summary>What the writer believes a register to hold.</summary>
internal enum Holds { Nothing, Number, Context, Packet, PacketEnd, Buffer }

/// <summary>Writes one random function; keeps track of what registers hold, so that most of it is allowed.</summary>
internal sealed partial class FunctionWriter(Random random, int helpers, int callbacks, bool wild)
{
    private readonly Holds[] _regs = new Holds[10];
    private readonly int[] _size = new int[10];
    private readonly List<int> _toEnd = [];
    private int _depth, _budget;

    /// <summary>Bytes of stack that are initialised at the start, from fp-64 up.</summary>
    private const int Initialised = 64;

    /// <summary>The instructions; local calls and callbacks have the number of the function as imm.</summary>
    public List<Insn> Code { get; } = [];

    /// <summary>Whether registers held what the writer believed; in a second round of a loop they may not.</summary>
    public bool Certain { get; private set; } = true;

    /// <summary>Functions that are called.</summary>
    public HashSet<int> Used { get; } = [];

    /// <summary>A main function: r1 is an xdp_md.</summary>
    public void WriteMain()
    {
        _budget = random.Next(6, 26);
        Add(0xbf, 6, 1, 0, 0);
        Add(0x61, 7, 1, 0, 0);
        Add(0x61, 8, 1, 4, 0);
        Add(0x61, 9, 1, random.Next(2) == 0 ? 12 : 16, 0);
        (_regs[6], _regs[7], _regs[8], _regs[9]) = (Holds.Context, Holds.Packet, Holds.PacketEnd, Holds.Number);
        Start();
        while (_budget-- > 0) Piece();
        End();
    }

    /// <summary>A function of a number and a pointer to 32 bytes of the caller's stack, or a callback of bpf_loop.</summary>
    public void WriteOther(bool isCallback)
    {
        _budget = random.Next(2, 8);
        Add(0xbf, 9, 1, 0, 0);
        Add(0xbf, 7, 2, 0, 0);
        (_regs[9], _regs[7], _size[7]) = (Holds.Number, Holds.Buffer, 32);
        Start();
        while (_budget-- > 0) Piece();
        End(isCallback);
    }

    private void Start()
    {
        if (wild && random.Next(2) == 0) return;
        for (int off = -Initialised; off < 0; off += 8) Add(0x7a, 10, 0, off, random.Next(3) == 0 ? 0 : Immediate());
    }

    private void End(bool isCallback = false)
    {
        Add(0xb7, 0, 0, 0, 0);
        for (int r = 1; r < 10; r++)
        {
            if (_regs[r] == Holds.Number) Add(0xaf, 0, r, 0, 0);
        }

        Land(_toEnd);
        if (isCallback) Add(0x57, 0, 0, 0, 1);
        Add(0x95, 0, 0, 0, 0);
        // Whoever jumps to the end has a number in r0.
    }

    private void Add(int code, int dst, int src, int off, int imm) => Code.Add(new Insn(code, dst, src, off, imm));

    private int Immediate() => random.Next(12) switch
    {
        0 => 0,
        1 => 1,
        2 => -1,
        3 => int.MaxValue,
        4 => int.MinValue,
        5 => 1 << random.Next(31),
        6 => (1 << random.Next(31)) - 1,
        7 => random.Next(),
        8 => -random.Next(),
        9 => random.Next(-16, 16),
        _ => random.Next(64),
    };

    private int PickNumber()
    {
        Span<int> found = stackalloc int[10];
        int count = 0;
        for (int r = 0; r < 10; r++)
        {
            if (_regs[r] == Holds.Number) found[count++] = r;
        }

        return count > 0 && random.Next(8) > 0 ? found[random.Next(count)] : NewNumber();
    }

    private int PickFree()
    {
        for (int tries = 0; tries < 6; tries++)
        {
            int r = random.Next(0, 10);
            if (_regs[r] is Holds.Nothing or Holds.Number) return r;
        }

        return random.Next(0, 6);
    }

    private int NewNumber()
    {
        int r = PickFree();
        switch (random.Next(8))
        {
            case 6 or 7 when _regs[6] == Holds.Context:
                // All 64 bits unknown.
                Add(0x61, r, 6, random.Next(2) == 0 ? 12 : 16, 0);
                Add(random.Next(2) == 0 ? 0x27 : 0x67, r, 0, 0, 31);
                if (random.Next(2) == 0) Add(0x27, r, 0, 0, -0x61c88647);
                break;
            case 0: Add(0xb7, r, 0, 0, Immediate()); break;
            case 1: Add(0xb4, r, 0, 0, Immediate()); break;
            case 2 when _regs[6] == Holds.Context: Add(0x61, r, 6, random.Next(2) == 0 ? 12 : 16, 0); break;
            case 3:
                Add(0x18, r, 0, 0, Immediate());
                Code.Add(new Insn(0, 0, 0, 0, Immediate()));
                break;
            default: Add(0x61 | (random.Next(4) << 3), r, 10, -8 * random.Next(1, 9), 0); break;
        }

        _regs[r] = Holds.Number;
        return r;
    }

    private int PickBuffer()
    {
        Span<int> found = stackalloc int[10];
        int count = 0;
        for (int r = 0; r < 10; r++)
        {
            if (_regs[r] == Holds.Buffer) found[count++] = r;
        }

        return count == 0 ? -1 : found[random.Next(count)];
    }

    private void Land(List<int> jumps)
    {
        foreach (int at in jumps) Code[at] = Code[at] with { Off = (short)(Code.Count - at - 1) };
    }

    // A jump to the end of the function needs a number in r0; where there is none, it gets one on the way.
    private void JumpToEnd(int code, int dst, int src, int imm)
    {
        if (_regs[0] == Holds.Number)
        {
            _toEnd.Add(Code.Count);
            Add(code, dst, src, 0, imm);
            return;
        }

        // if cond goto +1; goto +2; r0 = imm; goto end
        Add(code, dst, src, 1, imm);
        Add(0x05, 0, 0, 2, 0);
        Add(0xb7, 0, 0, 0, random.Next(4));
        _toEnd.Add(Code.Count);
        Add(0x05, 0, 0, 0, 0);
    }

    private void ForgetCallerSaved()
    {
        for (int r = 0; r < 6; r++) _regs[r] = Holds.Nothing;
    }

    /// <summary>A condition between numbers, as code, registers and immediate.</summary>
    private Insn Condition()
    {
        int[] ops = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
        int code = ops[random.Next(ops.Length)] | (random.Next(2) == 0 ? 5 : 6), dst = PickNumber();
        if (random.Next(3) == 0) return new Insn(code | 8, dst, PickNumber(), 0, 0);
        return new Insn(code, dst, 0, 0, random.Next(2) == 0 ? random.Next(-4, 40) : Immediate());
    }
}
