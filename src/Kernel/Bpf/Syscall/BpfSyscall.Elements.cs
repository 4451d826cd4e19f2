using System.Runtime.InteropServices;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

/// <summary>Element access behind the checks; the kinds whose values are objects take descriptors and give ids.</summary>
public sealed partial class BpfSyscall
{
    private static int LookupValue(MapObject map, ReadOnlySpan<byte> key, Span<byte> value, ulong flags)
    {
        if (value.Length < map.UserValueSize) return -(int)Errno.EFAULT;
        return map.Map.Lookup(KeyOf(map, key), value, flags);
    }

    private int UpdateValue(MapObject map, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong flags)
    {
        key = KeyOf(map, key);
        switch (map.Map.Spec.Type)
        {
            // Arrays look at flags and index before the descriptor, hash tables after it.
            case MapType.ProgArray or MapType.ArrayOfMaps or MapType.PerfEventArray when flags != 0:
                return -(int)Errno.EINVAL;
            case MapType.ProgArray or MapType.ArrayOfMaps or MapType.PerfEventArray when MemoryMarshal.Read<uint>(key) >= map.Map.Spec.MaxEntries:
                return -(int)Errno.E2BIG;
            case MapType.ProgArray:
                int error = Resolve(MemoryMarshal.Read<int>(value), out BpfProgram program);
                if (error != 0) return error;
                if (!map.AcceptsProgram(program)) return -(int)Errno.EINVAL;
                return map.Map.UpdateReference(key, program.AsReferent(), flags);
            case MapType.ArrayOfMaps or MapType.HashOfMaps:
                error = Resolve(MemoryMarshal.Read<int>(value), out MapObject inner);
                if (error != 0) return error;
                return map.Map.UpdateReference(key, inner.Map, flags);
            case MapType.PerfEventArray:
                if (Fds.Find(MemoryMarshal.Read<int>(value)) is not PerfEventObject perfEvent) return -(int)Errno.EBADF;
                return perfEvent.Buffer == null ? -(int)Errno.EINVAL : map.Map.UpdateReference(key, perfEvent.Buffer, flags);
            default:
                return map.Map.Update(key, value, flags);
        }
    }

    private static int DeleteValue(MapObject map, ReadOnlySpan<byte> key) => map.Map.Delete(KeyOf(map, key));

    /// <summary>Callers may hand in more than the key.</summary>
    private static ReadOnlySpan<byte> KeyOf(MapObject map, ReadOnlySpan<byte> key) => key[..Math.Min(key.Length, (int)map.Map.Spec.KeySize)];
}
