using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>What a reference in an instruction waits for.</summary>
internal enum FixupKind
{
    None,
    /// <summary>A label whose distance goes into off.</summary>
    JumpOff,
    /// <summary>A label whose distance goes into imm.</summary>
    JumpImm,
    /// <summary>A function that is called.</summary>
    Call,
    /// <summary>A kernel function that is called by name.</summary>
    Kfunc,
    /// <summary>A map, in a 64-bit load.</summary>
    Map,
    /// <summary>A map's value, in a 64-bit load.</summary>
    MapValue,
    /// <summary>A function or data symbol, in a 64-bit load.</summary>
    Symbol,
}

/// <summary>One translated instruction: one slot or two, and what it still refers to by name.</summary>
internal readonly record struct ParsedInsn(Insn First, Insn? Second = null, FixupKind Fixup = FixupKind.None, string Name = "", int Column = 0);

/// <summary>
/// Translates one instruction of the kernel's syntax (what <see cref="Disassembler"/> prints) and of LLVM's,
/// where the two differ in spaces, <c>ll</c> suffixes and the names of atomics. Where the text alone does not
/// tell a move from a 64-bit load, the kernel's spelling does: a hexadecimal constant is a 64-bit load, a
/// decimal one that fits is a move; an opcode in front, as in <c>(b7) r1 = 0x21</c>, overrules it.
/// </summary>
internal sealed class InsnParser(HelperTable helpers)
{
    private static readonly InsnRow[] Assignments = BySyntax(InsnSyntax.Binary);
    private static readonly InsnRow[] Conditions = BySyntax(InsnSyntax.Branch);
    private static readonly InsnRow[] Swaps = BySyntax(InsnSyntax.Swap);
    private static readonly InsnRow[] PlainAtomics = BySyntax(InsnSyntax.AtomicPlain);
    private static readonly InsnRow[] FetchAtomics = BySyntax(InsnSyntax.AtomicFetch);

    public ParsedInsn Parse(LineScanner line)
    {
        int mark = line.Mark();
        byte? code = Opcode(line);
        ParsedInsn parsed = Statement(line, code);
        line.End();
        if (code is { } wanted && wanted != parsed.First.Code)
            throw line.Error($"the opcode ({wanted:x2}) does not fit the text, which is ({parsed.First.Code:x2})", mark);
        return parsed;
    }

    private ParsedInsn Statement(LineScanner line, byte? code)
    {
        if (line.Eat("exit")) return new(InsnTable.Find(InsnOp.Exit, InsnClass.Jmp)!.Build());
        if (line.Eat("gotol")) return Jump(line, InsnTable.Find(InsnOp.JaLong, InsnClass.Jmp32)!, 0, 0, 0);
        if (line.Eat("goto")) return Jump(line, InsnTable.Find(InsnOp.Ja, InsnClass.Jmp)!, 0, 0, 0);
        if (line.Eat("may_goto")) return Jump(line, InsnTable.Find(InsnOp.MayGoto, InsnClass.Jmp)!, 0, 0, 0);
        if (line.Eat("if")) return Branch(line);
        if (line.Eat("call")) return Call(line);
        if (line.Eat("lock")) return PlainAtomic(line);
        if (line.Eat("store_release")) return StoreRelease(line);
        if (line.Eat("*")) return Store(line);
        return Assignment(line, code);
    }

    private static ParsedInsn Assignment(LineScanner line, byte? code)
    {
        int mark = line.Mark();
        if (!line.TryRegister(out int dst, out bool half)) throw line.Error($"unknown instruction '{line.Rest()}'");
        InsnRow? row = Assignments.FirstOrDefault(r => line.Eat(r.Mnemonic))
            ?? throw line.Error(line.AtEnd ? "expected an operator, found the end of the line" : $"unknown operator at '{line.Rest()}'");
        InsnClass cls = half ? InsnClass.Alu : InsnClass.Alu64;
        if (row.Op == InsnOp.Mov) return Move(line, dst, half, code, mark);
        if (line.TryRegister(out int src, out bool srcHalf))
        {
            SameWidth(line, half, srcHalf);
            return new(InsnTable.Find(row.Op, cls, register: true)!.Build(dst, src));
        }

        return new(InsnTable.Find(row.Op, cls)!.Build(dst, imm: Immediate(line)));
    }

    private static ParsedInsn Move(LineScanner line, int dst, bool half, byte? code, int mark)
    {
        InsnClass cls = half ? InsnClass.Alu : InsnClass.Alu64;
        int at = line.Mark();
        if (line.Eat("-") && line.TryRegister(out int negated, out bool negatedHalf))
        {
            SameWidth(line, half, negatedHalf);
            if (negated != dst) throw line.Error("a negation has the same register on both sides", at);
            return new(InsnTable.Find(InsnOp.Neg, cls)!.Build(dst));
        }

        line.Reset(at);
        if (line.Eat("("))
        {
            string? type = line.Name();
            int bits = type switch { "s8" => 8, "s16" => 16, "s32" => 32, _ => throw line.Error("expected (s8), (s16) or (s32)", at) };
            line.Expect(")");
            int from = line.Register(out bool fromHalf);
            SameWidth(line, half, fromHalf);
            InsnForm form = InsnTable.Find(InsnOp.MovSx, cls)!;
            return form.Off.Allows(bits) ? new(form.Build(dst, from, bits)) : throw line.Error($"no move extends s{bits} here", at);
        }

        foreach (InsnRow swap in Swaps)
        {
            foreach (int bits in swap.Imm.Values)
            {
                if (!line.Eat(swap.Mnemonic + bits)) continue;
                if (line.Register(out _) != dst) throw line.Error("a byte swap has the same register on both sides", at);
                return new(InsnTable.Find(swap.Op, swap.Classes[0])!.Build(dst, imm: bits));
            }
        }

        if (line.Eat("*")) return Load(line, dst);
        if (line.Eat("load_acquire"))
        {
            (MemSize size, int from, int off) = Place(line, closed: true);
            return new(InsnTable.Find(InsnOp.LoadAcquire, size)!.Build(dst, from, off));
        }

        if (line.Eat("addr_space_cast(")) return Cast(line, dst);
        if (FetchAtomic(line, dst) is { } atomic) return atomic;
        if (line.TryRegister(out int src, out bool srcHalf))
        {
            SameWidth(line, half, srcHalf);
            return new(InsnTable.Find(InsnOp.Mov, cls, register: true)!.Build(dst, src));
        }

        if (Reference(line, dst) is { } reference)
            return half ? throw line.Error("a 64-bit load needs a register r0 to r10", mark) : reference;
        return Constant(line, dst, half, code);
    }

    private static ParsedInsn Constant(LineScanner line, int dst, bool half, byte? code)
    {
        int at = line.Mark();
        if (!line.TryNumber(out ulong value, out bool negative, out bool hex)) throw line.Error(line.AtEnd ? "expected a value, found the end of the line" : $"expected a register, number or reference, found '{line.Rest()}'");
        bool suffix = line.Eat("ll");
        bool fitsMove = negative ? value <= 1UL << 31 : value <= (hex || half ? uint.MaxValue : int.MaxValue);
        bool load = code is null ? suffix || (!half && (hex || !fitsMove)) : code == 0x18;
        if (half && load) throw line.Error("a 64-bit load needs a register r0 to r10", at);
        if (!load && !fitsMove) throw line.Error("the constant does not fit in 32 bits", at);
        ulong bits = negative ? (ulong)-(long)value : value;
        if (!load) return new(InsnTable.Find(InsnOp.Mov, half ? InsnClass.Alu : InsnClass.Alu64)!.Build(dst, imm: (int)(uint)bits));
        return Load64(dst, PseudoSource.Imm64, (uint)bits, (uint)(bits >> 32));
    }

    /// <summary>The right side of a 64-bit load that names something: <c>map[…]</c>, <c>subprog[…]</c>, <c>btf_id[…]</c>, <c>&amp;symbol</c>.</summary>
    private static ParsedInsn? Reference(LineScanner line, int dst)
    {
        int at = line.Mark();
        if (line.Eat("&"))
        {
            string symbol = line.Name() ?? throw line.Error("expected the name of a function or of data");
            long addend = line.AtEnd ? 0 : line.Number(int.MinValue, int.MaxValue, "an offset");
            line.Eat("ll");
            return Load64(dst, PseudoSource.Func, (uint)addend, 0) with { Fixup = FixupKind.Symbol, Name = symbol, Column = at + 1 };
        }

        if (line.Eat("subprog["))
        {
            long distance = line.Number(int.MinValue + 1L, int.MaxValue, "a distance");
            line.Expect("]");
            return Load64(dst, PseudoSource.Func, (uint)(distance - 1), 0);
        }

        if (line.Eat("btf_id["))
        {
            long id = line.Number(0, uint.MaxValue, "a BTF id"), btf = line.Eat(":") ? line.Number(0, uint.MaxValue, "a BTF object") : 0;
            line.Expect("]");
            return Load64(dst, PseudoSource.BtfId, (uint)id, (uint)btf);
        }

        if (!line.Eat("map[")) return null;
        bool byId = line.Eat("id:") || line.Eat("fd:"), byIndex = !byId && line.Eat("idx:");
        long number = byId || byIndex ? line.Number(0, uint.MaxValue, "a map's number") : 0;
        string? name = byId || byIndex ? null : line.Name() ?? throw line.Error("expected the name of a map");
        line.Expect("]");
        bool value = line.Eat("[0]");
        long off = value && !line.AtEnd ? line.Number(0, uint.MaxValue, "an offset") : 0;
        line.Eat("ll");
        PseudoSource source = (byIndex, value) switch
        {
            (true, true) => PseudoSource.MapIdxValue,
            (true, false) => PseudoSource.MapIdx,
            (false, true) => PseudoSource.MapValue,
            _ => PseudoSource.MapFd,
        };
        ParsedInsn load = Load64(dst, source, (uint)number, (uint)off);
        return name is null ? load : load with { Fixup = value ? FixupKind.MapValue : FixupKind.Map, Name = name, Column = at + 1 };
    }

    private static ParsedInsn Load64(int dst, PseudoSource source, uint low, uint high) =>
        new(InsnTable.Find(InsnOp.LdImm64, MemSize.Dw)!.Build(dst, (int)source, 0, (int)low), new Insn(0, 0, 0, 0, (int)high));

    private static ParsedInsn Load(LineScanner line, int dst)
    {
        (MemSize size, bool signed) = AccessType(line);
        if (line.Eat("skb["))
        {
            if (dst != 0) throw line.Error("a packet load always goes to r0");
            bool indirect = line.TryRegister(out int index, out _);
            if (indirect && !line.Eat("+ -")) line.Eat("+");
            else if (indirect) line.Reset(line.Mark() - 1);
            int displacement = 0;
            if (!indirect || !line.Eat("]"))
            {
                displacement = Immediate(line);
                line.Expect("]");
            }

            InsnForm packet = InsnTable.Find(indirect ? InsnOp.LdInd : InsnOp.LdAbs, size) ?? throw line.Error("packet loads have at most 32 bits");
            return new(packet.Build(0, index, 0, displacement));
        }

        (int from, int off) = Address(line);
        InsnForm form = InsnTable.Find(signed ? InsnOp.LdxSx : InsnOp.Ldx, size) ?? throw line.Error("there is no sign-extending load of 64 bits");
        return new(form.Build(dst, from, off));
    }

    private static ParsedInsn Store(LineScanner line)
    {
        int at = line.Mark();
        (MemSize size, bool signed) = AccessType(line);
        if (signed) throw line.Error("a store has an unsigned type", at);
        (int to, int off) = Address(line);
        line.Expect("=");
        return line.TryRegister(out int src, out _)
            ? new(InsnTable.Find(InsnOp.Stx, size)!.Build(to, src, off))
            : new(InsnTable.Find(InsnOp.St, size)!.Build(to, 0, off, Immediate(line)));
    }

    private static ParsedInsn PlainAtomic(LineScanner line)
    {
        line.Expect("*");
        (MemSize size, _) = AccessType(line);
        (int to, int off) = Address(line);
        InsnRow row = PlainAtomics.FirstOrDefault(r => line.Eat(r.Mnemonic)) ?? throw line.Error($"unknown atomic operator at '{line.Rest()}'");
        return new(AtomicForm(line, row.Op, size).Build(to, line.Register(out _), off));
    }

    private static ParsedInsn? FetchAtomic(LineScanner line, int dst)
    {
        int start = line.Mark();
        string? name = line.Name();
        InsnRow? row = name is null ? null : FetchAtomics.FirstOrDefault(r => IsAtomicName(name, r.Mnemonic));
        bool compare = name is not null && IsAtomicName(name, "cmpxchg");
        if (row is null && !compare)
        {
            line.Reset(start);
            return null;
        }

        MemSize implied = name!.EndsWith("32_32", StringComparison.Ordinal) ? MemSize.W : MemSize.Dw;
        (MemSize size, int to, int off) = Place(line, closed: false, implied);
        line.Expect(",");
        int at = line.Mark();
        int src = line.Register(out _);
        if (compare)
        {
            if (src != 0 || dst != 0) throw line.Error("cmpxchg compares with r0 and returns in r0", at);
            line.Expect(",");
            src = line.Register(out _);
            line.Expect(")");
            return new(AtomicForm(line, InsnOp.AtomicCmpxchg, size).Build(to, src, off));
        }

        line.Expect(")");
        if (src != dst) throw line.Error("an atomic operation returns the old value in its operand register", at);
        return new(AtomicForm(line, row!.Op, size).Build(to, src, off));
    }

    /// <summary>The kernel writes <c>atomic64_fetch_add</c>; LLVM <c>atomic_fetch_add</c>, <c>xchg_64</c>, <c>cmpxchg32_32</c>.</summary>
    private static bool IsAtomicName(string name, string operation) =>
        name == $"atomic_{operation}" || name == $"atomic64_{operation}" || name == $"{operation}_64" || name == $"{operation}32_32";

    private static InsnForm AtomicForm(LineScanner line, InsnOp op, MemSize size) =>
        InsnTable.Find(op, size) ?? throw line.Error("atomic operations have 32 or 64 bits");

    private static ParsedInsn StoreRelease(LineScanner line)
    {
        (MemSize size, int to, int off) = Place(line, closed: false);
        line.Expect(",");
        int src = line.Register(out _);
        line.Expect(")");
        return new(InsnTable.Find(InsnOp.StoreRelease, size)!.Build(to, src, off));
    }

    private static ParsedInsn Cast(LineScanner line, int dst)
    {
        int src = line.Register(out _);
        line.Expect(",");
        long to = line.Number(0, ushort.MaxValue, "an address space");
        line.Expect(",");
        long from = line.Number(0, ushort.MaxValue, "an address space");
        line.Expect(")");
        return new(InsnTable.Find(InsnOp.AddrSpaceCast, InsnClass.Alu64)!.Build(dst, src, 0, (int)((to << 16) | from)));
    }

    private static ParsedInsn Branch(LineScanner line)
    {
        int left = line.Register(out bool half);
        InsnRow row = Conditions.FirstOrDefault(r => line.Eat(r.Mnemonic)) ?? throw line.Error($"unknown comparison at '{line.Rest()}'");
        InsnClass cls = half ? InsnClass.Jmp32 : InsnClass.Jmp;
        bool register = line.TryRegister(out int right, out bool rightHalf);
        if (register) SameWidth(line, half, rightHalf);
        int imm = register ? 0 : Immediate(line);
        line.Expect("goto");
        return Jump(line, InsnTable.Find(row.Op, cls, register)!, left, right, imm);
    }

    private static ParsedInsn Jump(LineScanner line, InsnForm form, int dst, int src, int imm)
    {
        bool inImm = form.Imm.Use == FieldUse.Target;
        int at = line.Mark();
        line.Eat("pc");
        if (line.AtEnd) throw line.Error("expected a jump target, found the end of the line");
        if (line.TryNumber(out _, out _, out _))
        {
            line.Reset(at);
            line.Eat("pc");
            int distance = (int)line.Number(inImm ? int.MinValue : short.MinValue, inImm ? int.MaxValue : short.MaxValue, "a jump distance");
            return new(inImm ? form.Build(dst, src, 0, distance) : form.Build(dst, src, distance, imm));
        }

        line.Reset(at);
        string label = line.Name() ?? throw line.Error($"expected a jump target, found '{line.Rest()}'");
        return new(form.Build(dst, src, 0, imm), null, inImm ? FixupKind.JumpImm : FixupKind.JumpOff, label, at + 1);
    }

    private ParsedInsn Call(LineScanner line)
    {
        int at = line.Mark();
        InsnForm local = InsnTable.Find(InsnOp.CallLocal, InsnClass.Jmp)!, helper = InsnTable.Find(InsnOp.CallHelper, InsnClass.Jmp)!;
        if (line.Eat("pc"))
        {
            int distance = (int)line.Number(int.MinValue, int.MaxValue, "a call distance");
            if (line.Eat("#")) line.Name();
            return new(local.Build(imm: distance));
        }

        if (line.Eat("#") || line.TryNumber(out _, out _, out _))
        {
            line.Reset(at);
            line.Eat("#");
            return new(helper.Build(imm: (int)line.Number(int.MinValue, uint.MaxValue, "a helper's number")));
        }

        // The kernel's stand-in for a kfunc without a name is no name in the assembler's sense.
        string? name = line.Eat("kernel-function") ? "kernel-function" : line.Name();
        if (name is null) throw line.Error($"expected what to call, found '{line.Rest()}'");
        HelperPrototype? known = helpers.Find(name) ?? helpers.Find("bpf_" + name);
        if (!line.Eat("#")) return known is not null ? new(helper.Build(imm: known.Id)) : new(local.Build(), null, FixupKind.Call, name, at + 1);
        int id = (int)line.Number(int.MinValue, uint.MaxValue, "a number");
        if (name == "unknown" || known?.Id == id) return new(helper.Build(imm: id));
        if (known is not null) throw line.Error($"{name} is helper {known.Id}, not {id}", at);
        // Without a helper table every bpf_ name with a number is taken for a helper, as in the kernel's logs.
        if (name != "kernel-function" && !helpers.Rows.Any()) return new(helper.Build(imm: id));
        return new(InsnTable.Find(InsnOp.CallKfunc, InsnClass.Jmp)!.Build(imm: id));
    }

    private static byte? Opcode(LineScanner line)
    {
        int at = line.Mark();
        if (line.TryNumber(out _, out _, out _) && !line.Eat(":")) line.Reset(at);
        at = line.Mark();
        if (!line.Eat("(")) return null;
        string digits = line.Rest();
        if (digits.Length >= 3 && digits[2] == ')' && byte.TryParse(digits.AsSpan(0, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte code))
        {
            line.Reset(line.Mark() + 3);
            return code;
        }

        throw line.Error($"'{line.Rest()}' is no opcode", at);
    }

    private static (MemSize Size, int Register, int Off) Place(LineScanner line, bool closed, MemSize implied = MemSize.Dw)
    {
        line.Expect("(");
        MemSize size = implied;
        if (line.Eat("("))
        {
            line.Reset(line.Mark() - 1);
            size = AccessType(line).Size;
            (int register, int off) = Address(line);
            if (closed) line.Expect(")");
            return (size, register, off);
        }

        int plain = line.Register(out _);
        int displacement = Displacement(line);
        if (closed) line.Expect(")");
        return (size, plain, displacement);
    }

    private static (MemSize Size, bool Signed) AccessType(LineScanner line)
    {
        line.Expect("(");
        int at = line.Mark();
        string? name = line.Name();
        bool signed = name?.Length > 1 && name[0] == 's';
        MemSize size = name switch
        {
            "u8" or "s8" => MemSize.B,
            "u16" or "s16" => MemSize.H,
            "u32" or "s32" => MemSize.W,
            "u64" or "s64" => MemSize.Dw,
            _ => throw line.Error($"unknown type '{name ?? line.Rest()}': u8, u16, u32, u64, s8, s16 or s32", at),
        };
        line.Expect("*");
        line.Expect(")");
        return (size, signed);
    }

    private static (int Register, int Off) Address(LineScanner line)
    {
        line.Expect("(");
        int register = line.Register(out _);
        int off = Displacement(line);
        line.Expect(")");
        return (register, off);
    }

    private static int Displacement(LineScanner line)
    {
        int at = line.Mark();
        if (!line.Eat("+") && !line.Eat("-")) return 0;
        line.Reset(at);
        return (int)line.Number(short.MinValue, short.MaxValue, "an offset");
    }

    private static int Immediate(LineScanner line) => (int)line.Number(int.MinValue, uint.MaxValue, "a number");

    private static void SameWidth(LineScanner line, bool left, bool right)
    {
        if (left != right) throw line.Error("both registers must be 64-bit (r) or 32-bit (w)");
    }

    private static InsnRow[] BySyntax(InsnSyntax syntax) =>
        [.. InsnTable.Rows.Where(r => r.Syntax == syntax).OrderByDescending(r => r.Mnemonic.Length)];
}
