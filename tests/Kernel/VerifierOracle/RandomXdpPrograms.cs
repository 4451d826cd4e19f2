using BpfSim.Vm.Isa;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Random programs with packets, map lookups, loops and local calls: type xdp, map 0 a hash, map 1 an array.</summary>
internal static class RandomXdpPrograms
{
    private const int MapMark = 1;
    public static Insn[] Make(int seed)
    {
        var r = new Random(seed);
        var main = new List<Insn>();
        var subs = new List<List<Insn>>();
        int nsubs = r.Next(0, 3);
        for (int i = 0; i < nsubs; i++) subs.Add(Sub(r, i));
        main.Add(new(0xbf, 6, 1, 0, 0));
        main.Add(new(0x61, 7, 1, 0, 0)); // data
        main.Add(new(0x61, 8, 1, 4, 0)); // data_end
        main.Add(new(0x61, 9, 1, 16, 0)); // rx_queue / ifindex scalar
        int n = r.Next(2, 9);
        for (int i = 0; i < n; i++) Piece(r, main, nsubs, false);
        main.Add(new(0xb7, 0, 0, 0, r.Next(0, 5)));
        main.Add(new(0x95, 0, 0, 0, 0));
        Fix(r, main);
        var all = new List<Insn>(main);
        var starts = new List<int>();
        foreach (var s in subs) { starts.Add(all.Count); all.AddRange(s); }
        for (int i = 0; i < all.Count; i++)
            if (all[i].IsLocalCall) all[i] = all[i] with { Imm = starts[all[i].Imm] - i - 1 };
        return [.. all];
    }

    private static List<Insn> Sub(Random r, int id)
    {
        var p = new List<Insn>();
        // args r1 scalar, r2 pointer to stack/map or scalar
        if (r.Next(2) == 0) p.Add(new(0x7b, 10, 1, -8 * r.Next(1, 4), 0));
        p.Add(new(0xbf, 9, 1, 0, 0));
        int n = r.Next(1, 4);
        for (int i = 0; i < n; i++) Piece(r, p, id == 1 && r.Next(3) == 0 ? 1 : 0, true);
        if (r.Next(8) > 0) p.Add(r.Next(2) == 0 ? new(0xb7, 0, 0, 0, r.Next(10)) : new(0xbf, 0, 9, 0, 0));
        p.Add(new(0x95, 0, 0, 0, 0));
        Fix(r, p);
        return p;
    }

    private static void Fix(Random r, List<Insn> p)
    {
        for (int i = 0; i < p.Count; i++)
        {
            var insn = p[i];
            if (insn.Class is InsnClass.Jmp or InsnClass.Jmp32 && insn.JmpOp is not JmpOp.Exit and not JmpOp.Call && insn.Off == 0x7fff)
            {
                int max = p.Count - 1 - i - 1;
                int off = r.Next(3) == 0 ? max - 1 : r.Next(0, Math.Min(max, 6) + 1);
                int t = i + 1 + off;
                if (t < p.Count && p[t].Code == 0) off--;
                p[i] = insn with { Off = (short)Math.Max(0, off) };
            }
        }
    }

    private static void Piece(Random r, List<Insn> p, int nsubs, bool sub)
    {
        int pick = r.Next(12);
        int tmp = r.Next(1, 6);
        switch (pick)
        {
            case 0 or 1 when !sub: // packet check
                {
                    int len = r.Next(0, 40);
                    p.Add(new(0xbf, tmp, 7, 0, 0));
                    if (r.Next(4) == 0) { p.Add(new(0x57, 9, 0, 0, 31)); p.Add(new(0x0f, tmp, 9, 0, 0)); if (r.Next(2) == 0) p.Add(new(0xbf, 7, tmp, 0, 0)); }
                    p.Add(new(0x07, tmp, 0, 0, len));
                    int op = new[] { 0x2d, 0x3d, 0xad, 0xbd, 0x2d }[r.Next(5)];
                    p.Add(r.Next(3) > 0 ? new(op, tmp, 8, 0x7fff, 0) : new(op, 8, tmp, 0x7fff, 0));
                    int size = r.Next(4);
                    for (int i = r.Next(1, 3); i > 0; i--) p.Add(new(0x61 & ~0x18 | new[] { 0x10, 8, 0, 0x18 }[size], r.Next(0, 6), r.Next(3) == 0 ? tmp : 7, Math.Max(-4, len - r.Next(0, 12)), 0));
                    if (r.Next(4) == 0) p.Add(new(0x63, 7, 9, r.Next(0, Math.Max(1, len)), 0));
                    break;
                }
            case 2 or 3 or 4: // lookup
                {
                    int slot = -8 * r.Next(1, 4);
                    p.Add(r.Next(2) == 0 ? new(0x62, 10, 0, slot, r.Next(3)) : new(0x63, 10, 9, slot, 0));
                    p.Add(new(0xbf, 2, 10, 0, 0));
                    p.Add(new(0x07, 2, 0, 0, slot));
                    p.Add(new(0x18, 1, MapMark, 0, r.Next(2)));
                    p.Add(new(0, 0, 0, 0, 0));
                    p.Add(new(0x85, 0, 0, 0, 1));
                    if (r.Next(8) > 0) p.Add(new(r.Next(5) == 0 ? 0x55 : 0x15, 0, 0, 0x7fff, 0));
                    if (r.Next(3) == 0) { p.Add(new(0x57, 9, 0, 0, r.Next(1, 24))); p.Add(new(0x0f, 0, 9, 0, 0)); }
                    int off = r.Next(-1, 20);
                    p.Add(r.Next(3) switch { 0 => new(0x79, tmp, 0, off & ~7, 0), 1 => new(0x63, 0, 9, off, 0), _ => new(0xdb, 0, 9, off & ~7, 0) });
                    if (r.Next(3) == 0) p.Add(new(0x7b, 10, 0, -32, 0));
                    break;
                }
            case 5 when nsubs > 0 || !sub:
                if (nsubs == 0) break;
                p.Add(r.Next(2) == 0 ? new(0xb7, 1, 0, 0, r.Next(20)) : new(0xbf, 1, 9, 0, 0));
                p.Add(new(0xb7, 2, 0, 0, r.Next(20)));
                p.Add(new(0x85, 0, 1, 0, r.Next(nsubs)));
                p.Add(new(0xbf, 9, 0, 0, 0));
                break;
            case 6: p.Add(new(0x25, 9, 0, 0x7fff, r.Next(100))); break;
            case 7: p.Add(new(0xb7, tmp, 0, 0, 0)); p.Add(new(0x07, tmp, 0, 0, 1)); p.Add(new(0x0f, 9, tmp, 0, 0)); p.Add(new(0xa5, tmp, 0, -3, r.Next(1, 30))); break; // loop
            case 8: p.Add(new(0x7b, 10, 9, -8 * r.Next(1, 5), 0)); p.Add(new(0x79, tmp, 10, -8 * r.Next(1, 5), 0)); break;
            case 9: p.Add(new(r.Next(2) == 0 ? 0x57 : 0x77, 9, 0, 0, r.Next(1, 63))); break;
            case 10: p.Add(new(0x85, 0, 0, 0, new[] { 5, 7, 8, 125 }[r.Next(4)])); p.Add(new(0xbf, 9, 0, 0, 0)); break;
            default: p.Add(new(0x07, 9, 0, 0, r.Next(-4, 9))); p.Add(new(0xb5, 9, 0, 0x7fff, r.Next(60))); break;
        }
    }
}
