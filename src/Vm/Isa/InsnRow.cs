namespace BpfSim.Vm.Isa;

/// <summary>
/// One row of the instruction table: one operation with all classes, sources and sizes in which it exists.
/// The table lists rows; everything else works on their <see cref="InsnForm"/>s.
/// </summary>
public sealed record InsnRow
{
    /// <summary>What it does.</summary>
    public required InsnOp Op { get; init; }

    /// <summary>How its text is built.</summary>
    public required InsnSyntax Syntax { get; init; }

    /// <summary>The operator or name in its text, such as <c>s/=</c>, <c>s&gt;</c>, <c>fetch_add</c>.</summary>
    public string Mnemonic { get; init; } = "";

    /// <summary>The instruction classes in which it exists.</summary>
    public required InsnClass[] Classes { get; init; }

    /// <summary>The high bits of the opcode: an <see cref="AluOp"/> or <see cref="JmpOp"/>, or a <see cref="MemMode"/>.</summary>
    public required byte HighBits { get; init; }

    /// <summary>The operand sources in which it exists (arithmetic and jumps).</summary>
    public OperandSource[] Sources { get; init; } = [OperandSource.K];

    /// <summary>The access sizes in which it exists (loads and stores).</summary>
    public MemSize[] Sizes { get; init; } = [];

    /// <summary>The destination register field.</summary>
    public FieldRule Dst { get; init; }

    /// <summary>The source register field; of a row with both sources: in its register form.</summary>
    public FieldRule Src { get; init; }

    /// <summary>The offset field.</summary>
    public FieldRule Off { get; init; }

    /// <summary>The immediate field; of a row with both sources: in its immediate form.</summary>
    public FieldRule Imm { get; init; }

    /// <summary>The kernel's line when a reserved field is set.</summary>
    public required string Reserved { get; init; }

    /// <summary>The conformance group if it is 32 bits wide.</summary>
    public ConformanceGroup Group32 { get; init; } = ConformanceGroup.Base32;

    /// <summary>The conformance group if it is 64 bits wide.</summary>
    public ConformanceGroup Group64 { get; init; } = ConformanceGroup.Base64;

    /// <summary>Registers read apart from the fields, as a bit mask.</summary>
    public ushort AlsoReads { get; init; }

    /// <summary>Registers written apart from the fields, as a bit mask.</summary>
    public ushort AlsoWrites { get; init; }

    /// <summary>The concrete encodings: one for every class, source and size.</summary>
    internal IEnumerable<InsnForm> Forms()
    {
        foreach (InsnClass cls in Classes)
        {
            if (Sizes.Length > 0)
            {
                foreach (MemSize size in Sizes) yield return new InsnForm(this, (byte)((byte)cls | (byte)size | HighBits));
                continue;
            }

            foreach (OperandSource source in Sources) yield return new InsnForm(this, (byte)((byte)cls | (byte)source | HighBits));
        }
    }
}

/// <summary>One opcode byte of a row, with the rules of its fields.</summary>
public sealed class InsnForm
{
    internal InsnForm(InsnRow row, byte code)
    {
        (Row, Code) = (row, code);
        bool register = (code & 0x08) != 0;
        bool both = row.Sources.Length == 2;
        Dst = row.Dst;
        Off = row.Off;
        Src = both && !register ? FieldUse.Zero : row.Src;
        Imm = both && register ? FieldUse.Zero : row.Imm;
        // 8- and 16-bit sign extension exists in both widths, from 32 bits only in the wider one.
        if (row.Op == InsnOp.MovSx && Class == InsnClass.Alu) Off = FieldRule.OneOf(8, 16);
    }

    /// <summary>The row.</summary>
    public InsnRow Row { get; }

    /// <summary>The opcode byte.</summary>
    public byte Code { get; }

    /// <summary>The instruction class.</summary>
    public InsnClass Class => (InsnClass)(Code & 7);

    /// <summary>Whether it is an arithmetic instruction or jump with a register operand.</summary>
    public bool IsRegisterForm => Class >= InsnClass.Alu && (Code & 0x08) != 0;

    /// <summary>Width of the operation: 32 or 64 bits (of an access: 8, 16, 32 or 64).</summary>
    public int Bits => Class switch
    {
        InsnClass.Alu or InsnClass.Jmp32 => 32,
        InsnClass.Alu64 or InsnClass.Jmp => 64,
        _ => (MemSize)(Code & 0x18) switch { MemSize.B => 8, MemSize.H => 16, MemSize.W => 32, _ => 64 },
    };

    /// <summary>The destination register field.</summary>
    public FieldRule Dst { get; }

    /// <summary>The source register field.</summary>
    public FieldRule Src { get; }

    /// <summary>The offset field.</summary>
    public FieldRule Off { get; }

    /// <summary>The immediate field.</summary>
    public FieldRule Imm { get; }

    /// <summary>An instruction of this form; a field that can only have one value other than 0 gets it by itself.</summary>
    public Insn Build(int dst = 0, int src = 0, int off = 0, int imm = 0) =>
        new(Code, dst, Only(Src, src), Only(Off, off), Only(Imm, imm));

    /// <summary>Whether an instruction with this opcode byte has the selector values of this form.</summary>
    public bool Selects(Insn insn) =>
        (Off.Use != FieldUse.Selector || Off.Allows(insn.Off))
        && (Src.Use != FieldUse.Selector || Src.Allows(insn.Src))
        && (Imm.Use != FieldUse.Selector || Imm.Allows(insn.Imm));

    /// <summary>Whether all reserved fields are as they must be.</summary>
    public bool FieldsAllowed(Insn insn) =>
        Dst.Allows(insn.Dst) && Src.Allows(insn.Src) && Off.Allows(insn.Off) && Imm.Allows(insn.Imm);

    /// <summary>The conformance group of one instruction of this form.</summary>
    public ConformanceGroup Group(Insn insn)
    {
        bool wide = Row.Op switch
        {
            InsnOp.ToLe or InsnOp.ToBe => insn.Imm == 64,
            InsnOp.Ja or InsnOp.Exit or InsnOp.CallHelper or InsnOp.CallLocal or InsnOp.CallKfunc => false,
            _ => Bits == 64,
        };
        return wide ? Row.Group64 : Row.Group32;
    }

    private static int Only(FieldRule rule, int value) =>
        rule.Use == FieldUse.Selector && rule.Values.Length == 1 ? rule.Values[0] : value;

    /// <summary>Bit mask of the registers that the instruction reads; for calls the possible arguments r1 to r5.</summary>
    public int Reads(Insn insn)
    {
        int mask = Row.AlsoReads;
        if (Dst.Use is FieldUse.Read or FieldUse.ReadWrite or FieldUse.Base) mask |= 1 << insn.Dst;
        if (Src.Use is FieldUse.Read or FieldUse.ReadWrite or FieldUse.Base) mask |= 1 << insn.Src;
        return mask;
    }

    /// <summary>Bit mask of the registers that the instruction writes or makes unreadable.</summary>
    public int Writes(Insn insn)
    {
        int mask = Row.AlsoWrites;
        if (Dst.Use is FieldUse.Write or FieldUse.ReadWrite) mask |= 1 << insn.Dst;
        if (Src.Use is FieldUse.Write or FieldUse.ReadWrite) mask |= 1 << insn.Src;
        return mask;
    }
}
