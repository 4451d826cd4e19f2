using BpfSim.Vm.Jit.Emit;
using BpfSim.Vm.Programs;
using static BpfSim.Vm.Jit.Emit.X86Register;

namespace BpfSim.Vm.Jit;

/// <summary>
/// The two ways into emitted code. Both save all callee-saved registers, so that main functions need not,
/// put the run context into r12, and note the stack pointer to which a fault unwinds.
/// </summary>
internal static unsafe class JitTrampolines
{
    private static readonly X86Register[] Saved = [Rbx, Rbp, R12, R13, R14, R15];
    private static readonly Lazy<(nint Call, nint Batch)> Entries = new(Build);

    /// <summary>Calls code with five arguments: <c>(code, arguments, context)</c>; returns r0.</summary>
    public static delegate* unmanaged<nint, ulong*, RunContext*, ulong> Call =>
        (delegate* unmanaged<nint, ulong*, RunContext*, ulong>)Entries.Value.Call;

    /// <summary>Runs a main function for each request: <c>(code, requests, count, context)</c>.</summary>
    public static delegate* unmanaged<nint, RunRequest*, long, RunContext*, void> Batch =>
        (delegate* unmanaged<nint, RunRequest*, long, RunContext*, void>)Entries.Value.Batch;

    private static (nint, nint) Build()
    {
        X86Emitter e = new();
        EmitCall(e);
        nint call = Publish(e);
        e.Reset();
        EmitBatch(e);
        return (call, Publish(e));
    }

    private static nint Publish(X86Emitter e)
    {
        e.Layout.Arrange(e.Position);
        CodeBlock block = CodeMemory.Shared.Allocate(e.Layout.Length);
        e.Layout.Write(e.Bytes, block.Writable);
        return block.Entry;
    }

    private static void EmitCall(X86Emitter e)
    {
        Enter(e, Rdx, 8);
        e.MovRR(Rax, Rdi, true);
        e.MovRR(R10, Rsi, true);
        e.Load(Rdi, new X86Memory(R10, 0), 8);
        e.Load(Rsi, new X86Memory(R10, 8), 8);
        e.Load(Rdx, new X86Memory(R10, 16), 8);
        e.Load(Rcx, new X86Memory(R10, 24), 8);
        e.Load(R8, new X86Memory(R10, 32), 8);
        e.CallR(Rax);
        Leave(e, 8);
    }

    private static void EmitBatch(X86Emitter e)
    {
        // rsp + 8: code; + 16: request; + 24: end; + 32: program.
        const int frame = 40, code = 8, request = 16, end = 24, program = 32;
        Enter(e, Rcx, frame);
        e.Store(new X86Memory(Rsp, code), Rdi, 8);
        e.Load(Rax, new X86Memory(R12, RunContextOffsets.Program), 8);
        e.Store(new X86Memory(Rsp, program), Rax, 8);
        e.ShiftRI(X86Shift.Shl, Rdx, 6, true);
        e.AluRR(X86Alu.Add, Rdx, Rsi, true);
        e.Store(new X86Memory(Rsp, end), Rdx, 8);
        int again = e.NewLabel(), done = e.NewLabel();
        e.Bind(again);
        e.AluRM(X86Alu.Cmp, Rsi, new X86Memory(Rsp, end), true);
        e.Jcc(X86Condition.AboveEqual, done);
        e.Store(new X86Memory(Rsp, request), Rsi, 8);
        e.Load(Rdi, new X86Memory(Rsi, 0), 8);
        (int From, int To)[] copies =
        [
            (8, RunContextOffsets.TimeNs), (16, RunContextOffsets.PidTgid), (24, RunContextOffsets.UidGid),
            (32, RunContextOffsets.CurrentTask), (40, RunContextOffsets.Comm), (48, RunContextOffsets.Comm + 8),
        ];
        foreach ((int from, int to) in copies)
        {
            e.Load(Rax, new X86Memory(Rsi, from), 8);
            e.Store(new X86Memory(R12, to), Rax, 8);
        }
        e.Store(new X86Memory(R12, RunContextOffsets.Ctx), Rdi, 8);
        e.StoreImm(new X86Memory(R12, RunContextOffsets.TailCalls), 0, 4);
        // A tail call has left the program that it went to.
        e.Load(Rax, new X86Memory(Rsp, program), 8);
        e.Store(new X86Memory(R12, RunContextOffsets.Program), Rax, 8);
        e.Load(Rax, new X86Memory(Rsp, code), 8);
        e.CallR(Rax);
        e.Load(Rsi, new X86Memory(Rsp, request), 8);
        e.Store(new X86Memory(Rsi, 56), Rax, 8);
        e.AluRI(X86Alu.Add, Rsi, sizeof(RunRequest), true);
        e.Jmp(again);
        e.Bind(done);
        Leave(e, frame);
    }

    /// <summary>Saves the registers and makes a frame whose first slot keeps the outer unwinding point.</summary>
    private static void Enter(X86Emitter e, X86Register context, int frame)
    {
        X86Memory unwind = new(context, RunContextOffsets.EngineStack);
        foreach (X86Register r in Saved) e.Push(r);
        e.AluRI(X86Alu.Sub, Rsp, frame, true);
        e.Load(Rax, unwind, 8);
        e.Store(new X86Memory(Rsp, 0), Rax, 8);
        // Where the return address of the call below will stand.
        e.Lea(Rax, new X86Memory(Rsp, -8), true);
        e.Store(unwind, Rax, 8);
        e.MovRR(R12, context, true);
    }

    private static void Leave(X86Emitter e, int frame)
    {
        e.Load(Rcx, new X86Memory(Rsp, 0), 8);
        e.Store(new X86Memory(R12, RunContextOffsets.EngineStack), Rcx, 8);
        e.AluRI(X86Alu.Add, Rsp, frame, true);
        for (int i = Saved.Length - 1; i >= 0; i--) e.Pop(Saved[i]);
        e.Ret();
    }
}
