using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>An accepted program as the kernel shows it: with guards, inlined calls and converted context accesses.</summary>
/// <param name="Insns">The instructions.</param>
/// <param name="OriginalSlots">For each, the slot of the loaded program that it stands for.</param>
/// <param name="CallNames">By slot, the kernel functions that calls go to where these are not the helpers themselves.</param>
/// <param name="TooLongAt">The loaded slot whose replacement makes a jump over it too long, so that the kernel refuses the program; -1 if there is none.</param>
internal sealed record KernelForm(Insn[] Insns, int[] OriginalSlots, IReadOnlyDictionary<int, string> CallNames, int TooLongAt)
{
    /// <summary>
    /// Makes the kernel's form of a rewritten program. It is for looking at only: the engines run the form before,
    /// because contexts and maps here are not laid out as the kernel's are.
    /// </summary>
    public static KernelForm Of(RewrittenProgram program, InsnAux[] aux, IReadOnlyList<Subprogram> functions, IReadOnlyList<MapSpec> maps, VerifierInput input) =>
        new KernelFormBuilder(program, aux, functions, maps, input).Build();
}

/// <summary>Replaces instructions by several, or none, and then moves the jumps over them.</summary>
internal sealed partial class KernelFormBuilder(RewrittenProgram program, InsnAux[] aux, IReadOnlyList<Subprogram> functions, IReadOnlyList<MapSpec> maps, VerifierInput input)
{
    private const int Ldx = (int)InsnClass.Ldx, Stx = (int)InsnClass.Stx, Alu = (int)InsnClass.Alu, Alu64 = (int)InsnClass.Alu64,
        Jmp = (int)InsnClass.Jmp, Jmp32 = (int)InsnClass.Jmp32, Mem = (int)MemMode.Mem, Byte = (int)MemSize.B, Word = (int)MemSize.W,
        Long = (int)MemSize.Dw, FromReg = (int)OperandSource.X;

    /// <summary>The kernel's own register, which programs do not have.</summary>
    private const int Ax = 11;

    private readonly List<Insn> _out = new(program.Insns.Length + 16);
    private readonly List<int> _from = new(program.Insns.Length + 16);
    private readonly Dictionary<int, string> _callNames = [];
    private readonly List<(int At, int Target)> _calls = [];
    private readonly bool[] _dropped = new bool[program.Insns.Length];

    /// <summary>The kernel's form of the whole program.</summary>
    public KernelForm Build()
    {
        Insn[] insns = program.Insns;
        DropFastcallSpills(insns);
        var moved = new int[insns.Length + 1];
        var verbatim = new List<int>(insns.Length);
        int original = 0;
        Prologue();
        for (int i = 0; i < insns.Length; i++)
        {
            moved[i] = _out.Count;
            original = program.OriginalSlots[i];
            if (_dropped[i]) continue;
            int before = _out.Count;
            if (insns[i].IsLdImm64)
            {
                Emit(insns[i]);
                verbatim.Add(i);
                moved[i + 1] = _out.Count;
                Emit(insns[++i]);
            }
            else if (!Replace(insns[i], aux[original], original))
            {
                _out.RemoveRange(before, _out.Count - before);
                Emit(AsShown(insns[i]));
                verbatim.Add(i);
            }
            else
            {
                NoteGrowth(insns[i], i, _out.Count - before);
            }

            while (_from.Count < _out.Count) _from.Add(original);
        }

        moved[insns.Length] = _out.Count;
        foreach (int i in verbatim) _out[moved[i]] = Rewriter.Retarget(_out[moved[i]], i, moved);
        foreach ((int at, int target) in _calls) _out[at] = _out[at] with { Imm = moved[target] - at - 1 };
        return new KernelForm([.. _out], [.. _from], _callNames, FindTooLong(insns, verbatim, moved));
    }

    // The kernel takes the spills around calls that it inlines out of the program.
    private void DropFastcallSpills(Insn[] insns)
    {
        for (int i = 0; i < insns.Length; i++)
        {
            int pairs = aux[program.OriginalSlots[i]].FastcallSpills;
            if (!(insns[i].IsHelperCall || insns[i].IsKfuncCall)) continue;
            for (int pair = 1; pair <= pairs; pair++) _dropped[i - pair] = _dropped[i + pair] = true;
        }
    }

    private void Emit(in Insn insn) => _out.Add(insn);

    private void Emit(int code, int dst, int src, int off, int imm) => _out.Add(new Insn(code, dst, src, off, imm));

    private void Load(int size, int dst, int src, int off) => Emit(Ldx | Mem | size, dst, src, off, 0);

    // Loads that survive a bad address are shown as plain ones.
    private static Insn AsShown(in Insn insn) => insn.Class != InsnClass.Ldx ? insn : insn.Mode switch
    {
        MemMode.ProbeMem => insn with { Code = (byte)((insn.Code & ~0xe0) | (int)MemMode.Mem) },
        MemMode.ProbeMemSx => insn with { Code = (byte)((insn.Code & ~0xe0) | (int)MemMode.MemSx) },
        _ => insn,
    };

    /// <summary>Emits what the kernel puts in place of an instruction; false if it leaves it alone.</summary>
    private bool Replace(in Insn insn, in InsnAux facts, int original)
    {
        if (insn.Class is InsnClass.Alu or InsnClass.Alu64) return insn.AluOp is AluOp.Div or AluOp.Mod && Divide(insn);
        if (insn.IsHelperCall) return Call(insn, facts, original);
        return Context(insn, facts);
    }

    /// <summary>Division by zero, and of the smallest number by -1, have results that the processor must not be asked for.</summary>
    private bool Divide(in Insn insn)
    {
        bool wide = insn.Class == InsnClass.Alu64, divides = insn.AluOp == AluOp.Div, signed = insn.Off == 1;
        int alu = wide ? Alu64 : Alu, jump = wide ? Jmp : Jmp32, dst = insn.Dst, src = insn.Src;
        if (insn.Source == OperandSource.K)
        {
            if (!signed || insn.Imm != -1) return false;
            if (divides) Emit(alu | (int)AluOp.Neg, dst, 0, 0, 0);
            else Emit(Alu | (int)AluOp.Mov, dst, 0, 0, 0);
            return true;
        }

        if (signed)
        {
            // Divisors 0 and -1 are 1 and 0 here, compared without a sign.
            Emit(Alu64 | (int)AluOp.Mov | FromReg, Ax, src, 0, 0);
            Emit(alu | (int)AluOp.Add, Ax, 0, 0, 1);
            Emit(jump | (int)JmpOp.Jgt, Ax, 0, divides ? 4 : 3, 1);
            Emit(jump | (int)JmpOp.Jeq, Ax, 0, divides ? 1 : wide ? 3 : 4, divides ? 0 : 1);
            Emit((divides ? alu : Alu) | (int)AluOp.Mov, dst, 0, 0, 0);
            if (divides) Emit(alu | (int)AluOp.Neg, dst, 0, 0, 0);
            Skip(1);
            Emit(insn);
        }
        else if (divides)
        {
            Emit(jump | (int)JmpOp.Jne, src, 0, 2, 0);
            Emit(Alu | (int)AluOp.Xor | FromReg, dst, dst, 0, 0);
            Skip(1);
            Emit(insn);
        }
        else
        {
            Emit(jump | (int)JmpOp.Jeq, src, 0, wide ? 1 : 2, 0);
            Emit(insn);
        }

        if (divides || wide) return true;
        Skip(1);
        Emit(Alu | (int)AluOp.Mov | FromReg, dst, dst, 0, 0);
        return true;
    }

    private void Skip(int count) => Emit(Jmp | (int)JmpOp.Ja, 0, 0, count, 0);
}
