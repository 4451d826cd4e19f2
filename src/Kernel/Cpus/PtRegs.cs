using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Cpus;

/// <summary>The registers of x86-64 as <c>struct pt_regs</c> lays them out: 168 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct PtRegs
{
    /// <summary>General registers in the order of the kernel's entry code.</summary>
    public ulong R15, R14, R13, R12, Bp, Bx, R11, R10, R9, R8, Ax, Cx, Dx, Si, Di;

    /// <summary>The system call's number, or -1 outside of one.</summary>
    public ulong OrigAx;

    /// <summary>Instruction pointer, code segment, flags, stack pointer, stack segment.</summary>
    public ulong Ip, Cs, Flags, Sp, Ss;
}

/// <summary>The context of perf_event programs, <c>struct bpf_perf_event_data</c>: 184 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct PerfEventData
{
    /// <summary>The interrupted registers.</summary>
    public PtRegs Regs;

    /// <summary>Period of this sample.</summary>
    public ulong SamplePeriod;

    /// <summary>Address of a memory access, 0 if there is none.</summary>
    public ulong Addr;
}
