namespace BpfSim.Vm.Interpreter;

/// <summary>The atomic operations that <see cref="Interlocked"/> lacks.</summary>
internal static class Atomics
{
    public static uint FetchXor(ref uint location, uint value)
    {
        uint old = Volatile.Read(ref location);
        while (true)
        {
            uint seen = Interlocked.CompareExchange(ref location, old ^ value, old);
            if (seen == old) return old;
            old = seen;
        }
    }

    public static ulong FetchXor(ref ulong location, ulong value)
    {
        ulong old = Volatile.Read(ref location);
        while (true)
        {
            ulong seen = Interlocked.CompareExchange(ref location, old ^ value, old);
            if (seen == old) return old;
            old = seen;
        }
    }
}
