using BpfSim.Vm.Isa;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Random programs that stress numbers, branches and the stack: type socket_filter.</summary>
internal static class RandomScalarPrograms
{
    public static Insn[] Make(int seed)
    {
        var r = new Random(seed);
        var p = new List<Insn>();
        // r6 = ctx; r7..r9 unknown, r0..r5 partly
        p.Add(new Insn(0xbf, 6, 1, 0, 0));
        int[] loads = [0, 4, 16, 20, 32, 36];
        for (int i = 7; i <= 9; i++) p.Add(new Insn(0x61, i, 6, loads[r.Next(loads.Length)], 0));
        p.Add(new Insn(0xb7, 0, 0, 0, r.Next(-5, 100)));
        for (int i = 1; i <= 5; i++) if (r.Next(3) > 0) p.Add(r.Next(2) == 0 ? new Insn(0xb7, i, 0, 0, Imm(r)) : new Insn(0xbf, i, r.Next(7, 10), 0, 0));
        int body = r.Next(4, 40);
        int start = p.Count;
        for (int i = 0; i < body; i++) Body(r, p, body, start);
        p.Add(new Insn(0xb7, 0, 0, 0, 0));
        p.Add(new Insn(0x95, 0, 0, 0, 0));
        // fix jumps
        for (int i = 0; i < p.Count; i++)
        {
            var insn = p[i];
            if (insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not JmpOp.Exit and not JmpOp.Call)
            {
                int max = p.Count - 2 - i - 1;
                int off = r.Next(100) < 6 ? -r.Next(1, Math.Max(2, i - start)) : r.Next(0, Math.Min(max, 9) + 1);
                if (insn.JmpOp == JmpOp.Ja && off < 0) off = 0;
                int t = i + 1 + off;
                if (t > 0 && t < p.Count && p[t].Code == 0) off--;
                p[i] = insn with { Off = (short)off };
            }
        }
        return [.. p];
    }

    private static int Imm(Random r) => r.Next(12) switch { 0 => 0, 1 => 1, 2 => -1, 3 => int.MaxValue, 4 => int.MinValue, 5 => r.Next(-8, 8), 6 => 255, 7 => 0xffff, 8 => 1 << r.Next(31), 9 => r.Next(), 10 => -r.Next(), _ => r.Next(64) };

    private static int Reg(Random r) => r.Next(20) switch { < 9 => r.Next(7, 10), < 18 => r.Next(0, 6), 18 => 10, _ => 6 };

    private static int DReg(Random r) => r.Next(20) switch { < 10 => r.Next(7, 10), < 19 => r.Next(0, 6), _ => 6 };

    private static void Body(Random r, List<Insn> p, int body, int start)
    {
        int[] ops = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xc0];
        int k = r.Next(100);
        int d = DReg(r), s = Reg(r);
        if (k < 30)
        {
            int op = ops[r.Next(ops.Length)], cls = r.Next(2) == 0 ? 7 : 4;
            if (r.Next(2) == 0)
            {
                int imm = Imm(r);
                if (op is 0x60 or 0x70 or 0xc0) imm = r.Next(cls == 7 ? 64 : 32);
                if (op is 0x30 or 0x90 && imm == 0) imm = 3;
                p.Add(new Insn(op | cls, d, 0, op is 0x30 or 0x90 && r.Next(3) == 0 ? 1 : 0, imm));
            }
            else p.Add(new Insn(op | cls | 8, d, s, op is 0x30 or 0x90 && r.Next(3) == 0 ? 1 : 0, 0));
        }
        else if (k < 40)
        {
            int which = r.Next(6);
            if (which < 2) p.Add(new Insn(0xbf, d, s, new[] { 0, 0, 0, 8, 16, 32 }[r.Next(6)], 0));
            else if (which < 4) p.Add(new Insn(0xbc, d, s, new[] { 0, 0, 8, 16 }[r.Next(4)], 0));
            else if (which == 4) p.Add(new Insn(r.Next(2) == 0 ? 0x87 : 0x84, d, 0, 0, 0));
            else p.Add(new Insn(r.Next(3) switch { 0 => 0xd4, 1 => 0xdc, _ => 0xd7 }, d, 0, 0, 16 << r.Next(3)));
        }
        else if (k < 60)
        {
            int[] js = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
            int op = js[r.Next(js.Length)], cls = r.Next(3) == 0 ? 6 : 5;
            p.Add(r.Next(2) == 0 ? new Insn(op | cls, d, 0, 0, Imm(r)) : new Insn(op | cls | 8, d, s, 0, 0));
        }
        else if (k < 78)
        {
            int size = r.Next(6) switch { 0 => 0x10, 1 => 0x08, 2 => 0x00, _ => 0x18 };
            int bytes = size switch { 0x10 => 1, 0x08 => 2, 0 => 4, _ => 8 };
            int off = -8 * r.Next(1, 6) + (r.Next(3) == 0 ? bytes * r.Next(0, 8 / bytes) : 0);
            int w = r.Next(10);
            if (w < 4) p.Add(new Insn(0x63 & ~0x18 | size, 10, r.Next(12) == 0 ? 10 : s, off, 0));
            else if (w < 5) p.Add(new Insn(0x62 & ~0x18 | size, 10, 0, off, Imm(r)));
            else if (w < 9) p.Add(new Insn((r.Next(5) == 0 && size != 0x18 ? 0x81 : 0x61) & ~0x18 | size, d, 10, off, 0));
            else p.Add(new Insn(0xdb & ~0x18 | (r.Next(2) == 0 ? 0x18 : 0), 10, s, -8 * r.Next(1, 6), new[] { 0, 1, 0x50, 0xa1, 0xe1, 0xf1, 0x40 }[r.Next(7)]));
        }
        else if (k < 86)
        {
            // variable stack access
            p.Add(new Insn(0x57, d, 0, 0, new[] { 7, 8, 3, 15, 4, 24 }[r.Next(6)]));
            int b = r.Next(1, 6); if (b == d) b = (b % 5) + 1;
            p.Add(new Insn(0xbf, b, 10, 0, 0));
            p.Add(new Insn(0x07, b, 0, 0, -8 * r.Next(2, 6)));
            p.Add(new Insn(0x0f, b, d, 0, 0));
            int size = r.Next(4) switch { 0 => 0x08, 1 => 0x18, _ => 0x10 };
            if (r.Next(2) == 0) p.Add(new Insn(0x63 & ~0x18 | size, b, s, 0, 0)); else p.Add(new Insn(0x61 & ~0x18 | size, DReg(r), b, 0, 0));
        }
        else if (k < 90)
        {
            p.Add(new Insn(0x18, d, 0, 0, Imm(r)));
            p.Add(new Insn(0, 0, 0, 0, Imm(r)));
        }
        else if (k < 93) p.Add(new Insn(0x05, 0, 0, 0, 0));
        else if (k < 96) p.Add(new Insn(0x61, d, 6, r.Next(0, 48) * 4, 0));
        else if (k < 97) p.Add(new Insn(0x61, d, r.Next(6, 11), r.Next(-600, 300), 0));
        else p.Add(new Insn(r.Next(2) == 0 ? 0x79 : 0x71, d, 6, 4 * r.Next(0, 40), 0));
    }
}
