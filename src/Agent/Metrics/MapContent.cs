using System.Buffers.Binary;
using BpfSim.Maps;

namespace BpfSim.Agent.Metrics;

/// <summary>A map's elements as user space copied them.</summary>
/// <param name="Spec">The map's blueprint.</param>
/// <param name="Cpus">Copies of each value in a per-CPU map.</param>
/// <param name="Elements">Keys and values; of a per-CPU map all CPUs' values, each rounded up to 8 bytes.</param>
public sealed record MapContent(MapSpec Spec, uint Cpus, IReadOnlyList<(byte[] Key, byte[] Value)> Elements)
{
    /// <summary>The number in a value: its first 8 bytes (or 4, 2, 1), added up over the CPUs.</summary>
    public ulong Number(byte[] value)
    {
        bool perCpu = Spec.Type is MapType.PercpuArray or MapType.PercpuHash or MapType.LruPercpuHash or MapType.PercpuCgroupStorage;
        int stride = (int)((Spec.ValueSize + 7) & ~7u), copies = perCpu && stride > 0 ? value.Length / stride : 1;
        ulong sum = 0;
        for (int i = 0; i < copies; i++) sum += One(value.AsSpan(i * stride), (int)Spec.ValueSize);
        return sum;
    }

    private static ulong One(ReadOnlySpan<byte> value, int size) => size switch
    {
        >= 8 => BinaryPrimitives.ReadUInt64LittleEndian(value),
        >= 4 => BinaryPrimitives.ReadUInt32LittleEndian(value),
        >= 2 => BinaryPrimitives.ReadUInt16LittleEndian(value),
        1 => value[0],
        _ => 0,
    };
}
