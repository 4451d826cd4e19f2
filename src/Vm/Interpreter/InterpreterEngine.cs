using System.Runtime.CompilerServices;
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
    private readonly CachedRegisters[] _caches;
    private ProgramImage* _image;

    public InterpretedProgram(ExecutableProgram program) : base(program)
    {
        int slots = program.Insns.Length + 1;
        _image = (ProgramImage*)NativeMemory.AlignedAlloc((nuint)(sizeof(ProgramImage) + (slots * sizeof(DecodedInsn))), 64);
        *_image = new ProgramImage { Code = (DecodedInsn*)(_image + 1), Handle = Handle, StackBytes = InsnDecoder.StackBytes(program, 0) };
        _caches = InsnDecoder.Decode(program, _image->Code);
        _image->Cache = _caches[0];
    }

    ~InterpretedProgram() => Dispose(false);

    public ProgramImage* Image => _image;

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
        ulong result = Start(0, r1, r2, 0, 0, 0, context);
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
        ulong result = Start(function, r1, r2, r3, r4, r5, context);
        context->Program = program;
        return result;
    }

    /// <summary>Runs one function on a stack of its own.</summary>
    /// <returns>r0, or 0 after a fault, which then stands in the context.</returns>
    [SkipLocalsInit]
    private ulong Start(int function, ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context)
    {
        byte* memory = stackalloc byte[ProgramRuntime.MaxFrames * Frame.Stride];
        var first = (Frame*)(memory + ProgramRuntime.StackSize);
        var state = new RunState
        {
            Context = context,
            Last = (Frame*)((byte*)first + ((ProgramRuntime.MaxFrames - 1) * Frame.Stride)),
            Fuel = context->Fuel,
        };
        *first = new Frame { Run = &state, Image = _image };
        (first->Registers[1], first->Registers[2], first->Registers[3]) = (r1, r2, r3);
        (first->Registers[4], first->Registers[5]) = (r4, r5);
        Frame.ClearStack(first, function == 0 ? _image->StackBytes : InsnDecoder.StackBytes(Program, function));
        DecodedInsn* code = _image->Code + Program.FunctionStarts[function];
        _caches[function].Fill(first, out ulong a, out ulong b, out ulong c, out ulong d);
        ulong result = code->Handler(code, first, a, b, c, d);
        // A run without a limit leaves the caller's fuel alone.
        if (!Program.Verified) context->Fuel = state.Fuel;
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
        NativeMemory.AlignedFree(_image);
        _image = null;
        base.Dispose(disposing);
    }
}
