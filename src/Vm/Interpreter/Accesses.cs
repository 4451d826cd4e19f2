using System.Runtime.CompilerServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>A width of memory accesses, and how what is loaded fills a register.</summary>
internal unsafe interface IAccess
{
    /// <summary>Bytes.</summary>
    static abstract int Size { get; }

    /// <summary>Loads from an address, zero- or sign-extended to 64 bits.</summary>
    static abstract ulong Load(byte* at);

    /// <summary>Stores the lowest bytes of a value.</summary>
    static abstract void Store(byte* at, ulong value);
}

/// <summary>The widths.</summary>
internal static unsafe class Accesses
{
    public struct Byte : IAccess
    {
        public static int Size => sizeof(byte);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => *(byte*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(byte*)at = (byte)value;
    }

    public struct Half : IAccess
    {
        public static int Size => sizeof(ushort);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => *(ushort*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(ushort*)at = (ushort)value;
    }

    public struct Word : IAccess
    {
        public static int Size => sizeof(uint);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => *(uint*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(uint*)at = (uint)value;
    }

    public struct Double : IAccess
    {
        public static int Size => sizeof(ulong);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => *(ulong*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(ulong*)at = value;
    }

    public struct SignedByte : IAccess
    {
        public static int Size => sizeof(sbyte);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => (ulong)*(sbyte*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(sbyte*)at = (sbyte)value;
    }

    public struct SignedHalf : IAccess
    {
        public static int Size => sizeof(short);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => (ulong)*(short*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(short*)at = (short)value;
    }

    public struct SignedWord : IAccess
    {
        public static int Size => sizeof(int);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Load(byte* at) => (ulong)*(int*)at;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store(byte* at, ulong value) => *(int*)at = (int)value;
    }
}
