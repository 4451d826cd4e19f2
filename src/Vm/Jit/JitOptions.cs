namespace BpfSim.Vm.Jit;

/// <summary>
/// The optimisations of the JIT, each with a switch of its own, so that each can be tested and measured
/// alone. All are on by default, as far as the CPU has what they need.
/// </summary>
public sealed record JitOptions
{
    /// <summary>Everything on.</summary>
    public static JitOptions Default { get; } = new();

    /// <summary>Everything off: each BPF instruction becomes its plain x86-64 counterpart.</summary>
    public static JitOptions None { get; } = new()
    {
        ReciprocalDivision = false,
        ConditionalMoves = false,
        JumpOptimization = false,
        AddressFolding = false,
        Lea = false,
        Bmi2 = false,
        FlagReuse = false,
        SaveUsedRegistersOnly = false,
        LoopAlignment = false,
        InlineLookups = false,
        InlineRings = false,
        InlineUpdates = false,
        InlineContextReads = false,
        FrameElimination = false,
        UseFacts = false,
        StackForwarding = false,
        CopyPropagation = false,
        ConstantPropagation = false,
        StrengthReduction = false,
        DeadCode = false,
        ZeroExtension = false,
        LoopInversion = false,
        BlockPlacement = false,
        ConstantHoisting = false,
    };

    /// <summary>Division and modulo by constants become multiplications by the reciprocal.</summary>
    public bool ReciprocalDivision { get; init; } = true;

    /// <summary>Short forward branches over moves become cmov.</summary>
    public bool ConditionalMoves { get; init; } = true;

    /// <summary>A branch over a jump is inverted; jumps to jumps and to exits are short-cut.</summary>
    public bool JumpOptimization { get; init; } = true;

    /// <summary>Additions before a memory access move into its address.</summary>
    public bool AddressFolding { get; init; } = true;

    /// <summary>Additions and small shifts into another register use lea.</summary>
    public bool Lea { get; init; } = true;

    /// <summary>Three-operand shifts and multiplications, on CPUs with BMI2.</summary>
    public bool Bmi2 { get; init; } = System.Runtime.Intrinsics.X86.Bmi2.X64.IsSupported;

    /// <summary>A comparison with 0 behind the operation that made the value uses its flags.</summary>
    public bool FlagReuse { get; init; } = true;

    /// <summary>Functions save only the callee-saved registers that they write.</summary>
    public bool SaveUsedRegistersOnly { get; init; } = true;

    /// <summary>The heads of inner loops start at 32-byte boundaries.</summary>
    public bool LoopAlignment { get; init; } = true;

    /// <summary>Lookups in arrays, per-CPU arrays and hashes known at load are emitted as code.</summary>
    public bool InlineLookups { get; init; } = true;

    /// <summary>Records of ring buffers known at load are reserved, submitted and discarded by emitted code.</summary>
    public bool InlineRings { get; init; } = true;

    /// <summary>Updates and deletions of plain hashes known at load are emitted as code, as far as nobody stands in the way.</summary>
    public bool InlineUpdates { get; init; } = true;

    /// <summary>Time, CPU number, current task and its ids are read from the run context without a call.</summary>
    public bool InlineContextReads { get; init; } = true;

    /// <summary>Functions that use no stack get no frame.</summary>
    public bool FrameElimination { get; init; } = true;

    /// <summary>What the verifier proved (known maps, constant keys) is used.</summary>
    public bool UseFacts { get; init; } = true;

    /// <summary>A load from the own stack takes the value from the register that was stored there.</summary>
    public bool StackForwarding { get; init; } = true;

    /// <summary>Moves are removed by using their source, or by computing into their destination.</summary>
    public bool CopyPropagation { get; init; } = true;

    /// <summary>Operations on constants are done when compiling.</summary>
    public bool ConstantPropagation { get; init; } = true;

    /// <summary>Multiplications by simple constants become shifts and lea.</summary>
    public bool StrengthReduction { get; init; } = true;

    /// <summary>Operations whose result nobody reads are left out.</summary>
    public bool DeadCode { get; init; } = true;

    /// <summary>Moves that only clear an upper half that is already clear are left out.</summary>
    public bool ZeroExtension { get; init; } = true;

    /// <summary>Unlikely code inside loops moves to the end of its function.</summary>
    public bool BlockPlacement { get; init; } = true;

    /// <summary>Large constants that loops load are loaded once, where registers are free.</summary>
    public bool ConstantHoisting { get; init; } = true;

    /// <summary>A jump back to a loop's test becomes the inverted test.</summary>
    public bool LoopInversion { get; init; } = true;
}
