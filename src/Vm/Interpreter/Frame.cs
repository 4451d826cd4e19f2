using System.Runtime.CompilerServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// What a running function has: its registers, except those that are cached, and the way back. Its stack of 512
/// bytes lies right below, so that the frame's own address is r10.
/// </summary>
internal unsafe struct Frame
{
    /// <summary>r0 to r11, which the verifier uses for itself; nothing reads the place of r10.</summary>
    public fixed ulong Registers[12];

    /// <summary>The run that the frame belongs to.</summary>
    public RunState* Run;

    /// <summary>The local call that made the frame; null in the function that the run began with.</summary>
    public DecodedInsn* Call;

    /// <summary>The program whose instructions the frame runs; a tail call changes it.</summary>
    public ProgramImage* Image;

    /// <summary>Rounds that may_goto has granted so far.</summary>
    public ulong MayGotoRounds;

    /// <summary>Bytes from one frame to the next.</summary>
    public static int Stride => ProgramRuntime.StackSize + sizeof(Frame);

    /// <summary>The frame of the function that is called from this one.</summary>
    public static Frame* Above(Frame* frame) => (Frame*)((byte*)frame + Stride);

    /// <summary>The frame of the function that called this one.</summary>
    public static Frame* Below(Frame* frame) => (Frame*)((byte*)frame - Stride);

    /// <summary>Zeros so many bytes of the frame's stack from its top, a multiple of 8.</summary>
    public static void ClearStack(Frame* frame, int bytes)
    {
        // A call of memset costs more than a few stores.
        if (bytes > 64) Unsafe.InitBlock((byte*)frame - bytes, 0, (uint)bytes);
        else for (ulong* at = (ulong*)((byte*)frame - bytes); at < frame; at++) *at = 0;
    }
}

/// <summary>What all frames of a run share.</summary>
internal unsafe struct RunState
{
    public RunContext* Context;

    /// <summary>The deepest frame that there may be.</summary>
    public Frame* Last;

    /// <summary>Jumps and calls that an unverified program may still make.</summary>
    public long Fuel;
}

/// <summary>What running code knows of a decoded program.</summary>
internal unsafe struct ProgramImage
{
    /// <summary>The first slot.</summary>
    public DecodedInsn* Code;

    /// <summary><see cref="LoadedProgram.Handle"/>.</summary>
    public nint Handle;

    /// <summary>The registers that the main function caches.</summary>
    public CachedRegisters Cache;

    /// <summary>Bytes of the main function's stack that must be zero.</summary>
    public int StackBytes;
}
