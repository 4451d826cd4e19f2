using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>An atomic operation of memory and a register; what stood there before comes back.</summary>
internal interface IAtomicOperation
{
    /// <summary>On 8 bytes.</summary>
    static abstract ulong Wide(ref ulong at, ulong value);

    /// <summary>On 4 bytes.</summary>
    static abstract uint Narrow(ref uint at, uint value);
}

/// <summary>
/// The atomic operations, under their names in <see cref="Isa.InsnOp"/> without <c>Atomic</c> and <c>Fetch</c>, by
/// which the decoder finds them.
/// </summary>
internal static class AtomicOperations
{
    public struct Add : IAtomicOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ref ulong at, ulong value) => Interlocked.Add(ref at, value) - value;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(ref uint at, uint value) => Interlocked.Add(ref at, value) - value;
    }

    public struct Or : IAtomicOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ref ulong at, ulong value) => Interlocked.Or(ref at, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(ref uint at, uint value) => Interlocked.Or(ref at, value);
    }

    public struct And : IAtomicOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ref ulong at, ulong value) => Interlocked.And(ref at, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(ref uint at, uint value) => Interlocked.And(ref at, value);
    }

    public struct Xor : IAtomicOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ref ulong at, ulong value) => Atomics.FetchXor(ref at, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(ref uint at, uint value) => Atomics.FetchXor(ref at, value);
    }

    public struct Xchg : IAtomicOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ref ulong at, ulong value) => Interlocked.Exchange(ref at, value);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(ref uint at, uint value) => Interlocked.Exchange(ref at, value);
    }
}
