using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit;

/// <summary>A compiled program.</summary>
public sealed unsafe class JitProgram : LoadedProgram
{
    private readonly JitCode _code;

    internal JitProgram(ExecutableProgram program, JitCode code) : base(program) => _code = code;

    /// <summary>Bytes of machine code: what bpftool shows as jited.</summary>
    public int JitedBytes => _code.Block.Length;

    /// <summary>x86-64 instructions emitted.</summary>
    public int InstructionCount => _code.InstructionCount;

    /// <summary>Where the code lies and how it goes with the instructions.</summary>
    internal JitCode Code => _code;

    /// <summary>Address of the main function, as tail calls enter it.</summary>
    internal nint Entry => _code.Block.Entry + _code.Entries[0];

    /// <summary>The machine code's bytes.</summary>
    public ReadOnlySpan<byte> MachineCode => new((void*)_code.Block.Entry, _code.Block.Length);

    /// <inheritdoc/>
    public override ulong Run(void* ctx, RunContext* context) => Enter((ulong)ctx, 0, ctx, context);

    /// <inheritdoc/>
    public override ulong Run(ulong r1, ulong r2, RunContext* context) => Enter(r1, r2, (void*)r1, context);

    /// <inheritdoc/>
    public override void RunBatch(RunRequest* requests, int count, RunContext* context)
    {
        if (!Program.Verified)
        {
            base.RunBatch(requests, count, context);
            return;
        }
        Frame outer = Frame.Begin(context, Handle, null);
        JitTrampolines.Batch(Entry, requests, count, context);
        outer.End(context);
    }

    /// <inheritdoc/>
    public override ulong InvokeCallback(int functionSlot, ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        int function = Array.BinarySearch(Program.FunctionStarts, functionSlot);
        if (function < 0)
        {
            // Called from a helper, where an exception would end the process.
            context->Fault = RunFault.BadInstruction;
            return 0;
        }
        ulong* arguments = stackalloc ulong[5];
        (arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]) = (r1, r2, r3, r4, r5);
        return JitTrampolines.Call(_code.Block.Entry + _code.Entries[function], arguments, context);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _code.Block.Free();
        base.Dispose(disposing);
    }

    private ulong Enter(ulong r1, ulong r2, void* ctx, RunContext* context)
    {
        Frame outer = Frame.Begin(context, Handle, ctx);
        ulong* arguments = stackalloc ulong[5];
        (arguments[0], arguments[1]) = (r1, r2);
        ulong result = JitTrampolines.Call(Entry, arguments, context);
        outer.End(context);
        return result;
    }

    /// <summary>What an outer run on the same context finds again when an inner one ends.</summary>
    private readonly struct Frame
    {
        private nint Program { get; init; }

        private void* Ctx { get; init; }

        private uint TailCalls { get; init; }

        private uint CallDepth { get; init; }

        public static Frame Begin(RunContext* context, nint program, void* ctx)
        {
            Frame outer = new()
            {
                Program = context->Program,
                Ctx = context->Ctx,
                TailCalls = context->TailCalls,
                CallDepth = context->CallDepth,
            };
            context->Program = program;
            context->Ctx = ctx;
            context->TailCalls = 0;
            context->CallDepth = 0;
            context->Fault = RunFault.None;
            return outer;
        }

        public void End(RunContext* context)
        {
            context->Program = Program;
            context->Ctx = Ctx;
            context->TailCalls = TailCalls;
            context->CallDepth = CallDepth;
        }
    }
}
