namespace BpfSim.Vm.Jit.Emit;

/// <summary>The sixteen general registers by their encoding.</summary>
internal enum X86Register : byte { Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15, None = 255 }

/// <summary>Condition codes by their encoding (the low four bits of jcc, setcc, cmovcc).</summary>
internal enum X86Condition : byte
{
    Overflow, NoOverflow, Below, AboveEqual, Equal, NotEqual, BelowEqual, Above, Sign, NoSign, Parity, NoParity,
    Less, GreaterEqual, LessEqual, Greater,
}

/// <summary>The eight classic two-operand operations by their encoding (/digit, and bits 3 to 5 of the opcode).</summary>
internal enum X86Alu : byte { Add, Or, Adc, Sbb, And, Sub, Xor, Cmp }

/// <summary>Shifts by their /digit.</summary>
internal enum X86Shift : byte { Rol = 0, Ror = 1, Shl = 4, Shr = 5, Sar = 7 }

/// <summary>A memory operand: base + index * scale + displacement; without a base an absolute 32-bit address.</summary>
internal readonly record struct X86Memory(X86Register Base, int Disp, X86Register Index = X86Register.None, int Scale = 1);
