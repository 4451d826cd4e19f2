using System.Runtime.InteropServices;

namespace BpfSim.Vm.Programs;

/// <summary>
/// A program in the form that one engine runs. Any number of threads may run it at the same time, each with
/// a <see cref="RunContext"/> of its own; it must not be disposed while one does.
/// </summary>
public abstract unsafe class LoadedProgram : IDisposable
{
    private GCHandle _self;

    /// <summary>Keeps the program and gives the object a handle that native code can carry.</summary>
    protected LoadedProgram(ExecutableProgram program)
    {
        Program = program;
        _self = GCHandle.Alloc(this, GCHandleType.Weak);
    }

    /// <summary>What was loaded.</summary>
    public ExecutableProgram Program { get; }

    /// <summary>The GCHandle (as nint) that stands in <see cref="RunContext.Program"/> while this program runs.</summary>
    public nint Handle => GCHandle.ToIntPtr(_self);

    /// <summary>The loaded program that runs on this context, for helpers; null between runs.</summary>
    public static LoadedProgram? Running(RunContext* context) =>
        context->Program == 0 ? null : (LoadedProgram?)GCHandle.FromIntPtr(context->Program).Target;

    /// <summary>
    /// Runs the main function with r1 = <paramref name="ctx"/> and returns r0. The engine sets
    /// <see cref="RunContext.Ctx"/>, <see cref="RunContext.Program"/>, <see cref="RunContext.TailCalls"/> and
    /// <see cref="RunContext.Fault"/>, and restores the first three afterwards. After a fault r0 is 0.
    /// </summary>
    public abstract ulong Run(void* ctx, RunContext* context);

    /// <summary>Runs the main function with r1 and r2 given, as an unverified program with a memory argument wants it.</summary>
    public abstract ulong Run(ulong r1, ulong r2, RunContext* context);

    /// <summary>
    /// Runs a batch: before each run the request's time and task are copied into <paramref name="context"/>,
    /// afterwards r0 into the request. An engine may do it without coming back to managed code in between.
    /// </summary>
    public virtual void RunBatch(RunRequest* requests, int count, RunContext* context)
    {
        for (RunRequest* request = requests, end = requests + count; request < end; request++)
        {
            context->TimeNs = request->TimeNs;
            context->PidTgid = request->PidTgid;
            context->UidGid = request->UidGid;
            context->CurrentTask = request->CurrentTask;
            ((ulong*)context->Comm)[0] = ((ulong*)request->Comm)[0];
            ((ulong*)context->Comm)[1] = ((ulong*)request->Comm)[1];
            request->Result = Run(request->Ctx, context);
        }
    }

    /// <summary>
    /// Runs one function of the program, for helpers that take a callback (bpf_loop, bpf_for_each_map_elem,
    /// timers, …), during a run or after it, and returns its r0. The value that a program passes as the
    /// callback's address (a 64-bit load of kind <see cref="Isa.PseudoSource.Func"/>) is the function's first
    /// slot. After a fault (<see cref="RunContext.Fault"/>) the helper must stop calling.
    /// </summary>
    /// <param name="functionSlot">First slot of the function, one of <see cref="ExecutableProgram.FunctionStarts"/>.</param>
    /// <param name="r1">First argument.</param>
    /// <param name="r2">Second argument.</param>
    /// <param name="r3">Third argument.</param>
    /// <param name="r4">Fourth argument.</param>
    /// <param name="r5">Fifth argument.</param>
    /// <param name="context">The context that the helper was given.</param>
    public abstract ulong InvokeCallback(int functionSlot, ulong r1, ulong r2, ulong r3, ulong r4, ulong r5, RunContext* context);

    /// <summary>Frees native memory.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the engine allocated, then the handle.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (_self.IsAllocated) _self.Free();
    }
}

/// <summary>One event of a batch: the context pointer and what the running CPU looks like at that moment.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct RunRequest
{
    /// <summary>r1 of the run.</summary>
    public void* Ctx;

    /// <summary>Becomes <see cref="RunContext.TimeNs"/>.</summary>
    public ulong TimeNs;

    /// <summary>Becomes <see cref="RunContext.PidTgid"/>.</summary>
    public ulong PidTgid;

    /// <summary>Becomes <see cref="RunContext.UidGid"/>.</summary>
    public ulong UidGid;

    /// <summary>Becomes <see cref="RunContext.CurrentTask"/>.</summary>
    public ulong CurrentTask;

    /// <summary>Becomes <see cref="RunContext.Comm"/>.</summary>
    public fixed byte Comm[16];

    /// <summary>r0 after the run.</summary>
    public ulong Result;
}
