using BpfSim.Vm.Isa;
using BpfSim.Vm.Tests.Isa;

namespace BpfSim.Vm.Tests.Interpreter;

/// <summary>
/// Random programs from the instruction table that the kernel's verifier takes: numbers only, jumps forward,
/// memory on the stack, all of it initialised, and a local function. r0 ends up depending on everything.
/// </summary>
internal static class RandomProgram
{
    private const int StackBytes = 64;

    private static readonly ulong[] s_edges =
        [0, 1, ulong.MaxValue, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, long.MaxValue, 1UL << 63, 0xff, 0x8000, 63, 64, 31, 32];

    private static readonly InsnForm[] s_forms =
    [
        .. InsnTable.Forms.Where(f => f.Row.Op is not (InsnOp.AddrSpaceCast or InsnOp.JaLong or InsnOp.Ja or InsnOp.MayGoto)
            && f.Row.Syntax is not (InsnSyntax.Call or InsnSyntax.Exit or InsnSyntax.Load64 or InsnSyntax.Packet)),
    ];

    public static Insn[] Create(int seed)
    {
        var random = new Random(seed);
        var insns = new List<Insn>();
        bool call = random.Next(3) == 0;
        Prologue(insns, random);
        int callAt = call ? random.Next(5, 30) : -1, callSlot = -1;
        int length = random.Next(5, 60);
        for (int i = 0; i < length; i++)
        {
            insns.Add(Next(random, length - i - 1));
            if (i != callAt) continue;
            callSlot = insns.Count;
            // r1 to r5 are gone after a call.
            insns.Add(new Insn(0x85, 0, 1, 0, 0));
            for (int r = 1; r <= 5; r++) insns.Add(InsnTable.Find(InsnOp.Mov, InsnClass.Alu64, register: true)!.Build(r, random.Next(2) == 0 ? 0 : 6 + random.Next(4)));
        }

        FixJumps(insns);
        Epilogue(insns);
        if (callSlot < 0) return [.. insns];
        insns[callSlot] = insns[callSlot] with { Imm = insns.Count - callSlot - 1 };
        int start = insns.Count;
        insns.Add(InsnTable.Find(InsnOp.Mov, InsnClass.Alu64, register: true)!.Build(0, 1));
        for (int i = 0; i < 10; i++)
        {
            Insn insn = Alu(random);
            // Only the arguments and r0 are known in the function.
            insns.Add(insn with { Registers = (byte)(insn.Dst % 6 | insn.Src % 6 << 4) });
        }

        FixJumps(insns, start);
        insns.Add(InsnTable.Find(InsnOp.Exit, InsnClass.Jmp)!.Build());
        return [.. insns];
    }

    private static void Prologue(List<Insn> insns, Random random)
    {
        InsnForm store = InsnTable.Find(InsnOp.Stx, MemSize.Dw)!;
        for (int r = 0; r < 10; r++)
        {
            ulong value = random.Next(3) == 0 ? (ulong)random.NextInt64(long.MinValue, long.MaxValue) : s_edges[random.Next(s_edges.Length)];
            insns.Add(InsnTable.Find(InsnOp.LdImm64, MemSize.Dw)!.Build(r, 0, 0, (int)value));
            insns.Add(new Insn(0, 0, 0, 0, (int)(value >> 32)));
        }

        for (int at = 8; at <= StackBytes; at += 8) insns.Add(store.Build(10, random.Next(10), -at));
    }

    private static void Epilogue(List<Insn> insns)
    {
        InsnForm load = InsnTable.Find(InsnOp.Ldx, MemSize.Dw)!, multiply = InsnTable.Find(InsnOp.Mul, InsnClass.Alu64)!, xor = InsnTable.Find(InsnOp.Xor, InsnClass.Alu64, register: true)!;
        for (int r = 1; r < 10; r++)
        {
            insns.Add(multiply.Build(0, imm: 31));
            insns.Add(xor.Build(0, r));
        }

        for (int at = 8; at <= StackBytes; at += 8)
        {
            insns.Add(load.Build(1, 10, -at));
            insns.Add(multiply.Build(0, imm: 37));
            insns.Add(xor.Build(0, 1));
        }

        insns.Add(InsnTable.Find(InsnOp.Exit, InsnClass.Jmp)!.Build());
    }

    private static Insn Alu(Random random)
    {
        while (true)
            if (s_forms[random.Next(s_forms.Length)] is { Class: InsnClass.Alu or InsnClass.Alu64 } form) return Sample.Of(form, random)[0];
    }

    private static Insn Next(Random random, int ahead)
    {
        InsnForm form = s_forms[random.Next(s_forms.Length)];
        Insn insn = Sample.Of(form, random)[0];
        int size = insn.SizeBytes, off = -random.Next(1, StackBytes / size + 1) * size;
        int dst = insn.Dst % 10, src = insn.Src % 10;
        return form.Class switch
        {
            InsnClass.Ldx => new Insn(insn.Code, dst, 10, off, 0),
            InsnClass.Stx when form.Row.Op == InsnOp.LoadAcquire => new Insn(insn.Code, dst, 10, off, insn.Imm),
            InsnClass.Stx => new Insn(insn.Code, 10, src, off, insn.Imm),
            InsnClass.St => new Insn(insn.Code, 10, 0, off, insn.Imm),
            InsnClass.Jmp or InsnClass.Jmp32 => new Insn(insn.Code, dst, form.IsRegisterForm ? src : 0, random.Next(0, Math.Max(1, Math.Min(ahead, 6))), insn.Imm),
            _ => new Insn(insn.Code, dst, form.IsRegisterForm && form.Src.IsRegister ? src : 0, insn.Off, insn.Imm),
        };
    }

    /// <summary>A jump may lead at most to the last instruction so far.</summary>
    private static void FixJumps(List<Insn> insns, int from = 20)
    {
        for (int slot = from; slot < insns.Count; slot++)
            if (insns[slot].Class is InsnClass.Jmp or InsnClass.Jmp32 && !insns[slot].IsLocalCall)
                insns[slot] = insns[slot] with { Off = (short)Math.Min(insns[slot].Off, insns.Count - slot - 1) };
    }
}
