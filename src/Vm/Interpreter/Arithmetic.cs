namespace BpfSim.Vm.Interpreter;

/// <summary>Division as RFC 9669, section 4.1, defines it for divisors that the processor would trap on.</summary>
internal static class Arithmetic
{
    public static ulong Divide(ulong a, ulong b) => b == 0 ? 0 : a / b;

    public static uint Divide(uint a, uint b) => b == 0 ? 0 : a / b;

    public static ulong Modulo(ulong a, ulong b) => b == 0 ? a : a % b;

    public static uint Modulo(uint a, uint b) => b == 0 ? a : a % b;

    public static ulong SignedDivide(ulong a, ulong b) => b + 1 > 1 ? (ulong)((long)a / (long)b) : b == 0 ? 0 : 0 - a;

    public static uint SignedDivide(uint a, uint b) => b + 1 > 1 ? (uint)((int)a / (int)b) : b == 0 ? 0 : 0 - a;

    public static ulong SignedModulo(ulong a, ulong b) => b + 1 > 1 ? (ulong)((long)a % (long)b) : b == 0 ? a : 0;

    public static uint SignedModulo(uint a, uint b) => b + 1 > 1 ? (uint)((int)a % (int)b) : b == 0 ? a : 0;
}
