using System.Runtime.InteropServices;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// A place in the simulated kernel that events pass: a function's entry or return, a tracepoint, a sampling
/// timer. Subsystems pass it; programs hang on it.
/// </summary>
public sealed class HookSite
{
    private readonly PaddedCounter[] _passed;
    private volatile Attachment[] _attachments = [];

    internal HookSite(int index, SiteKind kind, string name, uint cpus)
    {
        Index = index;
        Kind = kind;
        Name = name;
        _passed = new PaddedCounter[cpus];
    }

    /// <summary>The site's number, which its events carry.</summary>
    public int Index { get; }

    /// <summary>What sort of place it is.</summary>
    public SiteKind Kind { get; }

    /// <summary>The function's name, or <c>category:name</c> of a tracepoint.</summary>
    public string Name { get; }

    /// <summary>The simulated address of the function, 0 where there is none; what bpf_get_func_ip returns.</summary>
    public ulong Address { get; init; }

    /// <summary>Whether events must be delivered to CPUs: some program hangs here.</summary>
    public bool IsActive => _attachments.Length != 0;

    /// <summary>The programs that hang here, in the order of attaching.</summary>
    public IReadOnlyList<Attachment> Attachments => _attachments;

    internal Attachment[] AttachmentArray => _attachments;

    /// <summary>The only program here, if one call of the engine may run it on many events; else null.</summary>
    internal Attachment? SeriesAttachment => _attachments is [{ RunsInSeries: true } only] ? only : null;

    /// <summary>Events that passed, over all CPUs.</summary>
    public ulong Passed
    {
        get
        {
            ulong sum = 0;
            foreach (ref PaddedCounter counter in _passed.AsSpan()) sum += Volatile.Read(ref counter.Value);
            return sum;
        }
    }

    /// <summary>Counts events as their producer emits them; one producer a CPU at a time.</summary>
    internal void Pass(uint cpu, ulong count = 1) => _passed[cpu].Value += count;

    internal void Add(Attachment attachment)
    {
        attachment.PassedBefore = Passed;
        _attachments = [.. _attachments, attachment];
    }

    internal void Remove(Attachment attachment)
    {
        attachment.PassedAfter = Passed;
        _attachments = [.. _attachments.Where(a => a != attachment)];
    }
}

/// <summary>A counter alone in its cache line.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct PaddedCounter
{
    public ulong Value;
}
