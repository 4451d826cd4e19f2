namespace BpfSim.Kernel.Bpf;

/// <summary>What perf_event_open(2) is asked for, as far as programs can hang on it.</summary>
public sealed record PerfEventAttr
{
    /// <summary>What is observed.</summary>
    public required PerfEventType Type { get; init; }

    /// <summary>Kprobe: the function. Uprobe: the binary's path. Tracepoint: <c>category:name</c>.</summary>
    public string Target { get; init; } = "";

    /// <summary>Kprobe: offset into the function in bytes. Uprobe: offset into the file.</summary>
    public ulong Offset { get; init; }

    /// <summary>Whether a probe fires on return.</summary>
    public bool IsReturn { get; init; }

    /// <summary>The event's config: the number of a software or hardware counter.</summary>
    public ulong Config { get; init; }

    /// <summary>Sampling period in events (nanoseconds of the clocks); used if <see cref="SampleFrequency"/> is 0.</summary>
    public ulong SamplePeriod { get; init; }

    /// <summary>Samples a second.</summary>
    public ulong SampleFrequency { get; init; }

    /// <summary>Only this process; -1 for all.</summary>
    public int Pid { get; init; } = -1;

    /// <summary>Pages of the ring of samples (BPF_OUTPUT events), a power of two.</summary>
    public uint BufferPages { get; init; } = 64;

    /// <summary>Only this CPU; -1 for all.</summary>
    public int Cpu { get; init; } = -1;
}

/// <summary>Kinds of perf events; the first values are the kernel's (enum perf_type_id), probes are dynamic there.</summary>
public enum PerfEventType : uint { Hardware, Software, Tracepoint, HwCache, Raw, Breakpoint, Kprobe, Uprobe }

/// <summary>An open perf event: a place for a program, or the user-space end of a CPU's perf buffer.</summary>
public sealed class PerfEventObject : KernelObject
{
    internal PerfEventObject(PerfEventAttr attr) => Attr = attr;

    /// <summary>What was asked for.</summary>
    public PerfEventAttr Attr { get; }

    /// <summary>The ring of samples of a PERF_COUNT_SW_BPF_OUTPUT event; null for others.</summary>
    public Maps.PerfEventBuffer? Buffer { get; internal init; }

    /// <inheritdoc/>
    protected override void Release() => Buffer?.Dispose();
}
