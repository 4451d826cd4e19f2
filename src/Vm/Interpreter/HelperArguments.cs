using BpfSim.Maps;
using BpfSim.Vm.Helpers;

namespace BpfSim.Vm.Interpreter;

/// <summary>What the checked interpreter makes of a helper's prototype: which memory the helper may touch, and what its result points to.</summary>
internal static unsafe class HelperArguments
{
    private const ulong BeforeResult = 4096;
    private const int RingbufReserve = 131, DynptrData = 203;

    /// <summary>Whether all memory arguments lie in the regions of their pointers.</summary>
    public static bool Check(HelperPrototype helper, ulong[] r, MemoryRegion?[] regions, out string problem, out int register)
    {
        problem = "";
        for (register = 1; register <= helper.Args.Length; register++)
        {
            if (SizeOf(helper, register, r) is not { } size || size == 0) continue;
            ArgType type = helper.Args[register - 1];
            if (r[register] == 0 && (type & ArgType.MaybeNull) != 0) continue;
            if (regions[register] is not { } region)
            {
                problem = "no pointer";
                return false;
            }

            if (region.Contains(r[register], size)) continue;
            problem = $"{size} bytes reach outside {region.Describe(r[register])}";
            return false;
        }

        return true;
    }

    /// <summary>Forgets pointers that stood in memory which the helper may have overwritten.</summary>
    public static void ForgetWritten(HelperPrototype helper, ulong[] arguments, CheckedMemory memory)
    {
        ulong[] r = [0, .. arguments];
        for (int register = 1; register <= helper.Args.Length; register++)
        {
            if ((helper.Args[register - 1] & (ArgType.Uninit | ArgType.Write)) == 0) continue;
            if (SizeOf(helper, register, r) is { } size && size is > 0 and < 1 << 20) memory.Store(r[register], (int)size, null);
        }
    }

    /// <summary>The region that the result points into; null for numbers and NULL.</summary>
    public static MemoryRegion? ResultRegion(HelperPrototype helper, ulong[] arguments, MemoryRegion?[] regions, ulong result, CheckedMemory memory)
    {
        if (result == 0) return null;
        switch (helper.Return & ReturnType.BaseMask)
        {
            case ReturnType.PtrToMapValue when helper.Args.Length > 0 && (helper.Args[0] & ArgType.BaseMask) == ArgType.ConstMapPtr:
                var map = (MapHeader*)arguments[0];
                return map->Type is MapType.ArrayOfMaps or MapType.HashOfMaps ? null : memory.Add("map value", result, map->ValueSize);
            case ReturnType.PtrToMem when helper.Id == RingbufReserve:
                return memory.Add("ring buffer record", result, arguments[1]);
            case ReturnType.PtrToMem when helper.Id == DynptrData:
                return memory.Add("dynptr data", result, arguments[2]);
            case ReturnType.Integer or ReturnType.Void:
                return null;
            default:
                // The helper answers for objects of the kernel, and of the program's own; their size is not known here, nor whether
                // the result points behind their beginning (to a list node, say).
                return memory.Add($"result of {helper.Name}", result - Math.Min(result, BeforeResult), BeforeResult + (1UL << 20));
        }
    }

    /// <summary>Bytes of memory behind an argument; null if it is no memory.</summary>
    private static ulong? SizeOf(HelperPrototype helper, int register, ulong[] r)
    {
        ArgType type = helper.Args[register - 1];
        switch (type & ArgType.BaseMask)
        {
            case ArgType.PtrToMapKey: return Map(helper, r)->KeySize;
            case ArgType.PtrToMapValue: return Map(helper, r)->ValueSize;
            case ArgType.PtrToMem when (type & ArgType.FixedSize) != 0:
                return register <= helper.ArgSizes.Length ? (ulong)helper.ArgSizes[register - 1] : null;
            case ArgType.PtrToMem when register < helper.Args.Length && (helper.Args[register] & ArgType.BaseMask) is ArgType.ConstSize or ArgType.ConstSizeOrZero:
                return r[register + 1];
            default: return null;
        }
    }

    private static MapHeader* Map(HelperPrototype helper, ulong[] r)
    {
        for (int n = 0; n < helper.Args.Length; n++)
            if ((helper.Args[n] & ArgType.BaseMask) == ArgType.ConstMapPtr) return (MapHeader*)r[n + 1];
        return Empty;
    }

    private static readonly MapHeader* Empty = (MapHeader*)System.Runtime.InteropServices.NativeMemory.AllocZeroed((nuint)sizeof(MapHeader));
}
