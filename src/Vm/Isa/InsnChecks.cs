namespace BpfSim.Vm.Isa;

/// <summary>
/// What makes a single instruction invalid, in the words of Linux 6.18. All messages stand for -EINVAL.
/// The kernel looks in two passes: <see cref="Encoding"/> over the whole program before anything runs,
/// <see cref="Reserved"/> and <see cref="Immediate"/> only when its exploration reaches the instruction.
/// </summary>
public static class InsnChecks
{
    /// <summary>The number of registers a program may name: r0 to r10.</summary>
    public const int Registers = 11;

    /// <summary>
    /// The first pass at one slot: the opcode must exist, a load's fields and both halves of a 64-bit load
    /// must be well formed. The caller steps over the second half of a 64-bit load.
    /// </summary>
    /// <returns>The kernel's line, or null.</returns>
    public static string? Encoding(ReadOnlySpan<Insn> insns, int slot)
    {
        Insn insn = insns[slot];
        if (insn.Class == InsnClass.Ldx && ((insn.Mode != MemMode.Mem && insn.Mode != MemMode.MemSx) || insn.Imm != 0))
            return "BPF_LDX uses reserved fields";
        if (insn.IsLdImm64)
        {
            if (slot + 1 >= insns.Length) return "invalid bpf_ld_imm64 insn";
            Insn second = insns[slot + 1];
            if (second.Code != 0 || second.Registers != 0 || second.Off != 0) return "invalid bpf_ld_imm64 insn";
            bool plainMap = insn.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapIdx;
            return InsnTable.Find(insn) is null || (plainMap && second.Imm != 0) ? "unrecognized bpf_ld_imm64 insn" : null;
        }

        return IsKnownOpcode(insn.Code) ? null : $"unknown opcode {insn.Code:x2}";
    }

    /// <summary>
    /// Whether Linux knows the opcode byte at all. Atomics of 8 and 16 bits are known: they exist for
    /// load_acquire and store_release.
    /// </summary>
    public static bool IsKnownOpcode(byte code) => InsnTable.WithCode(code).Length > 0;

    /// <summary>The reserved fields of an instruction whose opcode is known.</summary>
    /// <returns>The kernel's line, or null.</returns>
    public static string? Reserved(Insn insn)
    {
        ReadOnlySpan<InsnForm> forms = InsnTable.WithCode(insn.Code);
        if (forms.IsEmpty) return $"unknown opcode {insn.Code:x2}";
        InsnForm? form = InsnTable.Find(insn);
        if (form is not null && form.FieldsAllowed(insn)) return null;
        if (insn.Class == InsnClass.Stx && insn.Mode == MemMode.Atomic)
            return IsAtomicOperation(insn.Imm) ? "invalid atomic operand size" : $"BPF_ATOMIC uses invalid atomic opcode {insn.Imm:x2}";
        // Only the space numbers of a cast have a message of their own.
        if (form is null && insn.Code == 0xbf && insn.Off == 1)
            return "addr_space_cast insn can only convert between address space 1 and 0";
        return (form ?? forms[0]).Row.Reserved.Replace("{imm}", insn.Imm.ToString(), StringComparison.Ordinal);
    }

    /// <summary>A constant divisor of 0, or a constant shift outside the operation's width.</summary>
    /// <returns>The kernel's line, or null.</returns>
    public static string? Immediate(Insn insn) => InsnTable.Find(insn) switch
    {
        { Imm.Use: FieldUse.Divisor } when insn.Imm == 0 => "div by zero",
        { Imm.Use: FieldUse.Shift } form when insn.Imm < 0 || insn.Imm >= form.Bits => $"invalid shift {insn.Imm}",
        _ => null,
    };

    /// <summary>Register fields above r10, and writes to r10 (-EACCES in the kernel); the kernel meets these while it runs the operands.</summary>
    /// <returns>The kernel's line, or null.</returns>
    public static string? RegisterFields(Insn insn)
    {
        if (InsnTable.Find(insn) is not { } form) return null;
        if (form.Src.IsRegister && insn.Src >= Registers) return $"R{insn.Src} is invalid";
        if (form.Dst.IsRegister && insn.Dst >= Registers) return $"R{insn.Dst} is invalid";
        return (form.Writes(insn) & (1 << 10)) != 0 ? "frame pointer is read only" : null;
    }

    /// <summary>Everything that is wrong with one instruction by itself, in the order in which the kernel finds it.</summary>
    /// <returns>The kernel's line, or null.</returns>
    public static string? First(ReadOnlySpan<Insn> insns, int slot)
    {
        Insn insn = insns[slot];
        if (Encoding(insns, slot) is { } encoding) return encoding;
        // A jump that compares with a constant reads its register before its reserved field is looked at.
        bool registerFirst = InsnTable.Find(insn) is { Row.Syntax: InsnSyntax.Branch, IsRegisterForm: false };
        return (registerFirst ? RegisterFields(insn) ?? Reserved(insn) : Reserved(insn) ?? RegisterFields(insn)) ?? Immediate(insn);
    }

    /// <summary>
    /// Encoding, reserved fields and registers over a whole program, plus jump and call targets: what an
    /// engine needs to run a program that no verifier has seen. Constant divisors of 0 and constant shifts
    /// past the width pass: the RFC defines them.
    /// </summary>
    /// <returns>The slot and the line of the first violation, or null.</returns>
    public static (int Slot, string Message)? Program(ReadOnlySpan<Insn> insns)
    {
        if (insns.IsEmpty) return (0, "the program is empty");
        bool[] second = SecondHalves(insns);
        for (int slot = 0; slot < insns.Length; slot++)
        {
            if (second[slot]) continue;
            Insn insn = insns[slot];
            if ((Encoding(insns, slot) ?? Reserved(insn) ?? RegisterFields(insn)) is { } message) return (slot, message);
            if (Target(insn, slot) is { } target && (target < 0 || target >= insns.Length || second[(int)target]))
                return (slot, $"jump out of range from insn {slot} to {target}");
        }

        Insn last = insns[^1];
        return second[insns.Length - 1] || !(last.IsExit || InsnTable.OpOf(last) is InsnOp.Ja or InsnOp.JaLong)
            ? (insns.Length - 1, "last insn is not an exit or jmp") : null;
    }

    /// <summary>Marks the slots that are the second half of a 64-bit load.</summary>
    public static bool[] SecondHalves(ReadOnlySpan<Insn> insns)
    {
        var second = new bool[insns.Length];
        for (int slot = 0; slot + 1 < insns.Length; slot++)
            if (insns[slot].IsLdImm64) second[++slot] = true;
        return second;
    }

    /// <summary>The slot that a jump, local call or function address at <paramref name="slot"/> leads to; null for other instructions.</summary>
    public static long? Target(Insn insn, int slot)
    {
        if (insn.IsLdImm64) return insn.Src == (int)PseudoSource.Func ? slot + 1L + insn.Imm : null;
        if (insn.Class is not (InsnClass.Jmp or InsnClass.Jmp32) || InsnTable.Find(insn) is not { } form) return null;
        if (form.Off.Use == FieldUse.Target) return slot + 1L + insn.Off;
        return form.Imm.Use == FieldUse.Target ? slot + 1L + insn.Imm : null;
    }

    private static bool IsAtomicOperation(int imm)
    {
        foreach (InsnForm form in InsnTable.WithCode((byte)InsnClass.Stx | (byte)MemMode.Atomic | (byte)MemSize.Dw))
            if (form.Imm.Allows(imm)) return true;
        return false;
    }
}
