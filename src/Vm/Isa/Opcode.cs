namespace BpfSim.Vm.Isa;

/// <summary>
/// The eight instruction classes: the low three bits of an opcode (RFC 9669, section 3).
/// <code>
/// +-+-+-+-+-+-+-+-+
/// |specific | cls |
/// +-+-+-+-+-+-+-+-+
/// </code>
/// </summary>
public enum InsnClass : byte { Ld = 0, Ldx = 1, St = 2, Stx = 3, Alu = 4, Jmp = 5, Jmp32 = 6, Alu64 = 7 }

/// <summary>Whether the second operand is the immediate (K) or a register (X): bit 3 of arithmetic and jumps.</summary>
public enum OperandSource : byte { K = 0x00, X = 0x08 }

/// <summary>The operation of arithmetic classes: the high four bits (RFC 9669, section 4.1).</summary>
public enum AluOp : byte
{
    Add = 0x00, Sub = 0x10, Mul = 0x20, Div = 0x30, Or = 0x40, And = 0x50, Lsh = 0x60, Rsh = 0x70,
    Neg = 0x80, Mod = 0x90, Xor = 0xa0, Mov = 0xb0, Arsh = 0xc0, End = 0xd0,
}

/// <summary>The operation of jump classes: the high four bits (RFC 9669, section 4.3; 0xe0 is Linux's may_goto).</summary>
public enum JmpOp : byte
{
    Ja = 0x00, Jeq = 0x10, Jgt = 0x20, Jge = 0x30, Jset = 0x40, Jne = 0x50, Jsgt = 0x60, Jsge = 0x70,
    Call = 0x80, Exit = 0x90, Jlt = 0xa0, Jle = 0xb0, Jslt = 0xc0, Jsle = 0xd0, Jcond = 0xe0,
}

/// <summary>Width of a memory access: bits 3 and 4 of loads and stores (RFC 9669, section 5).</summary>
public enum MemSize : byte { W = 0x00, H = 0x08, B = 0x10, Dw = 0x18 }

/// <summary>
/// Mode of a memory access: the high three bits of loads and stores (RFC 9669, section 5).
/// <see cref="ProbeMem"/> and <see cref="ProbeMemSx"/> never stand in a user's program; the verifier puts
/// them where a load goes through a kernel pointer that may be bad and must then read 0.
/// </summary>
public enum MemMode : byte
{
    Imm = 0x00, Abs = 0x20, Ind = 0x40, Mem = 0x60, MemSx = 0x80, Atomic = 0xc0,
    ProbeMem = 0x20, ProbeMemSx = 0x40, ProbeMem32Sx = 0xc0, ProbeAtomic = 0xe0,
}

/// <summary>What the immediate of a 16-byte load means: its source register field (RFC 9669, section 5.4).</summary>
public enum PseudoSource : byte { Imm64 = 0, MapFd = 1, MapValue = 2, BtfId = 3, Func = 4, MapIdx = 5, MapIdxValue = 6 }

/// <summary>What a call instruction calls: its source register field.</summary>
public enum CallKind : byte { Helper = 0, Local = 1, Kfunc = 2 }
