using System.Runtime.CompilerServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>Loads, stores and atomic operations.</summary>
internal static unsafe partial class Handlers
{
    /// <summary>dst = *(src + off)</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Load<TAccess, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TAccess : struct, IAccess
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TDst.Set(i, f, ref a, ref b, ref c, ref d, TAccess.Load((byte*)TSrc.Get(i, f, a, b, c, d) + i->Off));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>*(dst + off) = src</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Store<TAccess, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TAccess : struct, IAccess
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TAccess.Store((byte*)TDst.Get(i, f, a, b, c, d) + i->Off, TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>A load through a kernel pointer that may be bad: outside the arena it reads 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Probe<TAccess, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TAccess : struct, IAccess
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        byte* at = ProgramRuntime.Arena(f->Run->Context, TSrc.Get(i, f, a, b, c, d) + (ulong)i->Off, (uint)TAccess.Size);
        TDst.Set(i, f, ref a, ref b, ref c, ref d, at == null ? 0 : TAccess.Load(at));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>No later access goes before this load.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong LoadAcquire<TAccess, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TAccess : struct, IAccess
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        ulong value = TAccess.Load((byte*)TSrc.Get(i, f, a, b, c, d) + i->Off);
        Volatile.ReadBarrier();
        TDst.Set(i, f, ref a, ref b, ref c, ref d, value);
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>No earlier access goes behind this store.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong StoreRelease<TAccess, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TAccess : struct, IAccess
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        Volatile.WriteBarrier();
        TAccess.Store((byte*)TDst.Get(i, f, a, b, c, d) + i->Off, TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>lock *(dst + off) op= src</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Atomic64<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAtomicOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TOperation.Wide(ref *(ulong*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>The same, and src gets what stood there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong AtomicFetch64<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAtomicOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TSrc.Set(i, f, ref a, ref b, ref c, ref d, TOperation.Wide(ref *(ulong*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), TSrc.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>If r0 stands at dst + off, src replaces it; r0 gets what stood there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CompareExchange64<TDst, TSrc, TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
        where TResult : struct, IOperand
    {
        TResult.Set(i, f, ref a, ref b, ref c, ref d, Interlocked.CompareExchange(ref *(ulong*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), TSrc.Get(i, f, a, b, c, d), TResult.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Atomic32<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAtomicOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TOperation.Narrow(ref *(uint*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), (uint)TSrc.Get(i, f, a, b, c, d));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong AtomicFetch32<TOperation, TDst, TSrc>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TOperation : struct, IAtomicOperation
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
    {
        TSrc.Set(i, f, ref a, ref b, ref c, ref d, TOperation.Narrow(ref *(uint*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), (uint)TSrc.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CompareExchange32<TDst, TSrc, TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
        where TResult : struct, IOperand
    {
        TResult.Set(i, f, ref a, ref b, ref c, ref d, Interlocked.CompareExchange(ref *(uint*)((byte*)TDst.Get(i, f, a, b, c, d) + i->Off), (uint)TSrc.Get(i, f, a, b, c, d), (uint)TResult.Get(i, f, a, b, c, d)));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }
}
