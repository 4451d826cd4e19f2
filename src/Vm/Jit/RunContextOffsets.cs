using System.Runtime.InteropServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Jit;

/// <summary>Where the fields of <see cref="RunContext"/> and <see cref="RunRequest"/> lie, for emitted code.</summary>
internal static class RunContextOffsets
{
    public static readonly int TimeNs = Of(nameof(RunContext.TimeNs));
    public static readonly int PidTgid = Of(nameof(RunContext.PidTgid));
    public static readonly int UidGid = Of(nameof(RunContext.UidGid));
    public static readonly int CurrentTask = Of(nameof(RunContext.CurrentTask));
    public static readonly int CpuId = Of(nameof(RunContext.CpuId));
    public static readonly int Comm = Of(nameof(RunContext.Comm));
    public static readonly int ArenaBase = Of(nameof(RunContext.ArenaBase));
    public static readonly int ArenaLength = Of(nameof(RunContext.ArenaLength));
    public static readonly int ArenaMemory = Of(nameof(RunContext.ArenaMemory));
    public static readonly int Fuel = Of(nameof(RunContext.Fuel));
    public static readonly int Fault = Of(nameof(RunContext.Fault));
    public static readonly int FaultInsn = Of(nameof(RunContext.FaultInsn));
    public static readonly int Ctx = Of(nameof(RunContext.Ctx));
    public static readonly int Program = Of(nameof(RunContext.Program));
    public static readonly int TailCalls = Of(nameof(RunContext.TailCalls));
    public static readonly int EngineStack = Of(nameof(RunContext.EngineStack));
    public static readonly int CallDepth = Of(nameof(RunContext.CallDepth));

    private static int Of(string field) => (int)Marshal.OffsetOf<RunContext>(field);
}
