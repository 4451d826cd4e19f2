using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// The code of the instructions. Each method does one instruction, then jumps to the code of the next: a call in
/// tail position, which .NET's optimising compiler turns into a jump, so that no stack grows. The methods must
/// therefore always be compiled with optimisations (the project asks for them in every configuration).
/// <para>A method exists once for each combination of its type arguments that some program needs
/// (<see cref="HandlerTable"/>). A dispatch of its own in each lets the processor predict the next instruction,
/// and the values of cached registers never touch memory: half a nanosecond an instruction instead of two that a
/// loop around a switch takes.</para>
/// </summary>
internal static unsafe partial class Handlers
{
    /// <summary>dst = dst op src</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Alu64<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAluOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, TOperation.Wide(TDst.Get(i, f, a, b, c, d), TSrc.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>The same in 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Alu32<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAluOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, TOperation.Narrow((uint)TDst.Get(i, f, a, b, c, d), (uint)TSrc.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>dst = src</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Move64<TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>dst = (u32)src</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Move32<TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, (uint)TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>dst = src, sign-extended from the number of bits in off.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong MoveSigned64<TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        int above = 64 - i->Off;
        TDst.Set(i, f, ref a, ref b, ref c, ref d, (ulong)((long)(TSrc.Get(i, f, a, b, c, d) << above) >> above));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>The same, to 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong MoveSigned32<TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        int above = 32 - i->Off;
        TDst.Set(i, f, ref a, ref b, ref c, ref d, (uint)((int)((uint)TSrc.Get(i, f, a, b, c, d) << above) >> above));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>dst = 64-bit constant; takes two slots.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong LoadConstant<TDst>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, (ulong)i->Imm);
        return i[2].Handler(i + 2, f, a, b, c, d);
    }
}
