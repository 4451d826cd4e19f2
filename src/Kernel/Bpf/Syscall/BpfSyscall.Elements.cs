using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>Element access behind the checks; the kinds whose values are objects take descriptors and give ids.</summary>
public sealed partial class BpfSyscall
{
    private static int LookupValue(MapObject map, ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        if (value.Length < map.UserValueSize) return -(int)Errno.EFAULT;
        return map.Map.Lookup(key, value, flags);
    }

    private static int UpdateValue(MapObject map, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags) =>
        map.Map.Update(key, value, flags);

    private static int DeleteValue(MapObject map, ReadOnlySpan<byte> key) => map.Map.Delete(key);
}
