using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// Where an operand is. The code of an instruction exists once for each kind of operand that programs have there:
/// generic over these types, which .NET compiles to plain register moves, loads and stores.
/// </summary>
internal unsafe interface IOperand
{
    /// <summary>The value.</summary>
    static abstract ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d);

    /// <summary>Gives it another value; constants and r10 have none.</summary>
    static virtual void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value)
    {
    }
}

/// <summary>The first cached register.</summary>
internal unsafe struct CacheA : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => a = value;
}

/// <summary>The second cached register.</summary>
internal unsafe struct CacheB : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => b = value;
}

/// <summary>The third cached register.</summary>
internal unsafe struct CacheC : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => c;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => c = value;
}

/// <summary>The fourth cached register.</summary>
internal unsafe struct CacheD : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => d;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => d = value;
}

/// <summary>A destination register that lies in the frame.</summary>
internal unsafe struct DstInFrame : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => *(ulong*)((byte*)f + i->Dst);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => *(ulong*)((byte*)f + i->Dst) = value;
}

/// <summary>A source register that lies in the frame.</summary>
internal unsafe struct SrcInFrame : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => *(ulong*)((byte*)f + i->Src);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => *(ulong*)((byte*)f + i->Src) = value;
}

/// <summary>r0 where an instruction implies it, lying in the frame.</summary>
internal unsafe struct R0InFrame : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => f->Registers[0];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(DecodedInsn* i, Frame* f, ref ulong a, ref ulong b, ref ulong c, ref ulong d, ulong value) => f->Registers[0] = value;
}

/// <summary>r10: the frame itself.</summary>
internal unsafe struct FramePointer : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => (ulong)f;
}

/// <summary>The immediate.</summary>
internal unsafe struct Constant : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => (ulong)i->Imm;
}

/// <summary>No operand: 0.</summary>
internal unsafe struct Nothing : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d) => 0;
}
