using System.Runtime.InteropServices;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// Runs programs by interpretation, with no checks of memory: for verified programs, and for unverified ones
/// whose accesses are known to be good.
/// </summary>
public sealed class InterpreterEngine : IProgramEngine
{
    /// <inheritdoc/>
    public string Name => "interpreter";

    /// <inheritdoc/>
    public LoadedProgram Load(ExecutableProgram program)
    {
        if (!program.Verified && InsnChecks.Program(program.Insns) is { } wrong)
            throw new InvalidProgramException($"instruction {wrong.Slot}: {wrong.Message}");
        return new InterpretedProgram(program);
    }
}

/// <summary>A decoded program.</summary>
internal sealed unsafe class InterpretedProgram : LoadedProgram
{
    private DecodedInsn* _code;

    public InterpretedProgram(ExecutableProgram program) : base(program)
    {
        _code = (DecodedInsn*)NativeMemory.AlignedAlloc((nuint)(program.Insns.Length + 1) * (nuint)sizeof(DecodedInsn), 64);
        InsnDecoder.Decode(program, _code);
        StackBytes = InsnDecoder.StackBytes(program, 0);
    }

    ~InterpretedProgram() => Dispose(false);

    public DecodedInsn* Code => _code;

    /// <summary>How much of the main function's stack is cleared before a run.</summary>
    public int StackBytes { get; }

    public override ulong Run(void* ctx, RunContext* context) => Run((ulong)ctx, 0, context);

    public override ulong Run(ulong r1, ulong r2, RunContext* context)
    {
        void* ctx = context->Ctx;
        nint program = context->Program;
        uint tailCalls = context->TailCalls;
        context->Ctx = (void*)r1;
        context->Program = Handle;
        context->TailCalls = 0;
        context->Fault = RunFault.None;
        ulong* arguments = stackalloc ulong[5] { r1, r2, 0, 0, 0 };
        ulong result = InterpreterLoop.Run(this, 0, StackBytes, arguments, context);
        context->Ctx = ctx;
        context->Program = program;
        context->TailCalls = tailCalls;
        return result;
    }

    public override ulong InvokeCallback(int functionSlot, ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        int function = Array.BinarySearch(Program.FunctionStarts, functionSlot);
        if (function < 0)
            throw new ArgumentOutOfRangeException(nameof(functionSlot), functionSlot, "no function starts here");
        nint program = context->Program;
        context->Program = Handle;
        ulong* arguments = stackalloc ulong[5] { r1, r2, r3, r4, r5 };
        ulong result = InterpreterLoop.Run(this, functionSlot, InsnDecoder.StackBytes(Program, function), arguments, context);
        context->Program = program;
        return result;
    }

    /// <summary>Ends a run with a tail call into a program of another engine, which goes on counting tail calls.</summary>
    public static ulong Leave(LoadedProgram target, ulong ctx, RunContext* context)
    {
        uint tailCalls = context->TailCalls;
        nint program = context->Program;
        ulong result = target.Run((void*)ctx, context);
        context->TailCalls = tailCalls;
        context->Program = program;
        return result;
    }

    protected override void Dispose(bool disposing)
    {
        NativeMemory.AlignedFree(_code);
        _code = null;
        base.Dispose(disposing);
    }
}
