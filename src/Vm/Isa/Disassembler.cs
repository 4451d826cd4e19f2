using System.Globalization;

namespace BpfSim.Vm.Isa;

/// <summary>
/// Names for the numbers in instructions, handed in by whoever knows them. A null answer leaves the number.
/// </summary>
public class InsnNames
{
    /// <summary>No names at all.</summary>
    public static InsnNames None { get; } = new();

    /// <summary>The kernel name of a helper, such as <c>bpf_trace_printk</c>.</summary>
    public virtual string? Helper(int id) => null;

    /// <summary>The name of a kfunc by the BTF id in imm and the index of its BTF in off.</summary>
    public virtual string? Kfunc(int id, int btfIndex) => null;

    /// <summary>
    /// What stands to the right of a 64-bit load that is no plain number, such as <c>map[id:38]</c> or (in the
    /// verifier's log) the address of the map.
    /// </summary>
    public virtual string? Load64(int slot, Insn first, Insn second) => null;

    /// <summary>What stands behind <c>call</c> of a local call, such as <c>pc+2#bpf_prog_59f4a931744dcdc6_F</c>.</summary>
    public virtual string? LocalCall(int slot, Insn insn) => null;
}

/// <summary>
/// Instructions as text in the kernel's syntax, as the verifier's log and <c>bpftool prog dump xlated</c>
/// print them. Instructions with wrong reserved fields are printed as the kernel prints them before it
/// refuses them.
/// </summary>
public static class Disassembler
{
    /// <summary>
    /// The instruction at a slot with its opcode in front, as in <c>(b7) r1 = 33</c>; of an unknown one, as in
    /// <c>BUG_c3</c>.
    /// </summary>
    public static string Line(ReadOnlySpan<Insn> insns, int slot, InsnNames? names = null)
    {
        string text = Text(insns, slot, names);
        return text.StartsWith("BUG_", StringComparison.Ordinal) ? text : $"({insns[slot].Code:x2}) {text}";
    }

    /// <summary>The instruction at a slot without its opcode, as in <c>r1 = 33</c>.</summary>
    public static string Text(ReadOnlySpan<Insn> insns, int slot, InsnNames? names = null)
    {
        Insn insn = insns[slot];
        names ??= InsnNames.None;
        InsnForm? form = InsnTable.Find(insn) ?? Nearest(insn);
        if (form is null) return Unknown(insn);
        string d = Register(form, insn.Dst), s = Register(form, insn.Src);
        return form.Row.Syntax switch
        {
            InsnSyntax.Binary => $"{d} {form.Row.Mnemonic} {(form.IsRegisterForm ? s : Number(insn.Imm))}",
            InsnSyntax.Negate => $"{d} = -{d}",
            InsnSyntax.MoveSignExtended => $"{d} = (s{insn.Off}){s}",
            InsnSyntax.AddrSpaceCast => $"{d} = addr_space_cast({s}, {(uint)insn.Imm >> 16}, {(ushort)insn.Imm})",
            InsnSyntax.MovePercpu => $"{d} = &(void __percpu *)({s})",
            InsnSyntax.Swap => $"{d} = {form.Row.Mnemonic}{insn.Imm} {d}",
            InsnSyntax.Goto => $"{form.Row.Mnemonic} pc{Signed(form.Off.Use == FieldUse.Target ? insn.Off : insn.Imm)}",
            InsnSyntax.MayGoto => insn.Src == 0 ? $"may_goto pc{Signed(insn.Off)}"
                : $"if {d} (null) 0x{insn.Imm:x} goto pc{Signed(insn.Off)}",
            InsnSyntax.Branch => $"if {d} {form.Row.Mnemonic} {(form.IsRegisterForm ? s : $"0x{insn.Imm:x}")} goto pc{Signed(insn.Off)}",
            InsnSyntax.Call => Call(form, insn, slot, names),
            InsnSyntax.Exit => "exit",
            InsnSyntax.Load64 => $"r{insn.Dst} = {Load64(insn, slot + 1 < insns.Length ? insns[slot + 1] : default, slot, names)}",
            InsnSyntax.Packet => form.Row.Op == InsnOp.LdAbs
                ? $"r0 = *({Type(insn)} *)skb[{insn.Imm}]" : $"r0 = *({Type(insn)} *)skb[r{insn.Src} + {insn.Imm}]",
            InsnSyntax.Load => $"r{insn.Dst} = *({Type(insn)} *)(r{insn.Src} {Signed(insn.Off)})",
            InsnSyntax.Store => $"*({Type(insn)} *)(r{insn.Dst} {Signed(insn.Off)}) = {(insn.Class == InsnClass.St ? Number(insn.Imm) : $"r{insn.Src}")}",
            InsnSyntax.AtomicPlain => $"lock *({Type(insn)} *)(r{insn.Dst} {Signed(insn.Off)}) {form.Row.Mnemonic} r{insn.Src}",
            InsnSyntax.AtomicFetch => $"r{insn.Src} = atomic{Wide(insn)}_{form.Row.Mnemonic}({Place(insn, insn.Dst)}, r{insn.Src})",
            InsnSyntax.AtomicCompare => $"r0 = atomic{Wide(insn)}_cmpxchg({Place(insn, insn.Dst)}, r0, r{insn.Src})",
            InsnSyntax.LoadAcquire => $"r{insn.Dst} = load_acquire({Place(insn, insn.Src)})",
            InsnSyntax.StoreRelease => $"store_release({Place(insn, insn.Dst)}, r{insn.Src})",
            _ => Unknown(insn),
        };
    }

    /// <summary>
    /// All instructions, a line each, as <c>bpftool prog dump xlated</c> prints them: <c>   0: (b7) r0 = 0</c>;
    /// the second halves of 64-bit loads have no line.
    /// </summary>
    /// <param name="insns">The program.</param>
    /// <param name="opcodes">Adds to each a line with the instruction's bytes.</param>
    /// <param name="names">Names for numbers.</param>
    public static IEnumerable<string> Dump(Insn[] insns, bool opcodes = false, InsnNames? names = null)
    {
        for (int slot = 0; slot < insns.Length; slot++)
        {
            yield return $"{slot,4}: {Line(insns, slot, names)}";
            int slots = insns[slot].IsLdImm64 && slot + 1 < insns.Length ? 2 : 1;
            if (opcodes)
            {
                byte[] bytes = Insn.ToBytes(insns.AsSpan(slot, slots));
                yield return "       " + string.Join(' ', bytes.Select(b => b.ToString("x2", CultureInfo.InvariantCulture)));
            }

            slot += slots - 1;
        }
    }

    /// <summary>The form whose text the kernel prints for an instruction with a bad selector field; null where it prints BUG.</summary>
    private static InsnForm? Nearest(Insn insn)
    {
        ReadOnlySpan<InsnForm> forms = InsnTable.WithCode(insn.Code);
        if (forms.IsEmpty) return null;
        // Atomics of 8 and 16 bits are printed although they do not exist.
        if (insn.Class == InsnClass.Stx) return InsnTable.Find(new Insn(insn.Code | (byte)MemSize.Dw, insn.Dst, insn.Src, insn.Off, insn.Imm));
        if (insn.Class == InsnClass.Alu64 && insn.Off == -1 && forms[0].Row.Op == InsnOp.Mov && forms[0].IsRegisterForm)
            return InsnTable.PercpuAddress;
        foreach (InsnForm form in forms)
        {
            if (form.Row.Syntax is InsnSyntax.AddrSpaceCast && form.Off.Allows(insn.Off)) return form;
            if (form.Row.Syntax is InsnSyntax.MoveSignExtended && form.Row.Off.Allows(insn.Off)) return form;
        }

        return forms[0];
    }

    private static string Call(InsnForm form, Insn insn, int slot, InsnNames names) => form.Row.Op switch
    {
        InsnOp.CallLocal => $"call {names.LocalCall(slot, insn) ?? $"pc{Signed(insn.Imm)}"}",
        InsnOp.CallKfunc => $"call {names.Kfunc(insn.Imm, insn.Off) ?? "kernel-function"}#{insn.Imm}",
        _ => $"call {(insn.Src == 0 ? names.Helper(insn.Imm) : null) ?? "unknown"}#{insn.Imm}",
    };

    private static string Load64(Insn first, Insn second, int slot, InsnNames names)
    {
        ulong value = ((ulong)(uint)second.Imm << 32) | (uint)first.Imm;
        if (first.Src == (int)PseudoSource.Imm64) return $"0x{value:x}";
        return names.Load64(slot, first, second) ?? (PseudoSource)first.Src switch
        {
            PseudoSource.MapFd => $"map[id:{(uint)first.Imm}]",
            PseudoSource.MapValue => $"map[id:{(uint)first.Imm}][0]+{(uint)second.Imm}",
            PseudoSource.MapIdx => $"map[idx:{(uint)first.Imm}]",
            PseudoSource.MapIdxValue => $"map[idx:{(uint)first.Imm}][0]+{(uint)second.Imm}",
            PseudoSource.Func => $"subprog[{Signed(first.Imm + 1)}]",
            PseudoSource.BtfId => second.Imm == 0 ? $"btf_id[{(uint)first.Imm}]" : $"btf_id[{(uint)first.Imm}:{(uint)second.Imm}]",
            _ => $"0x{value:x}",
        };
    }

    private static string Unknown(Insn insn) => insn.Class switch
    {
        InsnClass.Ld => $"BUG_ld_{insn.Code:x2}",
        InsnClass.Ldx => $"BUG_ldx_{insn.Code:x2}",
        InsnClass.St => $"BUG_st_{insn.Code:x2}",
        InsnClass.Alu64 => $"BUG_alu64_{insn.Code:x2}",
        InsnClass.Alu => $"BUG_alu_{insn.Code:x2}",
        _ => $"BUG_{insn.Code:x2}",
    };

    private static string Register(InsnForm form, int number) =>
        form.Class is InsnClass.Alu or InsnClass.Jmp32 && form.Row.Syntax != InsnSyntax.Swap ? $"w{number}" : $"r{number}";

    private static string Type(Insn insn)
    {
        bool signed = insn.Class == InsnClass.Ldx && insn.Mode == MemMode.MemSx;
        return $"{(signed ? 's' : 'u')}{insn.SizeBytes * 8}";
    }

    private static string Place(Insn insn, int register) => $"({Type(insn)} *)(r{register} {Signed(insn.Off)})";

    private static string Wide(Insn insn) => insn.Size == MemSize.Dw ? "64" : "";

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Signed(int value) => value.ToString("+0;-0;+0", CultureInfo.InvariantCulture);
}
