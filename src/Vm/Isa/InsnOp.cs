namespace BpfSim.Vm.Isa;

/// <summary>
/// What an instruction does, apart from how it is encoded: signed division, sign-extending moves and the
/// atomic operations, which share an opcode and differ in off or imm, are operations of their own here.
/// Width (32 or 64 bits), operand source and access size are not part of it.
/// </summary>
public enum InsnOp : byte
{
    Unknown,
    Add, Sub, Mul, Div, SDiv, Or, And, Lsh, Rsh, Arsh, Neg, Mod, SMod, Xor, Mov, MovSx, AddrSpaceCast, MovPercpu,
    ToLe, ToBe, Bswap,
    Ja, JaLong, Jeq, Jgt, Jge, Jset, Jne, Jsgt, Jsge, Jlt, Jle, Jslt, Jsle, MayGoto,
    CallHelper, CallLocal, CallKfunc, Exit,
    LdImm64, LdAbs, LdInd, Ldx, LdxSx, St, Stx,
    AtomicAdd, AtomicOr, AtomicAnd, AtomicXor,
    AtomicFetchAdd, AtomicFetchOr, AtomicFetchAnd, AtomicFetchXor, AtomicXchg, AtomicCmpxchg,
    LoadAcquire, StoreRelease,
}

/// <summary>How the text of an instruction is built, in the kernel's syntax.</summary>
public enum InsnSyntax : byte
{
    /// <summary><c>r1 += r2</c>, <c>w1 s/= 7</c>, <c>r1 = 33</c>: destination, mnemonic, operand.</summary>
    Binary,
    /// <summary><c>r1 = -r1</c></summary>
    Negate,
    /// <summary><c>r1 = (s8)r2</c></summary>
    MoveSignExtended,
    /// <summary><c>r1 = addr_space_cast(r2, 0, 1)</c></summary>
    AddrSpaceCast,
    /// <summary><c>r1 = &amp;(void __percpu *)(r2)</c></summary>
    MovePercpu,
    /// <summary><c>r1 = be16 r1</c></summary>
    Swap,
    /// <summary><c>goto pc+1</c></summary>
    Goto,
    /// <summary><c>if r1 s&gt; 0x5 goto pc+3</c></summary>
    Branch,
    /// <summary><c>may_goto pc+1</c></summary>
    MayGoto,
    /// <summary><c>call bpf_trace_printk#6</c>, <c>call pc+2</c></summary>
    Call,
    /// <summary><c>exit</c></summary>
    Exit,
    /// <summary><c>r1 = 0x1122334455667788</c>, <c>r1 = map[id:38]</c></summary>
    Load64,
    /// <summary><c>r0 = *(u16 *)skb[12]</c>, <c>r0 = *(u8 *)skb[r2 + 3]</c></summary>
    Packet,
    /// <summary><c>r1 = *(s8 *)(r2 +4)</c></summary>
    Load,
    /// <summary><c>*(u32 *)(r10 -4) = r1</c>, <c>*(u32 *)(r10 -4) = 7</c></summary>
    Store,
    /// <summary><c>lock *(u64 *)(r1 +0) += r2</c></summary>
    AtomicPlain,
    /// <summary><c>r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)</c></summary>
    AtomicFetch,
    /// <summary><c>r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)</c></summary>
    AtomicCompare,
    /// <summary><c>r2 = load_acquire((u64 *)(r1 +0))</c></summary>
    LoadAcquire,
    /// <summary><c>store_release((u64 *)(r1 +0), r2)</c></summary>
    StoreRelease,
}

/// <summary>The conformance groups of RFC 9669, section 2.4.</summary>
[Flags]
public enum ConformanceGroup
{
    None = 0,
    Base32 = 1,
    Base64 = 2,
    Atomic32 = 4,
    Atomic64 = 8,
    Divmul32 = 16,
    Divmul64 = 32,
    Packet = 64,
    /// <summary>Not in the RFC: Linux's own instructions.</summary>
    Linux = 128,
}

/// <summary>What one field of an instruction holds.</summary>
public enum FieldUse : byte
{
    /// <summary>Reserved: must be 0.</summary>
    Zero,
    /// <summary>Reserved by the RFC, but Linux looks at it nowhere.</summary>
    Ignored,
    /// <summary>A register that is read.</summary>
    Read,
    /// <summary>A register that is written.</summary>
    Write,
    /// <summary>A register that is read, then written.</summary>
    ReadWrite,
    /// <summary>A register that holds the address of a memory access.</summary>
    Base,
    /// <summary>Any number.</summary>
    Value,
    /// <summary>A shift: at least 0 and less than the operation's width.</summary>
    Shift,
    /// <summary>A divisor: not 0.</summary>
    Divisor,
    /// <summary>Bytes added to the base address.</summary>
    Displacement,
    /// <summary>A jump distance in slots from the next instruction.</summary>
    Target,
    /// <summary>One of a few values, which together with the opcode byte select the operation or a property of it.</summary>
    Selector,
}

/// <summary>The rule of one field of an instruction.</summary>
/// <param name="Use">What the field holds.</param>
/// <param name="Values">The values that a <see cref="FieldUse.Selector"/> may have, else empty.</param>
public readonly record struct FieldRule(FieldUse Use, int[] Values)
{
    /// <summary>A rule without a list of values.</summary>
    public static implicit operator FieldRule(FieldUse use) => new(use, []);

    /// <summary>A field that must have one of these values.</summary>
    public static FieldRule OneOf(params int[] values) => new(FieldUse.Selector, values);

    /// <summary>Whether a value keeps the reserved-field rule; shifts and divisors are checked apart.</summary>
    public bool Allows(int value) => Use switch
    {
        FieldUse.Zero => value == 0,
        FieldUse.Selector => Array.IndexOf(Values, value) >= 0,
        _ => true,
    };

    /// <summary>Whether the field names a register.</summary>
    public bool IsRegister => Use is FieldUse.Read or FieldUse.Write or FieldUse.ReadWrite or FieldUse.Base;
}
