using static BpfSim.Vm.Isa.FieldUse;

namespace BpfSim.Vm.Isa;

/// <summary>
/// The instruction set: RFC 9669 and what Linux 6.18 adds to it (may_goto, load_acquire, store_release,
/// addr_space_cast). The one place that knows encodings; decoder, checks, assembler, disassembler and the
/// generator of random programs derive from it.
/// </summary>
public static class InsnTable
{
    private static readonly InsnClass[] BothAlu = [InsnClass.Alu, InsnClass.Alu64];
    private static readonly InsnClass[] BothJmp = [InsnClass.Jmp, InsnClass.Jmp32];
    private static readonly OperandSource[] BothSources = [OperandSource.K, OperandSource.X];
    private static readonly MemSize[] AllSizes = [MemSize.B, MemSize.H, MemSize.W, MemSize.Dw];
    private static readonly MemSize[] WordSizes = [MemSize.W, MemSize.Dw];
    private static readonly FieldRule SwapWidths = FieldRule.OneOf(16, 32, 64);
    private const ushort Arguments = 0b111110, CallerSaved = 0b111111;

    /// <summary>All operations.</summary>
    public static IReadOnlyList<InsnRow> Rows { get; } =
    [
        Alu(InsnOp.Add, AluOp.Add, "+="),
        Alu(InsnOp.Sub, AluOp.Sub, "-="),
        DivMul(InsnOp.Mul, AluOp.Mul, "*=", Zero, Value),
        DivMul(InsnOp.Div, AluOp.Div, "/=", FieldRule.OneOf(0), Divisor),
        DivMul(InsnOp.SDiv, AluOp.Div, "s/=", FieldRule.OneOf(1), Divisor),
        Alu(InsnOp.Or, AluOp.Or, "|="),
        Alu(InsnOp.And, AluOp.And, "&="),
        Alu(InsnOp.Lsh, AluOp.Lsh, "<<=", Shift),
        Alu(InsnOp.Rsh, AluOp.Rsh, ">>=", Shift),
        DivMul(InsnOp.Mod, AluOp.Mod, "%=", FieldRule.OneOf(0), Divisor),
        DivMul(InsnOp.SMod, AluOp.Mod, "s%=", FieldRule.OneOf(1), Divisor),
        Alu(InsnOp.Xor, AluOp.Xor, "^="),
        Alu(InsnOp.Arsh, AluOp.Arsh, "s>>=", Shift),
        new()
        {
            Op = InsnOp.Neg, Syntax = InsnSyntax.Negate, Mnemonic = "-", Classes = BothAlu, HighBits = (byte)AluOp.Neg,
            Dst = ReadWrite, Reserved = "BPF_NEG uses reserved fields",
        },
        Alu(InsnOp.Mov, AluOp.Mov, "=") with { Dst = Write, Off = FieldRule.OneOf(0), Reserved = "BPF_MOV uses reserved fields" },
        Move(InsnOp.MovSx, InsnSyntax.MoveSignExtended, BothAlu, FieldRule.OneOf(8, 16, 32)),
        Move(InsnOp.AddrSpaceCast, InsnSyntax.AddrSpaceCast, [InsnClass.Alu64], FieldRule.OneOf(1)) with
        {
            Mnemonic = "addr_space_cast", Imm = FieldRule.OneOf(1, 0x10000), Group64 = ConformanceGroup.Linux,
            Reserved = "addr_space_cast insn can only convert between address space 1 and 0",
        },
        Swap(InsnOp.ToLe, "le", InsnClass.Alu, OperandSource.K),
        Swap(InsnOp.ToBe, "be", InsnClass.Alu, OperandSource.X),
        Swap(InsnOp.Bswap, "bswap", InsnClass.Alu64, OperandSource.K),

        new()
        {
            Op = InsnOp.Ja, Syntax = InsnSyntax.Goto, Mnemonic = "goto", Classes = [InsnClass.Jmp], HighBits = (byte)JmpOp.Ja,
            Off = Target, Reserved = "BPF_JA uses reserved fields",
        },
        new()
        {
            Op = InsnOp.JaLong, Syntax = InsnSyntax.Goto, Mnemonic = "gotol", Classes = [InsnClass.Jmp32], HighBits = (byte)JmpOp.Ja,
            Imm = Target, Reserved = "BPF_JA uses reserved fields",
        },
        Jump(InsnOp.Jeq, JmpOp.Jeq, "=="),
        Jump(InsnOp.Jgt, JmpOp.Jgt, ">"),
        Jump(InsnOp.Jge, JmpOp.Jge, ">="),
        Jump(InsnOp.Jset, JmpOp.Jset, "&"),
        Jump(InsnOp.Jne, JmpOp.Jne, "!="),
        Jump(InsnOp.Jsgt, JmpOp.Jsgt, "s>"),
        Jump(InsnOp.Jsge, JmpOp.Jsge, "s>="),
        Jump(InsnOp.Jlt, JmpOp.Jlt, "<"),
        Jump(InsnOp.Jle, JmpOp.Jle, "<="),
        Jump(InsnOp.Jslt, JmpOp.Jslt, "s<"),
        Jump(InsnOp.Jsle, JmpOp.Jsle, "s<="),
        new()
        {
            Op = InsnOp.MayGoto, Syntax = InsnSyntax.MayGoto, Mnemonic = "may_goto", Classes = [InsnClass.Jmp],
            HighBits = (byte)JmpOp.Jcond, Off = Target, Reserved = "invalid may_goto imm {imm}",
            Group32 = ConformanceGroup.Linux, Group64 = ConformanceGroup.Linux,
        },
        Call(InsnOp.CallHelper, CallKind.Helper, Zero, Value),
        Call(InsnOp.CallLocal, CallKind.Local, Zero, Target),
        Call(InsnOp.CallKfunc, CallKind.Kfunc, Value, Value),
        new()
        {
            Op = InsnOp.Exit, Syntax = InsnSyntax.Exit, Mnemonic = "exit", Classes = [InsnClass.Jmp], HighBits = (byte)JmpOp.Exit,
            Off = Ignored, Reserved = "BPF_EXIT uses reserved fields", AlsoReads = 1,
        },

        new()
        {
            Op = InsnOp.LdImm64, Syntax = InsnSyntax.Load64, Classes = [InsnClass.Ld], HighBits = (byte)MemMode.Imm, Sizes = [MemSize.Dw],
            Dst = Write, Src = FieldRule.OneOf(0, 1, 2, 3, 4, 5, 6), Imm = Value, Reserved = "BPF_LD_IMM64 uses reserved fields",
        },
        Packet(InsnOp.LdAbs, MemMode.Abs, Zero),
        Packet(InsnOp.LdInd, MemMode.Ind, Read),
        Memory(InsnOp.Ldx, InsnSyntax.Load, InsnClass.Ldx, MemMode.Mem, AllSizes, Write, Base, Zero, "BPF_LDX uses reserved fields"),
        Memory(InsnOp.LdxSx, InsnSyntax.Load, InsnClass.Ldx, MemMode.MemSx, [MemSize.B, MemSize.H, MemSize.W], Write, Base, Zero, "BPF_LDX uses reserved fields") with
        {
            Group32 = ConformanceGroup.Base64,
        },
        Memory(InsnOp.St, InsnSyntax.Store, InsnClass.St, MemMode.Mem, AllSizes, Base, Zero, Value, "BPF_ST uses reserved fields"),
        Memory(InsnOp.Stx, InsnSyntax.Store, InsnClass.Stx, MemMode.Mem, AllSizes, Base, Read, Zero, "BPF_STX uses reserved fields"),

        Atomic(InsnOp.AtomicAdd, InsnSyntax.AtomicPlain, "+=", 0x00, Read),
        Atomic(InsnOp.AtomicOr, InsnSyntax.AtomicPlain, "|=", 0x40, Read),
        Atomic(InsnOp.AtomicAnd, InsnSyntax.AtomicPlain, "&=", 0x50, Read),
        Atomic(InsnOp.AtomicXor, InsnSyntax.AtomicPlain, "^=", 0xa0, Read),
        Atomic(InsnOp.AtomicFetchAdd, InsnSyntax.AtomicFetch, "fetch_add", 0x01, ReadWrite),
        Atomic(InsnOp.AtomicFetchOr, InsnSyntax.AtomicFetch, "fetch_or", 0x41, ReadWrite),
        Atomic(InsnOp.AtomicFetchAnd, InsnSyntax.AtomicFetch, "fetch_and", 0x51, ReadWrite),
        Atomic(InsnOp.AtomicFetchXor, InsnSyntax.AtomicFetch, "fetch_xor", 0xa1, ReadWrite),
        Atomic(InsnOp.AtomicXchg, InsnSyntax.AtomicFetch, "xchg", 0xe1, ReadWrite),
        Atomic(InsnOp.AtomicCmpxchg, InsnSyntax.AtomicCompare, "cmpxchg", 0xf1, Read) with { AlsoReads = 1, AlsoWrites = 1 },
        Atomic(InsnOp.LoadAcquire, InsnSyntax.LoadAcquire, "load_acquire", 0x100, Base) with
        {
            Dst = Write, Sizes = AllSizes, Group32 = ConformanceGroup.Linux, Group64 = ConformanceGroup.Linux,
        },
        Atomic(InsnOp.StoreRelease, InsnSyntax.StoreRelease, "store_release", 0x110, Read) with
        {
            Sizes = AllSizes, Group32 = ConformanceGroup.Linux, Group64 = ConformanceGroup.Linux,
        },
    ];

    private static readonly InsnForm[][] ByCode = GroupByCode();

    private static InsnForm[][] GroupByCode()
    {
        var byCode = new InsnForm[256][];
        Array.Fill(byCode, []);
        foreach (InsnRow row in Rows)
        {
            foreach (InsnForm form in row.Forms()) byCode[form.Code] = [.. byCode[form.Code], form];
        }

        return byCode;
    }

    // What an opcode byte means when src and imm have no say, first with an offset that is not 0, then with 0; else Unknown.
    private static readonly InsnOp[] OpOfCode =
    [
        .. ByCode.Select(forms => OnlyOp(forms, form => form.Off.Use != FieldUse.Selector)),
        .. ByCode.Select(forms => OnlyOp([.. forms.Where(form => form.Off.Use != FieldUse.Selector || form.Off.Allows(0))], _ => true)),
    ];

    private static readonly Dictionary<(InsnOp, InsnClass, bool), InsnForm> ByOperation = Forms
        .Where(f => f.Row.Sizes.Length == 0)
        .SelectMany(f => f.Row.Sources.Length == 2 ? new[] { (f, f.IsRegisterForm) } : [(f, false), (f, true)])
        .ToDictionary(f => (f.f.Row.Op, f.f.Class, f.Item2), f => f.f);

    private static readonly Dictionary<(InsnOp, MemSize), InsnForm> BySize = Forms
        .Where(f => f.Row.Sizes.Length > 0).ToDictionary(f => (f.Row.Op, (MemSize)(f.Code & 0x18)));

    /// <summary>
    /// What the verifier writes into a program for a per-CPU address; no loaded program may have it. Not a
    /// row of the table, because it can only be printed and run.
    /// </summary>
    public static InsnForm PercpuAddress { get; } =
        new(Move(InsnOp.MovPercpu, InsnSyntax.MovePercpu, [InsnClass.Alu64], FieldRule.OneOf(-1)), 0xbf);

    /// <summary>All encodings: every row in all its classes, sources and sizes.</summary>
    public static IEnumerable<InsnForm> Forms => ByCode.SelectMany(forms => forms);

    /// <summary>The encodings that share an opcode byte and differ in off, src or imm; empty for an unknown opcode.</summary>
    public static ReadOnlySpan<InsnForm> WithCode(byte code) => ByCode[code];

    /// <summary>
    /// The form of an instruction; null if no form has its opcode byte and selector fields. Reserved fields
    /// may still be wrong: see <see cref="InsnChecks"/>.
    /// </summary>
    public static InsnForm? Find(Insn insn)
    {
        foreach (InsnForm form in ByCode[insn.Code])
            if (form.Selects(insn)) return form;
        return null;
    }

    /// <summary>The form of an arithmetic operation or jump in a class, with a register or an immediate operand; null if there is none.</summary>
    public static InsnForm? Find(InsnOp op, InsnClass cls, bool register = false) =>
        ByOperation.GetValueOrDefault((op, cls, register));

    /// <summary>The form of a load, store or atomic operation of a size; null if there is none.</summary>
    public static InsnForm? Find(InsnOp op, MemSize size) =>
        BySize.GetValueOrDefault((op, size));

    /// <summary>What an instruction does; <see cref="InsnOp.Unknown"/> if nothing that exists.</summary>
    public static InsnOp OpOf(Insn insn) => OpOfCode[insn.Code | (insn.Off == 0 ? 256 : 0)] is var only && only != InsnOp.Unknown ? only : Find(insn)?.Row.Op ?? InsnOp.Unknown;

    private static InsnOp OnlyOp(InsnForm[] forms, Func<InsnForm, bool> fits) =>
        forms is [var form] && fits(form) && form.Src.Use != FieldUse.Selector && form.Imm.Use != FieldUse.Selector ? form.Row.Op : InsnOp.Unknown;

    private static InsnRow Alu(InsnOp op, AluOp bits, string mnemonic, FieldUse imm = Value) => new()
    {
        Op = op,
        Syntax = InsnSyntax.Binary,
        Mnemonic = mnemonic,
        Classes = BothAlu,
        HighBits = (byte)bits,
        Sources = BothSources,
        Dst = ReadWrite,
        Src = Read,
        Imm = imm,
        Reserved = "BPF_ALU uses reserved fields",
    };

    private static InsnRow DivMul(InsnOp op, AluOp bits, string mnemonic, FieldRule off, FieldUse imm) => Alu(op, bits, mnemonic, imm) with
    {
        Off = off,
        Group32 = ConformanceGroup.Divmul32,
        Group64 = ConformanceGroup.Divmul64,
    };

    private static InsnRow Move(InsnOp op, InsnSyntax syntax, InsnClass[] classes, FieldRule off) => new()
    {
        Op = op,
        Syntax = syntax,
        Mnemonic = "=",
        Classes = classes,
        HighBits = (byte)AluOp.Mov,
        Sources = [OperandSource.X],
        Dst = Write,
        Src = Read,
        Off = off,
        Reserved = "BPF_MOV uses reserved fields",
    };

    private static InsnRow Swap(InsnOp op, string mnemonic, InsnClass cls, OperandSource order) => new()
    {
        Op = op,
        Syntax = InsnSyntax.Swap,
        Mnemonic = mnemonic,
        Classes = [cls],
        HighBits = (byte)AluOp.End,
        Sources = [order],
        Dst = ReadWrite,
        Imm = SwapWidths,
        Reserved = "BPF_END uses reserved fields",
    };

    private static InsnRow Jump(InsnOp op, JmpOp bits, string mnemonic) => new()
    {
        Op = op,
        Syntax = InsnSyntax.Branch,
        Mnemonic = mnemonic,
        Classes = BothJmp,
        HighBits = (byte)bits,
        Sources = BothSources,
        Dst = Read,
        Src = Read,
        Off = Target,
        Imm = Value,
        Reserved = "BPF_JMP/JMP32 uses reserved fields",
    };

    private static InsnRow Call(InsnOp op, CallKind kind, FieldUse off, FieldUse imm) => new()
    {
        Op = op,
        Syntax = InsnSyntax.Call,
        Mnemonic = "call",
        Classes = [InsnClass.Jmp],
        HighBits = (byte)JmpOp.Call,
        Src = FieldRule.OneOf((int)kind),
        Off = off,
        Imm = imm,
        Reserved = "BPF_CALL uses reserved fields",
        AlsoReads = Arguments,
        AlsoWrites = CallerSaved,
    };

    private static InsnRow Packet(InsnOp op, MemMode mode, FieldUse src) => new()
    {
        Op = op,
        Syntax = InsnSyntax.Packet,
        Classes = [InsnClass.Ld],
        HighBits = (byte)mode,
        Sizes = [MemSize.B, MemSize.H, MemSize.W],
        Src = src,
        Imm = Value,
        Reserved = "BPF_LD_[ABS|IND] uses reserved fields",
        AlsoReads = 1 << 6,
        AlsoWrites = CallerSaved,
        Group32 = ConformanceGroup.Packet,
        Group64 = ConformanceGroup.Packet,
    };

    private static InsnRow Memory(
        InsnOp op, InsnSyntax syntax, InsnClass cls, MemMode mode, MemSize[] sizes, FieldUse dst, FieldUse src, FieldUse imm, string reserved) => new()
        {
            Op = op,
            Syntax = syntax,
            Mnemonic = "=",
            Classes = [cls],
            HighBits = (byte)mode,
            Sizes = sizes,
            Dst = dst,
            Src = src,
            Off = Displacement,
            Imm = imm,
            Reserved = reserved,
        };

    private static InsnRow Atomic(InsnOp op, InsnSyntax syntax, string mnemonic, int imm, FieldUse src) => new()
    {
        Op = op,
        Syntax = syntax,
        Mnemonic = mnemonic,
        Classes = [InsnClass.Stx],
        HighBits = (byte)MemMode.Atomic,
        Sizes = WordSizes,
        Dst = Base,
        Src = src,
        Off = Displacement,
        Imm = FieldRule.OneOf(imm),
        Reserved = "BPF_ATOMIC uses invalid atomic opcode {imm}",
        Group32 = ConformanceGroup.Atomic32,
        Group64 = ConformanceGroup.Atomic64,
    };
}
