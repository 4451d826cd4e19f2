using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Random programs that always end and touch only their own stack.</summary>
internal static class RandomPrograms
{
    private static readonly ulong[] Interesting =
        [0, 1, 2, 7, 10, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ulong.MaxValue];

    /// <summary>Arithmetic, stack accesses and a few short forward branches; r0 is a hash of all registers.</summary>
    public static List<Insn> StraightWithBranches(Random random, int length)
    {
        List<Insn> insns = Start(random);
        insns.AddRange(Body(random, length));
        return Finish(insns);
    }

    /// <summary>The same in a loop of a few rounds, whose counter stands on the stack.</summary>
    public static List<Insn> WithLoop(Random random, int length)
    {
        List<Insn> insns = Start(random);
        insns.Add(new Insn(0x7a, 10, 0, -72, random.Next(1, 9)));
        List<Insn> body = Body(random, length);
        // Branches at the end must not leave the loop.
        for (int i = 0; i < 4; i++) body.Add(RandomAlu(random));
        insns.AddRange(body);
        insns.Add(new Insn(0x79, 8, 10, -72, 0));
        insns.Add(new Insn(0x07, 8, 0, 0, -1));
        insns.Add(new Insn(0x7b, 10, 8, -72, 0));
        insns.Add(new Insn(0x55, 8, 0, -(body.Count + 4), 0));
        return Finish(insns);
    }

    private static List<Insn> Start(Random random)
    {
        List<Insn> insns = [];
        for (int r = 0; r < 10; r++) insns.AddRange(JitRunner.Load64(r, Value(random)));
        for (int slot = 8; slot <= 64; slot += 8) insns.Add(new Insn(0x7b, 10, random.Next(10), -slot, 0));
        return insns;
    }

    private static List<Insn> Body(Random random, int length)
    {
        List<Insn> body = [];
        for (int i = 0; i < length; i++) body.Add(RandomInsn(random));
        for (int branches = random.Next(7); branches > 0; branches--)
        {
            int at = random.Next(body.Count - 4);
            body[at] = RandomBranch(random, 1 + random.Next(3));
        }
        return body;
    }

    private static List<Insn> Finish(List<Insn> insns)
    {
        for (int r = 1; r < 10; r++)
        {
            insns.Add(new Insn(0x27, 0, 0, 0, 31));
            insns.Add(new Insn(0xaf, 0, r, 0, 0));
        }
        insns.Add(new Insn(0x95, 0, 0, 0, 0));
        return insns;
    }

    private static ulong Value(Random random) =>
        random.Next(3) switch { 0 => Interesting[random.Next(Interesting.Length)], 1 => (ulong)random.NextInt64(), _ => (ulong)random.Next(-1000, 1000) };

    private static int Slot(Random random) => -8 * (1 + random.Next(8));

    private static Insn RandomBranch(Random random, int over)
    {
        int[] operations = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
        bool register = random.Next(2) == 0;
        int code = operations[random.Next(operations.Length)] | (random.Next(2) == 0 ? 5 : 6) | (register ? 8 : 0);
        return new Insn(code, random.Next(10), register ? random.Next(10) : 0, over, register ? 0 : (int)Value(random));
    }

    private static Insn RandomInsn(Random random)
    {
        int imm = (int)Value(random), dst = random.Next(10), src = random.Next(10);
        switch (random.Next(20))
        {
            case 16 or 17: return new Insn(0x63 | (random.Next(4) << 3), 10, src, Slot(random), 0);
            case 18: return new Insn(0x61 | (random.Next(4) << 3), dst, 10, Slot(random), 0);
            case 19: return new Insn(0x62 | (random.Next(4) << 3), 10, 0, Slot(random), imm);
            default: return RandomAlu(random);
        }
    }

    private static Insn RandomAlu(Random random)
    {
        bool wide = random.Next(2) == 0, register = random.Next(2) == 0;
        int cls = wide ? 7 : 4, dst = random.Next(10), src = random.Next(10), source = register ? 8 : 0;
        int imm = (int)Value(random);
        switch (random.Next(16))
        {
            case 0: return new Insn(cls | 0x80, dst, 0, 0, 0);
            case 1: return new Insn(4 | 0xd0 | source, dst, 0, 0, 16 << random.Next(3));
            case 2: return new Insn(7 | 0xd0, dst, 0, 0, 16 << random.Next(3));
            case 3: return new Insn(cls | 0xb8, dst, src, 8 << random.Next(wide ? 3 : 2), 0);
            case 4 or 5 or 6 or 7:
                int division = (random.Next(2) == 0 ? 0x30 : 0x90) | cls | source;
                int signed = random.Next(2);
                if (!register && imm == 0) imm = 3;
                return new Insn(division, dst, register ? src : 0, signed, register ? 0 : imm);
            default:
                int[] operations = [0x00, 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0];
                int op = operations[random.Next(operations.Length)];
                if (op is 0x60 or 0x70 or 0xc0 && !register) imm &= wide ? 63 : 31;
                return new Insn(op | cls | source, dst, register ? src : 0, 0, register ? 0 : imm);
        }
    }
}
