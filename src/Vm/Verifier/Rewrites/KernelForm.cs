using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
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
    /// Makes the kernel's form of a rewritten program. It is looked at, and measured for jumps that become too long; the engines run the form before,
    /// because contexts and maps here are not laid out as the kernel's are.
    /// </summary>
    /// <param name="program">The form that the engines run.</param>
    /// <param name="verifier">Who judged it: its tables of instructions, functions and maps, which no later verification reuses.</param>
    /// <param name="input">What it was given.</param>
    public static Lazy<KernelForm> WhenAsked(RewrittenProgram program, ProgramVerifier verifier, VerifierInput input)
    {
        // Not the verifier itself, whose explored states are many times as large.
        var (aux, functions, maps) = (verifier.Aux, verifier.Subprogs, verifier.Maps);
        bool adds = verifier is { SeenException: true, ExceptionCallbackSubprog: 0 };
        return new Lazy<KernelForm>(() => new KernelFormBuilder(program, aux, functions, maps, input) { AddsExceptionCallback = adds }.Build());
    }
}

/// <summary>Replaces instructions by several, or none, and then moves the jumps over them.</summary>
internal sealed partial class KernelFormBuilder(RewrittenProgram program, InsnAux[] aux, IReadOnlyList<Subprogram> functions, IReadOnlyList<MapSpec> maps, VerifierInput input)
{
    private const int Ld = (int)InsnClass.Ld, Ldx = (int)InsnClass.Ldx, St = (int)InsnClass.St, Stx = (int)InsnClass.Stx,
        Alu = (int)InsnClass.Alu, Alu64 = (int)InsnClass.Alu64, Jmp = (int)InsnClass.Jmp, Jmp32 = (int)InsnClass.Jmp32,
        Mem = (int)MemMode.Mem, Byte = (int)MemSize.B, Word = (int)MemSize.W, Long = (int)MemSize.Dw, FromReg = (int)OperandSource.X;

    /// <summary>The frame pointer, and the kernel's own register, which programs do not have.</summary>
    private const int Frame = 10, Ax = 11;

    private readonly List<Insn> _out = new(program.Insns.Length + 16);
    private readonly List<int> _from = new(program.Insns.Length + 16);
    private readonly Dictionary<int, string> _callNames = [];
    private readonly List<(int At, int Target)> _calls = [], _jumps = [];
    private readonly bool[] _dropped = new bool[program.Insns.Length];

    /// <summary>Whether an exception may leave the program through a callback that the kernel has to add.</summary>
    public bool AddsExceptionCallback { get; init; }

    /// <summary>The kernel's form of the whole program.</summary>
    public KernelForm Build()
    {
        Insn[] insns = program.Insns;
        DropFastcallSpills(insns);
        // Where calls and addresses of functions lead, and where jumps do: behind what the kernel puts before a function.
        int[] entered = new int[insns.Length + 1], moved = new int[insns.Length + 1];
        var verbatim = new List<int>(insns.Length);
        int original = 0;
        for (int i = 0; i < insns.Length; i++)
        {
            entered[i] = _out.Count;
            original = program.OriginalSlots[i];
            if (Array.BinarySearch(program.FunctionStarts, i) >= 0) CountLoops(FunctionOf(original));
            if (i == 0) Prologue();
            moved[i] = _out.Count;
            int before = _out.Count;
            if (_dropped[i])
            {
                if (!input.Attributes.Capabilities.Allows(Capabilities.Bpf)) Skip(0);
            }
            else if (insns[i].IsLdImm64)
            {
                EmitLoad64(insns[i], insns[i + 1]);
                verbatim.Add(i);
                entered[i + 1] = moved[i + 1] = before + 1;
                i++;
            }
            else if (!Replace(insns[i], aux[original], original, i))
            {
                _out.RemoveRange(before, _out.Count - before);
                Emit(AsShown(insns[i], aux[original]));
                verbatim.Add(i);
            }
            else
            {
                NoteGrowth(insns[i], i, _out.Count - before);
            }

            while (_from.Count < _out.Count) _from.Add(original);
        }

        entered[insns.Length] = moved[insns.Length] = _out.Count;
        foreach (int i in verbatim)
        {
            bool function = insns[i].IsLdImm64 || insns[i].IsLocalCall;
            _out[moved[i]] = Rewriter.Retarget(_out[moved[i]], i, function ? entered : moved, moved[i]);
            if (function) Number(moved[i], i + insns[i].Imm + 1);
        }

        foreach ((int at, int target) in _jumps) _out[at] = _out[at] with { Off = (short)(moved[target] - at - 1) };
        foreach ((int at, int target) in _calls)
        {
            _out[at] = _out[at] with { Imm = entered[target] - at - 1 };
            Number(at, target);
        }

        AppendExceptionCallback();
        while (_from.Count < _out.Count) _from.Add(original);
        return new KernelForm([.. _out], [.. _from], _callNames, FindTooLong(insns, verbatim, moved));
    }

    private Subprogram? FunctionOf(int original) => functions.FirstOrDefault(f => f.Start <= original && original < f.End);

    /// <summary>Functions are compiled one by one: a call says how far away its function is in off and which one it is in imm.</summary>
    private void Number(int at, int target)
    {
        // One function alone is compiled as it stands.
        if (program.FunctionStarts.Length < 2 && !AddsExceptionCallback) return;
        Insn insn = _out[at];
        int function = Array.BinarySearch(program.FunctionStarts, target);
        if (insn.IsLocalCall) _out[at] = insn with { Off = (short)insn.Imm, Imm = function };
        else if (insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func) _out[at + 1] = _out[at + 1] with { Imm = function };
    }

    /// <summary>The address of a kernel variable is a plain number once the program is loaded.</summary>
    private void EmitLoad64(in Insn first, in Insn second)
    {
        if (first.Src == (int)PseudoSource.BtfId)
        {
            string? name = _kernel?.Find((uint)first.Imm)?.Name;
            EmitAddress(first.Dst, name == null ? 0 : input.SymbolAddress?.Invoke(name) ?? 0);
            return;
        }

        Emit(first);
        Emit(second);
    }

    private void EmitAddress(int dst, ulong address)
    {
        Emit(Ld | Long, dst, 0, 0, (int)address);
        Emit(0, 0, 0, 0, (int)(address >> 32));
    }

    // What an exception that nobody catches ends in: its cookie is the result.
    private void AppendExceptionCallback()
    {
        if (!AddsExceptionCallback) return;
        Emit(Alu64 | (int)AluOp.Mov | FromReg, 0, 1, 0, 0);
        Emit(Jmp | (int)JmpOp.Exit, 0, 0, 0, 0);
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

    /// <summary>An access as the kernel shows it: loads that survive a bad address as plain ones, unless they extend the sign.</summary>
    private static Insn AsShown(in Insn insn, in InsnAux facts)
    {
        if (insn.Class == InsnClass.Stx && insn.Mode == MemMode.Atomic && facts.PtrType == RegType.PtrToArena) return WithMode(insn, MemMode.ProbeAtomic);
        if (insn.Class != InsnClass.Ldx) return insn;
        bool survives = facts.PtrType is RegType.PtrToBtfId or (RegType.PtrToBtfId | RegType.PtrUntrusted)
            or (RegType.PtrToBtfId | RegType.MemAlloc | RegType.PtrUntrusted) or (RegType.PtrToMem | RegType.MemRdonly | RegType.PtrUntrusted);
        return insn.Mode switch
        {
            MemMode.ProbeMem => WithMode(insn, MemMode.Mem),
            MemMode.ProbeMemSx when !survives => WithMode(insn, MemMode.MemSx),
            MemMode.MemSx when facts.PtrType == RegType.PtrToArena => WithMode(insn, MemMode.ProbeMem32Sx),
            _ => insn,
        };
    }

    internal static Insn WithMode(in Insn insn, MemMode mode) => new((int)insn.Class | (int)insn.Size | (int)mode, insn.Dst, insn.Src, insn.Off, insn.Imm);

    /// <summary>Emits what the kernel puts in place of an instruction; false if it leaves it alone.</summary>
    private bool Replace(in Insn insn, in InsnAux facts, int original, int slot)
    {
        if (insn.Class is InsnClass.Alu or InsnClass.Alu64)
        {
            if (facts.InArena)
            {
                Emit(insn with { Code = (byte)((insn.Code & ~Alu64) | Alu) });
                return true;
            }

            return insn.AluOp is AluOp.Div or AluOp.Mod ? Divide(insn) : InsnTable.OpOf(insn) == InsnOp.AddrSpaceCast && Cast(insn);
        }

        if (insn.IsHelperCall) return Call(insn, facts, original);
        if (insn.IsKfuncCall) return Kfunc(insn, facts);
        return InsnTable.OpOf(insn) switch
        {
            InsnOp.MayGoto => MayGoto(insn, original, Cfg.Successors.JumpTarget(insn, slot)),
            InsnOp.LdAbs or InsnOp.LdInd => LoadPacket(insn),
            _ => Context(insn, facts),
        };
    }

    /// <summary>An arena address that the program goes through is its low half.</summary>
    private bool Cast(in Insn insn)
    {
        bool untranslated = maps.Any(m => m.Type == MapType.Arena && (m.Flags & (uint)MapFlags.NoUserConv) != 0);
        if (insn.Imm != 1 && !untranslated) return false;
        Emit(Alu | (int)AluOp.Mov | FromReg, insn.Dst, insn.Src, 0, 0);
        return true;
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
