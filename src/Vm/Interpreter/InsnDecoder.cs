using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>Turns a program's instructions into what the loop runs; the operation's number comes from the instruction table by name.</summary>
internal static unsafe class InsnDecoder
{
    private static readonly Dictionary<InsnForm, Op> s_operations = Operations();
    private static readonly Dictionary<(Op, Op), Op> s_pairs = [];
    private static readonly Dictionary<(Op, Op, Op), Op> s_triples = [];

    static InsnDecoder()
    {
        foreach (Op op in Enum.GetValues<Op>())
        {
            string[] parts = op.ToString().Split('_');
            if (parts.Length == 2) s_pairs[(Enum.Parse<Op>(parts[0]), Enum.Parse<Op>(parts[1]))] = op;
            if (parts.Length == 3) s_triples[(Enum.Parse<Op>(parts[0]), Enum.Parse<Op>(parts[1]), Enum.Parse<Op>(parts[2]))] = op;
        }
    }

    /// <summary>Decodes all slots into memory of the caller, which has one slot more than the program.</summary>
    public static void Decode(ExecutableProgram program, DecodedInsn* decoded)
    {
        Insn[] insns = program.Insns;
        bool[] second = InsnChecks.SecondHalves(insns);
        for (int slot = 0; slot < insns.Length; slot++)
            decoded[slot] = second[slot] ? new DecodedInsn { Op = Op.Bad } : Decode(program, insns, slot);
        decoded[insns.Length] = new DecodedInsn { Op = Op.Bad };
        MarkStackBytes(program, decoded);
        Fuse(decoded, insns.Length);
    }

    /// <summary>Tells a local call, in its unused source field, how many bytes of stack the function it calls needs clean.</summary>
    private static void MarkStackBytes(ExecutableProgram program, DecodedInsn* decoded)
    {
        for (int slot = 0; slot < program.Insns.Length; slot++)
        {
            if (decoded[slot].Op != Op.CallLocal) continue;
            int function = Array.BinarySearch(program.FunctionStarts, slot + 1 + program.Insns[slot].Imm);
            decoded[slot].Src = (ushort)(function < 0 ? ProgramRuntime.StackSize : StackBytes(program, function));
        }
    }

    /// <summary>
    /// Bytes of stack that a function must find zeroed, so that what it forgot to write is the same in every run:
    /// what the verifier saw it reach; without a verdict all, unless no instruction names r10.
    /// </summary>
    internal static int StackBytes(ExecutableProgram program, int function)
    {
        if (program.StackDepths.Length > 0) return Math.Min(program.StackDepths[function], ProgramRuntime.StackSize);
        int[] starts = program.FunctionStarts;
        int start = starts[function], end = function + 1 < starts.Length ? starts[function + 1] : program.Insns.Length;
        foreach (Insn insn in program.Insns.AsSpan(start, end - start))
            if ((InsnTable.Find(insn)?.Reads(insn) & (1 << 10)) > 0) return ProgramRuntime.StackSize;
        return 0;
    }

    /// <summary>
    /// Gives the first instruction of a frequent sequence the operation of the whole. The others stay as they
    /// are: a jump may lead to them, and the sequence reads its operands there.
    /// </summary>
    private static void Fuse(DecodedInsn* decoded, int length)
    {
        for (int slot = 0; slot + 1 < length; slot++)
        {
            Op first = decoded[slot].Op, second = decoded[slot + 1].Op;
            if (slot + 2 < length && s_triples.TryGetValue((first, second, decoded[slot + 2].Op), out Op triple))
            {
                decoded[slot].Op = triple;
                slot += 2;
            }
            else if (s_pairs.TryGetValue((first, second), out Op pair)) decoded[slot++].Op = pair;
        }
    }

    /// <summary>The name of a form's operation in <see cref="Op"/>; null if the operation depends on more than the form.</summary>
    internal static string? NameOf(InsnForm form)
    {
        string name = form.Row.Op.ToString();
        return form.Row.Syntax switch
        {
            InsnSyntax.Binary or InsnSyntax.Branch => $"{name}{form.Bits}{(form.IsRegisterForm ? 'X' : 'K')}",
            InsnSyntax.Goto => "Ja",
            InsnSyntax.MoveSignExtended or InsnSyntax.Swap or InsnSyntax.AddrSpaceCast or InsnSyntax.Call => null,
            InsnSyntax.MayGoto or InsnSyntax.Exit or InsnSyntax.Load64 or InsnSyntax.Packet => name,
            _ => $"{name}{form.Bits}",
        };
    }

    private static DecodedInsn Decode(ExecutableProgram program, Insn[] insns, int slot)
    {
        Insn insn = insns[slot];
        var decoded = new DecodedInsn { Dst = (ushort)(insn.Dst * 8), Src = (ushort)(insn.Src * 8), Off = insn.Off, Imm = insn.Imm };
        if (ProbeOf(insn) is { } probe)
        {
            decoded.Op = probe;
            return decoded;
        }

        InsnForm? form = InsnTable.Find(insn);
        if (form is null)
        {
            decoded.Op = Op.Bad;
            return decoded;
        }

        decoded.Op = s_operations.TryGetValue(form, out Op op) ? op : Selected(form, insn);
        if (InsnChecks.Target(insn, slot) is { } target && target >= 0 && target < insns.Length)
            decoded.Jump = (int)(target - slot) * sizeof(DecodedInsn);
        switch (form.Row.Op)
        {
            case InsnOp.LdImm64: decoded.Value = Load64(program, insns, slot); break;
            case InsnOp.LdAbs or InsnOp.LdInd: decoded.Off = (short)insn.SizeBytes; break;
            case InsnOp.CallHelper: Call(ref decoded, program.Helpers.Find(insn.Imm), program.Verified || program.Maps.Length > 0 ? insn.Imm : 0); break;
            case InsnOp.CallKfunc: Call(ref decoded, program.Kfuncs.Find(insn.Imm), 0); break;
        }

        return decoded;
    }

    private static void Call(ref DecodedInsn decoded, HelperPrototype? helper, int id)
    {
        decoded.Op = id == ProgramRuntime.TailCallHelper ? Op.TailCall : helper is null || helper.Implementation == null ? Op.CallMissing : Op.CallHelper;
        if (decoded.Op == Op.CallHelper) decoded.Function = helper!.Implementation;
    }

    /// <summary>The value of a 64-bit load at run time.</summary>
    internal static ulong Load64(ExecutableProgram program, Insn[] insns, int slot)
    {
        uint low = (uint)insns[slot].Imm, high = slot + 1 < insns.Length ? (uint)insns[slot + 1].Imm : 0;
        switch ((PseudoSource)insns[slot].Src)
        {
            case PseudoSource.MapFd or PseudoSource.MapIdx:
                return low < program.Maps.Length ? (ulong)program.Maps[low].Header : 0;
            case PseudoSource.MapValue or PseudoSource.MapIdxValue:
                return low < program.Maps.Length ? (ulong)program.Maps[low].Header->Data + high : 0;
            case PseudoSource.Func:
                return (ulong)(slot + 1 + insns[slot].Imm);
            default:
                return ((ulong)high << 32) | low;
        }
    }

    /// <summary>Loads that the verifier marked as ones that may fault.</summary>
    private static Op? ProbeOf(Insn insn) => insn.Class != InsnClass.Ldx ? null : (insn.Mode, insn.Size) switch
    {
        (MemMode.ProbeMem, MemSize.B) => Op.ProbeLdx8,
        (MemMode.ProbeMem, MemSize.H) => Op.ProbeLdx16,
        (MemMode.ProbeMem, MemSize.W) => Op.ProbeLdx32,
        (MemMode.ProbeMem, MemSize.Dw) => Op.ProbeLdx64,
        (MemMode.ProbeMemSx, MemSize.B) => Op.ProbeLdxSx8,
        (MemMode.ProbeMemSx, MemSize.H) => Op.ProbeLdxSx16,
        (MemMode.ProbeMemSx, MemSize.W) => Op.ProbeLdxSx32,
        _ => null,
    };

    /// <summary>Operations that a field of the instruction selects within a form.</summary>
    private static Op Selected(InsnForm form, Insn insn) => (form.Row.Op, form.Bits) switch
    {
        (InsnOp.MovSx, 64) => insn.Off switch { 8 => Op.MovSx8To64, 16 => Op.MovSx16To64, _ => Op.MovSx32To64 },
        (InsnOp.MovSx, _) => insn.Off == 8 ? Op.MovSx8To32 : Op.MovSx16To32,
        // Host and program are little-endian. Only one address space exists here, so that a cast is a move.
        (InsnOp.ToLe, _) => insn.Imm switch { 16 => Op.Truncate16, 32 => Op.Truncate32, _ => Op.Nop },
        (InsnOp.ToBe or InsnOp.Bswap, _) => insn.Imm switch { 16 => Op.Swap16, 32 => Op.Swap32, _ => Op.Swap64 },
        (InsnOp.AddrSpaceCast, _) => Op.Mov64X,
        (InsnOp.CallLocal, _) => Op.CallLocal,
        _ => Op.Bad,
    };

    private static Dictionary<InsnForm, Op> Operations()
    {
        var operations = new Dictionary<InsnForm, Op>();
        foreach (InsnForm form in InsnTable.Forms)
            if (NameOf(form) is { } name && Enum.TryParse(name, out Op op)) operations[form] = op;
        return operations;
    }
}
