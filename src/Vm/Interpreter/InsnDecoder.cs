using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// Turns a program's instructions into what runs: chooses each one's handler by the syntax and operation of its
/// row in the instruction table and by where its operands are.
/// </summary>
internal sealed unsafe class InsnDecoder
{
    private static readonly Type[] s_cache = [typeof(CacheA), typeof(CacheB), typeof(CacheC), typeof(CacheD)];

    private readonly ExecutableProgram _program;
    private readonly DecodedInsn* _decoded;
    private readonly CachedRegisters[] _caches;
    private readonly Type _fuel;
    private CachedRegisters _cache;

    private InsnDecoder(ExecutableProgram program, DecodedInsn* decoded)
    {
        _program = program;
        _decoded = decoded;
        _fuel = program.Verified ? typeof(Unlimited) : typeof(Limited);
        _caches = [.. Enumerable.Range(0, program.FunctionStarts.Length).Select(n => CachedRegisters.Choose(program.Insns, program.FunctionStarts[n], End(program, n)))];
    }

    /// <summary>Decodes all slots into memory of the caller, which has one slot more than the program.</summary>
    /// <returns>For each function the registers that it caches.</returns>
    public static CachedRegisters[] Decode(ExecutableProgram program, DecodedInsn* decoded)
    {
        var decoder = new InsnDecoder(program, decoded);
        for (int function = 0; function < program.FunctionStarts.Length; function++)
        {
            decoder._cache = decoder._caches[function];
            int slot = program.FunctionStarts[function], end = End(program, function);
            while (slot < end) slot += decoder.Decode(slot);
        }

        decoded[program.Insns.Length] = new DecodedInsn { Handler = HandlerTable.Find(nameof(Handlers.Bad)) };
        return decoder._caches;
    }

    /// <summary>
    /// Bytes of stack that a function must find zeroed, so that what it forgot to write is the same in every run:
    /// what the verifier saw it reach; without a verdict all, unless no instruction names r10.
    /// </summary>
    internal static int StackBytes(ExecutableProgram program, int function)
    {
        if (program.StackDepths.Length > 0) return Math.Min(program.StackDepths[function], ProgramRuntime.StackSize);
        int start = program.FunctionStarts[function];
        foreach (Insn insn in program.Insns.AsSpan(start, End(program, function) - start))
            if ((InsnTable.Find(insn)?.Reads(insn) & (1 << 10)) > 0) return ProgramRuntime.StackSize;
        return 0;
    }

    private static int End(ExecutableProgram program, int function) =>
        function + 1 < program.FunctionStarts.Length ? program.FunctionStarts[function + 1] : program.Insns.Length;

    /// <summary>Decodes one instruction; returns the number of its slots.</summary>
    private int Decode(int slot)
    {
        Insn insn = _program.Insns[slot];
        ref DecodedInsn decoded = ref _decoded[slot];
        decoded = new DecodedInsn { Imm = insn.Imm, Off = insn.Off, Dst = (byte)(8 * insn.Dst), Src = (byte)(8 * insn.Src) };
        if (InsnChecks.Target(insn, slot) is { } target && target >= 0 && target < _program.Insns.Length) decoded.Target = _decoded + target;
        if (FormOf(insn) is not { } form)
        {
            decoded.Handler = HandlerTable.Find(nameof(Handlers.Bad));
            return 1;
        }

        if (form.Row.Syntax == InsnSyntax.Call) Call(ref decoded, insn, slot);
        else if (form.Row.Syntax == InsnSyntax.Packet) Packet(ref decoded, form, insn);
        else decoded.Handler = Handler(form, insn, slot);
        if (!insn.IsLdImm64) return 1;
        decoded.Imm = (long)Load64(_program, _program.Insns, slot);
        if (slot + 1 < _program.Insns.Length) _decoded[slot + 1] = new DecodedInsn { Handler = HandlerTable.Find(nameof(Handlers.Bad)) };
        return 2;
    }

    /// <summary>The form of an instruction; of what only the verifier writes, the form of the plain load that it was, or of the move.</summary>
    private static InsnForm? FormOf(Insn insn)
    {
        if (InsnTable.PercpuAddress.Code == insn.Code && InsnTable.PercpuAddress.Selects(insn)) return InsnTable.PercpuAddress;
        if (!IsProbe(insn)) return InsnTable.Find(insn);
        return InsnTable.Find(insn.Mode == MemMode.ProbeMem ? InsnOp.Ldx : InsnOp.LdxSx, insn.Size);
    }

    private static bool IsProbe(Insn insn) => insn.Class == InsnClass.Ldx && insn.Mode is MemMode.ProbeMem or MemMode.ProbeMemSx;

    private delegate*<DecodedInsn*, Frame*, ulong, ulong, ulong, ulong, ulong> Handler(InsnForm form, Insn insn, int slot)
    {
        Type dst = Operand(insn.Dst, typeof(DstInFrame));
        Type src = form.Src.IsRegister ? Operand(insn.Src, typeof(SrcInFrame)) : typeof(Constant);
        bool wide = form.Bits == 64;
        // What only leads forward ends by itself.
        Type fuel = InsnChecks.Target(insn, slot) > slot ? typeof(Unlimited) : _fuel;
        switch (form.Row.Syntax)
        {
            // One address space exists, so that a cast or a per-CPU address is a move.
            case InsnSyntax.AddrSpaceCast or InsnSyntax.MovePercpu:
            case InsnSyntax.Binary when form.Row.Op == InsnOp.Mov:
                return HandlerTable.Find(wide ? nameof(Handlers.Move64) : nameof(Handlers.Move32), dst, src);
            case InsnSyntax.Binary or InsnSyntax.Negate:
                return HandlerTable.Find(wide ? nameof(Handlers.Alu64) : nameof(Handlers.Alu32), Operation(typeof(AluOperations), form.Row.Op), dst, src);
            case InsnSyntax.Swap:
                return HandlerTable.Find(nameof(Handlers.Alu64), Operation(typeof(AluOperations), form.Row.Op), dst, src);
            case InsnSyntax.MoveSignExtended:
                return HandlerTable.Find(wide ? nameof(Handlers.MoveSigned64) : nameof(Handlers.MoveSigned32), dst, src);
            case InsnSyntax.Load64:
                return HandlerTable.Find(nameof(Handlers.LoadConstant), dst);
            case InsnSyntax.Goto:
                return HandlerTable.Find(nameof(Handlers.Jump), fuel);
            case InsnSyntax.Branch:
                return HandlerTable.Find(wide ? nameof(Handlers.Branch64) : nameof(Handlers.Branch32), Operation(typeof(Conditions), form.Row.Op), dst, src, fuel);
            case InsnSyntax.MayGoto:
                return HandlerTable.Find(nameof(Handlers.MayGoto), fuel);
            case InsnSyntax.Exit:
                return HandlerTable.Find(nameof(Handlers.Exit), Result);
            case InsnSyntax.Load:
                bool probe = IsProbe(insn) || (slot < _program.Facts.Length && _program.Facts[slot].ProbeMem);
                return HandlerTable.Find(probe ? nameof(Handlers.Probe) : nameof(Handlers.Load), Access(form), dst, src);
            case InsnSyntax.Store:
                return HandlerTable.Find(nameof(Handlers.Store), Access(form), dst, src);
            case InsnSyntax.LoadAcquire:
                return HandlerTable.Find(nameof(Handlers.LoadAcquire), Access(form), dst, src);
            case InsnSyntax.StoreRelease:
                return HandlerTable.Find(nameof(Handlers.StoreRelease), Access(form), dst, src);
            case InsnSyntax.AtomicPlain:
                return HandlerTable.Find(wide ? nameof(Handlers.Atomic64) : nameof(Handlers.Atomic32), Operation(typeof(AtomicOperations), form.Row.Op), dst, src);
            case InsnSyntax.AtomicFetch:
                return HandlerTable.Find(wide ? nameof(Handlers.AtomicFetch64) : nameof(Handlers.AtomicFetch32), Operation(typeof(AtomicOperations), form.Row.Op), dst, src);
            case InsnSyntax.AtomicCompare:
                return HandlerTable.Find(wide ? nameof(Handlers.CompareExchange64) : nameof(Handlers.CompareExchange32), dst, src, Result);
            default:
                throw new ArgumentOutOfRangeException(nameof(form), form.Row.Syntax, "no handler for this syntax");
        }
    }

    private void Call(ref DecodedInsn decoded, Insn insn, int slot)
    {
        decoded.Cache = _cache;
        if (insn.IsLocalCall)
        {
            int function = Array.BinarySearch(_program.FunctionStarts, slot + 1 + insn.Imm);
            if (function < 0)
            {
                decoded.Handler = HandlerTable.Find(nameof(Handlers.Bad));
                return;
            }

            decoded.CalleeCache = _caches[function];
            decoded.CalleeStack = StackBytes(_program, function);
            decoded.Handler = HandlerTable.Find(nameof(Handlers.CallLocal), _fuel);
            return;
        }

        bool mayTailCall = insn.IsHelperCall && (_program.Verified || _program.Maps.Length > 0);
        HelperPrototype? helper = (insn.IsKfuncCall ? _program.Kfuncs : _program.Helpers).Find(insn.Imm);
        if (mayTailCall && insn.Imm == ProgramRuntime.TailCallHelper)
        {
            decoded.Handler = HandlerTable.Find(nameof(Handlers.TailCall), Result);
        }
        else if (helper is null && !_program.Verified)
        {
            decoded.Handler = HandlerTable.Find(nameof(Handlers.Bad));
        }
        else if (helper is null || helper.Implementation == null)
        {
            decoded.Handler = HandlerTable.Find(nameof(Handlers.CallMissing), Result);
        }
        else if (insn.IsHelperCall && _program.Verified && MapCalls.Find(insn.Imm) is { } call)
        {
            decoded.Handler = HandlerTable.Find(nameof(Handlers.CallMap), call, Result);
        }
        else
        {
            decoded.Function = helper.Implementation;
            decoded.Handler = HandlerTable.Find(nameof(Handlers.CallHelper), Result, _fuel);
        }
    }

    private void Packet(ref DecodedInsn decoded, InsnForm form, Insn insn)
    {
        decoded.Target = null;
        decoded.Cache = _cache;
        decoded.Dst = (byte)insn.SizeBytes;
        Type src = form.Src.IsRegister ? Operand(insn.Src, typeof(SrcInFrame)) : typeof(Nothing);
        decoded.Handler = HandlerTable.Find(nameof(Handlers.LoadPacket), src, Result);
    }

    /// <summary>Where r0 is.</summary>
    private Type Result => Operand(0, typeof(R0InFrame));

    private Type Operand(int register, Type inFrame) =>
        register == 10 ? typeof(FramePointer) : _cache.IndexOf(register) is >= 0 and var n ? s_cache[n] : inFrame;

    /// <summary>The code of an operation, which has the operation's name.</summary>
    private static Type Operation(Type among, InsnOp op)
    {
        string name = op.ToString();
        if (among == typeof(AtomicOperations)) name = name.Replace("Atomic", "", StringComparison.Ordinal).Replace("Fetch", "", StringComparison.Ordinal);
        return among.GetNestedType(name) ?? throw new ArgumentOutOfRangeException(nameof(op), op, $"not among {among.Name}");
    }

    private static Type Access(InsnForm form) => (form.Bits, form.Row.Op == InsnOp.LdxSx) switch
    {
        (8, false) => typeof(Accesses.Byte),
        (16, false) => typeof(Accesses.Half),
        (32, false) => typeof(Accesses.Word),
        (8, true) => typeof(Accesses.SignedByte),
        (16, true) => typeof(Accesses.SignedHalf),
        (32, true) => typeof(Accesses.SignedWord),
        _ => typeof(Accesses.Double),
    };

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
}
