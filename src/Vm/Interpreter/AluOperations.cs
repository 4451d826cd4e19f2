using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>What an arithmetic instruction makes of its destination and its operand, in 64 and in 32 bits.</summary>
internal interface IAluOperation
{
    /// <summary>The result in 64 bits.</summary>
    static abstract ulong Wide(ulong a, ulong b);

    /// <summary>The result in 32 bits, which the register gets zero-extended.</summary>
    static abstract uint Narrow(uint a, uint b);
}

/// <summary>The arithmetic operations, under their names in <see cref="Isa.InsnOp"/>, by which the decoder finds them.</summary>
internal static class AluOperations
{
    public struct Add : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a + b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a + b;
    }

    public struct Sub : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a - b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a - b;
    }

    public struct Mul : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a * b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a * b;
    }

    public struct Or : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a | b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a | b;
    }

    public struct And : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a & b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a & b;
    }

    public struct Xor : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a ^ b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a ^ b;
    }

    public struct Lsh : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a << (int)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a << (int)b;
    }

    public struct Rsh : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a >> (int)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => a >> (int)b;
    }

    public struct Arsh : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => (ulong)((long)a >> (int)b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => (uint)((int)a >> (int)b);
    }

    public struct Div : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => Arithmetic.Divide(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => Arithmetic.Divide(a, b);
    }

    public struct Mod : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => Arithmetic.Modulo(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => Arithmetic.Modulo(a, b);
    }

    public struct SDiv : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => Arithmetic.SignedDivide(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => Arithmetic.SignedDivide(a, b);
    }

    public struct SMod : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => Arithmetic.SignedModulo(a, b);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => Arithmetic.SignedModulo(a, b);
    }

    public struct Neg : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => 0 - a;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Narrow(uint a, uint b) => 0 - a;
    }

    /// <summary>To little-endian, which this machine is: only the lowest b bits stay.</summary>
    public struct ToLe : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => a << (int)(64 - b) >> (int)(64 - b);

        /// <summary>Never runs: byte order concerns the whole register in either class.</summary>
        public static uint Narrow(uint a, uint b) => (uint)Wide(a, b);
    }

    /// <summary>The lowest b bits swapped.</summary>
    public struct ToBe : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => BinaryPrimitives.ReverseEndianness(a) >> (int)(64 - b);

        /// <summary>Never runs: byte order concerns the whole register in either class.</summary>
        public static uint Narrow(uint a, uint b) => (uint)Wide(a, b);
    }

    /// <summary>The lowest b bits swapped.</summary>
    public struct Bswap : IAluOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Wide(ulong a, ulong b) => BinaryPrimitives.ReverseEndianness(a) >> (int)(64 - b);

        /// <summary>Never runs: byte order concerns the whole register in either class.</summary>
        public static uint Narrow(uint a, uint b) => (uint)Wide(a, b);
    }
}
