using System.Numerics;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// The four BPF registers that a function keeps in the processor's registers, as arguments that each instruction's
/// code hands on to the next. Four, because six arguments travel in registers and two are taken.
/// </summary>
internal readonly unsafe struct CachedRegisters
{
    /// <summary>How many there are.</summary>
    public const int Count = 4;

    private readonly byte _a, _b, _c, _d;

    private CachedRegisters(ReadOnlySpan<int> registers) =>
        (_a, _b, _c, _d) = ((byte)(8 * registers[0]), (byte)(8 * registers[1]), (byte)(8 * registers[2]), (byte)(8 * registers[3]));

    /// <summary>The place of a register in the cache, 0 to 3; -1 if it lies in the frame.</summary>
    public int IndexOf(int register)
    {
        int place = 8 * register;
        return place == _a ? 0 : place == _b ? 1 : place == _c ? 2 : place == _d ? 3 : -1;
    }

    /// <summary>The registers that a function's instructions name most often; what stands in a loop counts eightfold.</summary>
    public static CachedRegisters Choose(ReadOnlySpan<Insn> insns, int start, int end)
    {
        Span<long> uses = stackalloc long[12];
        int[] loops = LoopStarts(insns, start, end);
        int depth = 0;
        for (int slot = start; slot < end; slot++)
        {
            depth += loops[slot - start];
            Insn insn = insns[slot];
            if (insn.Class is InsnClass.Jmp && insn.JmpOp is JmpOp.Call or JmpOp.Exit || InsnTable.Find(insn) is not { } form) continue;
            for (int named = (form.Reads(insn) | form.Writes(insn)) & 0xbff; named != 0; named &= named - 1)
                uses[BitOperations.TrailingZeroCount(named)] += 1L << (3 * Math.Min(depth, 6));
        }

        Span<int> chosen = stackalloc int[Count];
        for (int n = 0; n < Count; n++)
        {
            int best = 0;
            for (int register = 1; register < uses.Length; register++)
                if (register != 10 && uses[register] > uses[best]) best = register;
            chosen[n] = best;
            uses[best] = -1;
        }

        return new CachedRegisters(chosen);
    }

    /// <summary>By how much the depth of loops changes before each slot: a loop is what a jump backward spans.</summary>
    private static int[] LoopStarts(ReadOnlySpan<Insn> insns, int start, int end)
    {
        var change = new int[end - start + 1];
        for (int slot = start; slot < end; slot++)
        {
            if (insns[slot].IsLdImm64)
            {
                slot++;
                continue;
            }

            if (insns[slot].IsLocalCall || InsnChecks.Target(insns[slot], slot) is not { } target || target > slot || target < start) continue;
            change[(int)target - start]++;
            change[slot + 1 - start]--;
        }

        return change;
    }

    /// <summary>Writes the cached values to their places in the frame.</summary>
    public void Spill(Frame* f, ulong a, ulong b, ulong c, ulong d)
    {
        *(ulong*)((byte*)f + _a) = a;
        *(ulong*)((byte*)f + _b) = b;
        *(ulong*)((byte*)f + _c) = c;
        *(ulong*)((byte*)f + _d) = d;
    }

    /// <summary>Reads the values to cache from their places in the frame.</summary>
    public void Fill(Frame* f, out ulong a, out ulong b, out ulong c, out ulong d)
    {
        a = *(ulong*)((byte*)f + _a);
        b = *(ulong*)((byte*)f + _b);
        c = *(ulong*)((byte*)f + _c);
        d = *(ulong*)((byte*)f + _d);
    }
}
