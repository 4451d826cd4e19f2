using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>When a conditional jump is taken, comparing 64 or 32 bits.</summary>
internal interface ICondition
{
    /// <summary>Whether it is taken.</summary>
    static abstract bool Wide(ulong a, ulong b);

    /// <summary>Whether it is taken by the lower halves.</summary>
    static abstract bool Narrow(uint a, uint b);
}

/// <summary>The conditions, under their names in <see cref="Isa.InsnOp"/>, by which the decoder finds them.</summary>
internal static class Conditions
{
    public struct Jeq : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a == b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a == b;
    }

    public struct Jne : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a != b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a != b;
    }

    public struct Jgt : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a > b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a > b;
    }

    public struct Jge : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a >= b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a >= b;
    }

    public struct Jlt : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a < b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a < b;
    }

    public struct Jle : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => a <= b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => a <= b;
    }

    public struct Jsgt : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => (long)a > (long)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => (int)a > (int)b;
    }

    public struct Jsge : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => (long)a >= (long)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => (int)a >= (int)b;
    }

    public struct Jslt : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => (long)a < (long)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => (int)a < (int)b;
    }

    public struct Jsle : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => (long)a <= (long)b;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => (int)a <= (int)b;
    }

    public struct Jset : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Wide(ulong a, ulong b) => (a & b) != 0;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Narrow(uint a, uint b) => (a & b) != 0;
    }
}
