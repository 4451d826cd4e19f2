using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>What the checked interpreter tells of an instruction before it runs it.</summary>
/// <param name="program">The program.</param>
/// <param name="slot">The slot about to run.</param>
/// <param name="frame">Depth of the frame: 0 for the main function.</param>
/// <param name="registers">r0 to r11.</param>
/// <param name="regions">For each register the region that it points into, null for a number.</param>
public delegate void InsnObserver(
    ExecutableProgram program, int slot, int frame, ReadOnlySpan<ulong> registers, ReadOnlySpan<MemoryRegion?> regions);

/// <summary>The packet that a program on a context works on, from its metadata to its end; null if it has none.</summary>
/// <param name="context">The run's context.</param>
public unsafe delegate MemoryRegion? PacketFinder(RunContext* context);

/// <summary>
/// Runs programs with the provenance of every pointer: each access must lie in the region that its pointer
/// was made from, or the run stops with <see cref="RunFault.BadAccess"/> and a report.
/// </summary>
public sealed class CheckedEngine : IProgramEngine
{
    /// <inheritdoc/>
    public string Name => "checked";

    /// <summary>Bytes behind the context pointer by program; where it is null or answers null, the context has no known end.</summary>
    public Func<ExecutableProgram, int?>? ContextSize { get; init; }

    /// <summary>Finds the packet whose addresses a program loads from its context as 32-bit numbers; null if there never is one.</summary>
    public PacketFinder? Packet { get; init; }

    /// <summary>Is called before each instruction; null for nobody.</summary>
    public InsnObserver? Observer { get; init; }

    /// <summary>Memory outside the program that pointers in its context may lead to, such as packet data.</summary>
    public IReadOnlyList<MemoryRegion> Regions { get; init; } = [];

    /// <inheritdoc/>
    public LoadedProgram Load(ExecutableProgram program)
    {
        if (!program.Verified && InsnChecks.Program(program.Insns) is { } wrong)
            throw new InvalidProgramException($"instruction {wrong.Slot}: {wrong.Message}");
        return new CheckedProgram(program, this);
    }
}

/// <summary>A program that the checked interpreter runs.</summary>
public sealed unsafe class CheckedProgram : LoadedProgram
{
    [ThreadStatic]
    private static CheckedRun? s_current;

    internal CheckedProgram(ExecutableProgram program, CheckedEngine engine) : base(program)
    {
        Engine = engine;
        Second = InsnChecks.SecondHalves(program.Insns);
    }

    /// <summary>The report of this thread's last fault in any program: instruction, address, region and value; null if its last run had none.</summary>
    [field: ThreadStatic]
    public static string? Report { get; internal set; }

    internal CheckedEngine Engine { get; }

    internal bool[] Second { get; }

    /// <inheritdoc/>
    public override ulong Run(void* ctx, RunContext* context) => Start((ulong)ctx, 0, Engine.ContextSize?.Invoke(Program) is { } size ? (ulong)size : ulong.MaxValue / 2, "context", context);

    /// <summary>Runs with r1 = address and r2 = length of a memory, which is all that the program may touch beside its stack.</summary>
    public override ulong Run(ulong r1, ulong r2, RunContext* context) => Start(r1, r2, r2, "memory", context);

    /// <inheritdoc/>
    public override ulong InvokeCallback(int functionSlot, ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        if (Array.BinarySearch(Program.FunctionStarts, functionSlot) < 0)
            throw new ArgumentOutOfRangeException(nameof(functionSlot), functionSlot, "no function starts here");
        CheckedRun? run = s_current;
        if (run is not null) return run.Callback(functionSlot, [r1, r2, r3, r4, r5]);
        run = new CheckedRun(this, context);
        s_current = run;
        try
        {
            return run.Callback(functionSlot, [r1, r2, r3, r4, r5]);
        }
        finally
        {
            s_current = null;
        }
    }

    private ulong Start(ulong r1, ulong r2, ulong size, string name, RunContext* context)
    {
        void* ctx = context->Ctx;
        (nint program, uint tailCalls) = (context->Program, context->TailCalls);
        context->Ctx = (void*)r1;
        context->Program = Handle;
        context->TailCalls = 0;
        context->Fault = RunFault.None;
        Report = null;
        CheckedRun? outer = s_current;
        var run = new CheckedRun(this, context);
        s_current = run;
        try
        {
            return run.Main(r1, r2, name, size);
        }
        finally
        {
            s_current = outer;
            context->Ctx = ctx;
            (context->Program, context->TailCalls) = (program, tailCalls);
        }
    }
}
