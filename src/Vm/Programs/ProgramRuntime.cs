using System.Buffers.Binary;
using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Programs;

/// <summary>What every engine does in the same way while a program runs.</summary>
internal static unsafe class ProgramRuntime
{
    /// <summary>Tail calls that one chain may make (MAX_TAIL_CALL_CNT).</summary>
    public const uint MaxTailCalls = 33;

    /// <summary>Frames that a call chain may have, the main function's among them.</summary>
    public const int MaxFrames = 8;

    /// <summary>Bytes of stack that each function has.</summary>
    public const int StackSize = 512;

    /// <summary>
    /// Rounds that may_goto grants a function each time it is called (BPF_MAX_LOOPS). The kernel's x86-64 JIT grants a
    /// quarter of a second instead, which no simulation could repeat.
    /// </summary>
    public const int MayGotoRounds = 8 * 1024 * 1024;

    /// <summary>The id of bpf_tail_call, which engines do themselves.</summary>
    public const int TailCallHelper = 12;

    /// <summary>r0 behind a tail call that could not be made; the kernel's verifier lets no program read it.</summary>
    public const ulong TailCallFailed = unchecked((ulong)-(long)Errno.EINVAL);

    private const int SkbLoadBytesHelper = 26;

    /// <summary>The program in a slot of a prog_array; null if the index is out of range or the slot empty.</summary>
    public static LoadedProgram? TailCallTarget(MapHeader* map, uint index)
    {
        if (index >= map->MaxEntries) return null;
        nint handle = Volatile.Read(ref *(nint*)(map->Data + (index * map->Stride)));
        return handle == 0 ? null : GCHandle.FromIntPtr(handle).Target as LoadedProgram;
    }

    /// <summary>
    /// A legacy packet load (LD_ABS, LD_IND) through bpf_skb_load_bytes: the bytes at an offset in host order.
    /// False if they are outside the packet; the program then ends with r0 = 0.
    /// </summary>
    public static bool LoadPacket(ExecutableProgram program, ulong ctx, uint offset, int size, RunContext* context, out ulong value)
    {
        value = 0;
        HelperPrototype? load = program.Helpers.Find(SkbLoadBytesHelper);
        if (load is null || load.Implementation == null) return false;
        ulong bytes = 0;
        if (load.Implementation(ctx, offset, (ulong)&bytes, (ulong)size, 0, context) != 0) return false;
        value = size switch
        {
            1 => (byte)bytes,
            2 => BinaryPrimitives.ReverseEndianness((ushort)bytes),
            _ => BinaryPrimitives.ReverseEndianness((uint)bytes),
        };
        return true;
    }

    /// <summary>Native address behind a simulated kernel address, or null if the access leaves the arena.</summary>
    public static byte* Arena(RunContext* context, ulong address, uint size)
    {
        ulong offset = address - context->ArenaBase;
        return context->ArenaLength >= size && offset <= context->ArenaLength - size ? context->ArenaMemory + offset : null;
    }
}
