namespace BpfSim.Vm.Interpreter;

/// <summary>
/// What the loop distinguishes: an operation of the instruction table with width and source (K immediate, X
/// register). The numbers are dense, so that the loop's switch is one jump table; the decoder finds them by
/// name.
/// </summary>
internal enum Op : ushort
{
    Add64K, Add64X, Add32K, Add32X, Sub64K, Sub64X, Sub32K, Sub32X, Mul64K, Mul64X, Mul32K, Mul32X, Or64K, Or64X,
    Or32K, Or32X, And64K, And64X, And32K, And32X, Xor64K, Xor64X, Xor32K, Xor32X, Lsh64K, Lsh64X, Lsh32K, Lsh32X,
    Rsh64K, Rsh64X, Rsh32K, Rsh32X, Arsh64K, Arsh64X, Arsh32K, Arsh32X, Neg64, Neg32, Mov64K, Mov64X, Mov32K, Mov32X,
    MovSx8To64, MovSx16To64, MovSx32To64, MovSx8To32, MovSx16To32,

    Div64K, Mod64K, SDiv64K, SMod64K, Div32K, Mod32K, SDiv32K, SMod32K, Div64X, Mod64X, SDiv64X, SMod64X, Div32X,
    Mod32X, SDiv32X, SMod32X,

    Truncate16, Truncate32, Nop, Swap16, Swap32, Swap64,

    Ldx8, Ldx16, Ldx32, Ldx64, LdxSx8, LdxSx16, LdxSx32, Stx8, Stx16, Stx32, Stx64, St8, St16, St32, St64, LdImm64,

    Ja, Jeq64K, Jeq64X, Jeq32K, Jeq32X, Jne64K, Jne64X, Jne32K, Jne32X, Jgt64K, Jgt64X, Jgt32K, Jgt32X, Jge64K,
    Jge64X, Jge32K, Jge32X, Jlt64K, Jlt64X, Jlt32K, Jlt32X, Jle64K, Jle64X, Jle32K, Jle32X, Jsgt64K, Jsgt64X, Jsgt32K,
    Jsgt32X, Jsge64K, Jsge64X, Jsge32K, Jsge32X, Jslt64K, Jslt64X, Jslt32K, Jslt32X, Jsle64K, Jsle64X, Jsle32K,
    Jsle32X, Jset64K, Jset64X, Jset32K, Jset32X,

    ProbeLdx8, ProbeLdx16, ProbeLdx32, ProbeLdx64, ProbeLdxSx8, ProbeLdxSx16, ProbeLdxSx32,

    AtomicAdd32, AtomicAdd64, AtomicOr32, AtomicOr64, AtomicAnd32, AtomicAnd64, AtomicXor32, AtomicXor64,
    AtomicFetchAdd32, AtomicFetchAdd64, AtomicFetchOr32, AtomicFetchOr64, AtomicFetchAnd32, AtomicFetchAnd64,
    AtomicFetchXor32, AtomicFetchXor64, AtomicXchg32, AtomicXchg64, AtomicCmpxchg32, AtomicCmpxchg64, LoadAcquire8,
    LoadAcquire16, LoadAcquire32, LoadAcquire64, StoreRelease8, StoreRelease16, StoreRelease32, StoreRelease64,

    MayGoto, CallHelper, CallMissing, CallLocal, TailCall, Exit, LdAbs, LdInd,

    // Sequences: InsnDecoder finds them by these names.
    Mov64X_Add64K, Mov64X_Add64X, Mov64X_And64K, Mov64X_Lsh64K, Mov64X_Rsh64K, Mov64X_Xor64X, Mov64X_Mul64K,
    Mov64X_Sub64X, Mov64X_Or64X, Mov64X_Mov64X, Xor64X_Mov64X, Add64X_Mov64X, And64K_Mov64X, Or64X_Mov64X,
    Add64K_Mov64X, Rsh64K_Mov64X, Lsh64K_Xor64X, Lsh64K_Rsh64K, Lsh64K_Arsh64K, Lsh64K_Or64X, Lsh64K_Add64X,
    Rsh64K_Xor64X, Rsh64K_And64K, And64K_Add64X, Mul64K_Add64K, Add64K_Add64K, Mul64X_Add64X, Add64K_Jne64K,
    Add64K_Jeq64K, Add64K_Jgt64K, Add64K_Jne64X, Add64K_Jlt64X, Add64K_Jgt64X, Add64K_Ja, And64K_Jeq64K,
    And64K_Jne64K, Mov64X_Jgt64K, Mov64X_Jeq64K, Mov64X_Ja, Rsh64K_Ja, Sub64K_Jne64K, Ldx64_Add64X, Ldx64_Add64K,
    Ldx64_Mov64X, Ldx8_Add64X, Ldx8_Xor64X, Ldx8_Jeq64K, Ldx8_Jne64K, Ldx32_Add64X, Ldx32_Jne64K, Ldx32_Jeq64K,
    Ldx32_Jgt64X, Add64K_Stx64, Add64X_Ldx64, Add64X_Ldx32, Add64X_Ldx8, Mov32X_Add32K, Mov32X_And32K, Mov32X_Lsh32K,
    Mov32X_Rsh32K, Mov32X_Xor32X, Mov32X_Neg32, Lsh32K_Xor32X, Rsh32K_Xor32X, And32K_Jne32K, And32K_Jeq32K,
    And32K_Neg32, Add32K_Jne32K, Add32K_Jne32X, Add32K_Ja, Xor32X_Mov32X, And64K_Neg64, Neg64_And64K, Neg64_And64X,
    Neg32_And32K, And32K_Xor32X, And32X_Xor32X, Mov64X_Lsh64K_Xor64X, Mov64X_Rsh64K_Xor64X, Lsh64K_Rsh64K_Lsh64K,
    Ldx64_Add64K_Stx64, Mov32X_Lsh32K_Xor32X, Mov32X_Rsh32K_Xor32X, Mov64X_And64K_Jeq64K, Mov64X_And64K_Jne64K,
    Lsh64K_Rsh64K_Jne64K,
    Add32K_Jeq32K, Add32K_Jeq32K_Ja, Add64K_Jeq64K_Ja, Jeq32K_Ja, Jeq64K_Ja, Jne32K_Ja, Jne64K_Ja, Mov64X_Jeq32K,
    Mov64X_Jeq32K_Ja, And64K_Jeq64K_Ja, Mov64X_Add64K_Add64X, Add64X_Add64K, Lsh64K_Mov64X, Mov64X_Lsh64K_Mov64X,
    Lsh32K_Rsh32X, Mov32K_Lsh32K_Rsh32X, Or32X_Or32X, Add64X_Add64X, Mov32K_Jgt32K, Jgt64K_Mov64X, Jgt32K_Mov32K,
    Jne64K_Add64K, Mov64X_Jne64K, Add64X_Jeq64K, Mul64K_Add64K_Mov64X, Rsh64K_Mov64X_And64K, Mov64X_Mod64K,
    Mov64X_Div64K, Mod64K_Mov64X, Xor64X_Mov64X_Rsh64K, Xor64X_Mov64X_Lsh64K, Add64K_Mov64X_Jne64K,
    Xor64X_Add32K_Jeq32K, Jeq64K_Mov64X, Jne64K_Mov64X, Add64K_Add64X_Ldx8, Add64X_Stx8, Mov64X_Add64X_Ldx8,
    Mov64X_Add64X_Ldx32,

    /// <summary>What cannot be run. Last, so that the loop's switch begins at 0.</summary>
    Bad,
}
