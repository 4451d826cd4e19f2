using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Random straight-line arithmetic over all registers: the JIT, with and without optimisations, against the host's kernel.</summary>
public sealed class RandomAluTests
{
    private static readonly ulong[] Interesting =
        [0, 1, 2, 7, 10, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ulong.MaxValue];

    [HostKernelFact]
    public void All_engines_agree_with_the_host()
    {
        for (int seed = 1; seed <= 300; seed++)
        {
            List<Insn> insns = RandomProgram(new Random(seed), 40);
            ulong expected = JitRunner.RunOnHost(insns);
            Assert.True(expected == JitRunner.Run(insns, JitOptions.None), $"plain, seed {seed}");
            Assert.True(expected == JitRunner.Run(insns), $"optimised, seed {seed}");
        }
    }

    [Fact]
    public void Optimisations_do_not_change_results()
    {
        for (int seed = 1000; seed < 4000; seed++)
        {
            List<Insn> insns = RandomProgram(new Random(seed), 60);
            ulong plain = JitRunner.Run(insns, JitOptions.None);
            Assert.True(plain == JitRunner.Run(insns), $"seed {seed}");
            Assert.True(plain == JitRunner.Run(insns, JitOptions.Default with { Bmi2 = false }), $"without BMI2, seed {seed}");
        }
    }

    internal static List<Insn> RandomProgram(Random random, int length)
    {
        List<Insn> insns = [];
        for (int r = 0; r < 10; r++) insns.AddRange(JitRunner.Load64(r, Value(random)));
        for (int slot = 8; slot <= 64; slot += 8) insns.Add(new Insn(0x7b, 10, random.Next(10), -slot, 0));
        List<Insn> body = [];
        for (int i = 0; i < length; i++) body.Add(RandomInsn(random));
        for (int branches = random.Next(7); branches > 0; branches--)
        {
            int at = random.Next(body.Count - 4);
            body[at] = RandomBranch(random, 1 + random.Next(3));
        }
        insns.AddRange(body);
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
        bool wide = random.Next(2) == 0, register = random.Next(2) == 0;
        int cls = wide ? 7 : 4, dst = random.Next(10), src = random.Next(10), source = register ? 8 : 0;
        int imm = (int)Value(random);
        switch (random.Next(20))
        {
            case 16 or 17: return new Insn(0x63 | (random.Next(4) << 3), 10, src, Slot(random), 0);
            case 18: return new Insn(0x61 | (random.Next(4) << 3), dst, 10, Slot(random), 0);
            case 19: return new Insn(0x62 | (random.Next(4) << 3), 10, 0, Slot(random), imm);
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
