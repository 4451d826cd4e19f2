using System.Runtime.InteropServices;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.HelperImplementations;

/// <summary>What a dynptr points into.</summary>
internal enum DynptrKind : uint { Invalid, Local, Ringbuf, Skb, Xdp }

/// <summary>The 16 bytes of <c>struct bpf_dynptr</c> as the simulation uses them; opaque to programs.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Dynptr
{
    /// <summary>Largest size (24 bits).</summary>
    public const uint MaxSize = (1 << 24) - 1;

    private const uint KindShift = 28, ReadOnlyBit = 1u << 31, OffsetUnused = 0;

    /// <summary>First byte of local memory or of a ring buffer record; null if the dynptr is invalid.</summary>
    public byte* Base;

    /// <summary>Bytes.</summary>
    private uint _size;

    /// <summary>Offset in the low 24 bits, kind in bits 28 to 30, read-only in bit 31.</summary>
    private uint _bits;

    public readonly DynptrKind Kind => (DynptrKind)(_bits >> (int)KindShift & 7);

    public readonly bool IsReadOnly => (_bits & ReadOnlyBit) != 0;

    public readonly uint Size => _size;

    public readonly uint Offset => _bits & MaxSize;

    public void Set(byte* memory, uint size, DynptrKind kind, bool readOnly = false)
    {
        Base = memory;
        _size = size;
        _bits = OffsetUnused | (uint)kind << (int)KindShift | (readOnly ? ReadOnlyBit : 0);
    }

    /// <summary>Moves the start forward and sets a new size.</summary>
    public void Narrow(uint start, uint size)
    {
        _bits = (_bits & ~MaxSize) | (Offset + start);
        _size = size;
    }

    public void MakeReadOnly() => _bits |= ReadOnlyBit;

    /// <summary>Address of bytes within, or null with an errno.</summary>
    public readonly byte* At(uint offset, uint length, RunContext* context, out Errno error)
    {
        error = Errno.None;
        if (Base == null) error = Errno.EINVAL;
        else if (length > Size || offset > Size - length) error = Errno.E2BIG;
        if (error != Errno.None) return null;
        return Kind is DynptrKind.Skb or DynptrKind.Xdp
            ? Cpu.Of(context).Packet is { } packet ? packet.Data + Offset + offset : null
            : Base + Offset + offset;
    }
}

/// <summary>Helpers on dynptrs.</summary>
internal static unsafe class DynptrCode
{
    public static void Register(HelperList list)
    {
        list.Add("dynptr_from_mem", &FromMem);
        list.Add("dynptr_read", &Read);
        list.Add("dynptr_write", &Write);
        list.Add("dynptr_data", &Data);
    }

    [UnmanagedCallersOnly]
    private static ulong FromMem(ulong data, ulong size, ulong flags, ulong pointer, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        *dynptr = default;
        if ((uint)size > Dynptr.MaxSize) return HelperResult.Error(Errno.E2BIG);
        if (flags != 0) return HelperResult.Error(Errno.EINVAL);
        dynptr->Set((byte*)data, (uint)size, DynptrKind.Local);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Read(ulong to, ulong length, ulong pointer, ulong offset, ulong flags, RunContext* context)
    {
        if (((Dynptr*)pointer)->Base == null || flags != 0) return HelperResult.Error(Errno.EINVAL);
        byte* source = ((Dynptr*)pointer)->At((uint)offset, (uint)length, context, out Errno error);
        if (source == null) return HelperResult.Error(error);
        Buffer.MemoryCopy(source, (byte*)to, (uint)length, (uint)length);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Write(ulong pointer, ulong offset, ulong from, ulong length, ulong flags, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        if (dynptr->Base == null || dynptr->IsReadOnly) return HelperResult.Error(Errno.EINVAL);
        if (flags != 0 && dynptr->Kind != DynptrKind.Skb) return HelperResult.Error(Errno.EINVAL);
        byte* target = dynptr->At((uint)offset, (uint)length, context, out Errno error);
        if (target == null) return HelperResult.Error(error);
        Buffer.MemoryCopy((byte*)from, target, (uint)length, (uint)length);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static ulong Data(ulong pointer, ulong offset, ulong length, ulong r4, ulong r5, RunContext* context)
    {
        var dynptr = (Dynptr*)pointer;
        if (dynptr->IsReadOnly || dynptr->Kind is DynptrKind.Skb or DynptrKind.Xdp) return 0;
        return (ulong)dynptr->At((uint)offset, (uint)length, context, out _);
    }
}
