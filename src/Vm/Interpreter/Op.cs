namespace BpfSim.Vm.Interpreter;

/// <summary>
/// What the loop distinguishes: an operation of the instruction table with width and source (K immediate, X
/// register). The numbers are dense, so that the loop's switch is one jump table; the decoder finds them by
/// name.
/// </summary>
internal enum Op : ushort
{
    Bad,

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
}
