using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BpfSim.Vm.Interpreter;

/// <summary>
/// The entry points of <see cref="Handlers"/> by name and type arguments. A combination is compiled when the first
/// program needs it, which takes .NET a tenth of a millisecond, and stays for the life of the process.
/// </summary>
internal static unsafe class HandlerTable
{
    private static readonly Dictionary<string, MethodInfo> s_methods = typeof(Handlers)
        .GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly).ToDictionary(m => m.Name);

    private static readonly ConcurrentDictionary<Key, nint> s_entries = new();

    /// <summary>The entry point of a method, whose type parameters are given in order.</summary>
    public static delegate*<DecodedInsn*, Frame*, ulong, ulong, ulong, ulong, ulong> Find(
        string name, Type? first = null, Type? second = null, Type? third = null, Type? fourth = null) =>
        (delegate*<DecodedInsn*, Frame*, ulong, ulong, ulong, ulong, ulong>)s_entries.GetOrAdd(new Key(name, first, second, third, fourth), Compile);

    private static nint Compile(Key key)
    {
        Type[] arguments = [.. new[] { key.First, key.Second, key.Third, key.Fourth }.OfType<Type>()];
        MethodInfo method = s_methods[key.Name];
        if (arguments.Length > 0) method = method.MakeGenericMethod(arguments);
        RuntimeHelpers.PrepareMethod(method.MethodHandle, arguments.Length > 0 ? [.. arguments.Select(t => t.TypeHandle)] : null);
        return BehindStub(method.MethodHandle.GetFunctionPointer());
    }

    /// <summary>
    /// What .NET hands out is a stub that jumps to where the method is compiled (<c>jmp [rip + distance]</c>). The
    /// methods are compiled once and stay where they are; to go through a second jump at each instruction would
    /// take longer than the instruction. On other processors, or should stubs look different, the stub does.
    /// </summary>
    private static nint BehindStub(nint entry)
    {
        const ushort jumpThroughMemory = 0x25ff;
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64 || *(ushort*)entry != jumpThroughMemory) return entry;
        return *(nint*)(entry + 6 + *(int*)(entry + 2));
    }

    private readonly record struct Key(string Name, Type? First, Type? Second, Type? Third, Type? Fourth);
}
