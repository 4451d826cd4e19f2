namespace BpfSim.Maps;

/// <summary>perf_event_array: a slot a CPU, in which user space puts a perf event; programs write samples to their CPU's.</summary>
public sealed unsafe class PerfEventArrayMap : ReferenceArray
{
    /// <summary>BPF_F_INDEX_MASK: the part of the flags that says which slot.</summary>
    public const ulong IndexMask = 0xffffffff;

    /// <summary>BPF_F_CURRENT_CPU: the slot with the number of the CPU.</summary>
    public const ulong CurrentCpu = 0xffffffff;

    internal PerfEventArrayMap(MapSpec spec, uint cpus) : base(spec, cpus)
    {
    }

    /// <summary>
    /// bpf_perf_event_output on a CPU; the sample is <paramref name="data"/>, then <paramref name="tail"/> (the packet bytes of the helpers for network
    /// programs). -E2BIG: no such slot; -ENOENT: empty; -EINVAL: not a ring of samples; -EOPNOTSUPP: another CPU's; -ENOSPC: no room, the
    /// sample is lost.
    /// </summary>
    public int Output(ulong flags, ReadOnlySpan<byte> data, uint cpu, ReadOnlySpan<byte> tail = default)
    {
        var index = flags & IndexMask;
        if (index == CurrentCpu) index = cpu;
        if (index >= Spec.MaxEntries) return -(int)Errno.E2BIG;
        switch (this[(uint)index])
        {
            case null: return -(int)Errno.ENOENT;
            case PerfEventBuffer buffer when buffer.Cpu != cpu: return -(int)Errno.EOPNOTSUPP;
            case PerfEventBuffer buffer:
                if (buffer.Write(data, tail))
                {
                    Statistics.Of(cpu)->Updates++;
                    return 0;
                }

                Statistics.Of(cpu)->Drops++;
                return -(int)Errno.ENOSPC;
            default: return -(int)Errno.EINVAL;
        }
    }
}
