using System.Runtime.InteropServices;

namespace BpfSim.Vm.Programs;

/// <summary>
/// What one simulated CPU lends to the program that runs on it, in native memory, so that emitted code can
/// read the time or the current task without a call. Every engine keeps a pointer to it (the JIT in r12) and
/// passes it to each helper as the sixth argument. The owner (a CPU of the simulated kernel, or a test)
/// fills it before a run; one run at a time uses it.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct RunContext
{
    /// <summary>Nanoseconds since the simulated boot: what bpf_ktime_get_ns returns.</summary>
    public ulong TimeNs;

    /// <summary>Thread group id (high half) and thread id (low half) of the current task.</summary>
    public ulong PidTgid;

    /// <summary>Group id (high half) and user id (low half) of the current task.</summary>
    public ulong UidGid;

    /// <summary>Simulated kernel address of the current task_struct, 0 if none is modelled.</summary>
    public ulong CurrentTask;

    /// <summary>The number of this CPU, from 0.</summary>
    public uint CpuId;

    /// <summary>Nesting of bpf_spin_lock, rcu_read_lock and preempt_disable; 0 between runs.</summary>
    public uint Nesting;

    /// <summary>Name of the current task, NUL-padded.</summary>
    public fixed byte Comm[16];

    /// <summary>Where PROBE_MEM loads and bpf_probe_read find simulated kernel memory: first simulated address.</summary>
    public ulong ArenaBase;

    /// <summary>Length of the simulated kernel memory in bytes; 0 if there is none.</summary>
    public ulong ArenaLength;

    /// <summary>Native address of the first byte of the simulated kernel memory.</summary>
    public byte* ArenaMemory;

    /// <summary>
    /// Taken backward branches, calls and callback rounds that are still allowed. The interpreter counts it
    /// down; an unverified program that has used it up is stopped with <see cref="RunFault.OutOfFuel"/>.
    /// </summary>
    public long Fuel;

    /// <summary>Why the last run was stopped before its exit instruction; None for a normal run.</summary>
    public RunFault Fault;

    /// <summary>Instruction (slot number in the executed program) at which <see cref="Fault"/> happened.</summary>
    public int FaultInsn;

    /// <summary>The context pointer (r1) of the running program, for helpers that need it.</summary>
    public void* Ctx;

    /// <summary>GCHandle (as nint) of the running <see cref="LoadedProgram"/> (<see cref="LoadedProgram.Running"/>); 0 between runs.</summary>
    public nint Program;

    /// <summary>GCHandle (as nint) of the owner of this context: whatever the helpers' implementation knows.</summary>
    public nint Owner;

    /// <summary>How many tail calls the running chain has made; at most 33 (MAX_TAIL_CALL_CNT).</summary>
    public uint TailCalls;

    /// <summary>State of bpf_get_prandom_u32 on this CPU; never 0.</summary>
    public ulong RandomState;

    /// <summary>Instructions executed by an interpreter run, if it counts them.</summary>
    public ulong InsnsExecuted;

    /// <summary>Emitted code: the native stack pointer to which a fault unwinds.</summary>
    public ulong EngineStack;

    /// <summary>Emitted code of unverified programs: nested local calls.</summary>
    public uint CallDepth;
}

/// <summary>Why an engine stopped a program before its exit instruction.</summary>
public enum RunFault : uint
{
    None = 0,

    /// <summary>An unverified program took more branches than its limit allows.</summary>
    OutOfFuel = 1,

    /// <summary>The checked interpreter saw an access outside what the program may touch.</summary>
    BadAccess = 2,

    /// <summary>An instruction that this engine cannot run.</summary>
    BadInstruction = 3,

    /// <summary>Local calls nested deeper than 8 frames.</summary>
    CallTooDeep = 4,
}
