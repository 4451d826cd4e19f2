using System.Runtime.InteropServices;
using BpfSim.Kernel.Bpf;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// One program on one site: what it ran and what it missed there. At any moment between batches,
/// <see cref="Emitted"/> = <see cref="Runs"/> + <see cref="Misses"/>; the reconciliation checks it.
/// </summary>
public sealed class Attachment
{
    private readonly AttachmentCounters[] _perCpu;

    internal Attachment(HookSite site, HookKind kind, BpfProgram program, ulong cookie, uint cpus)
    {
        Site = site;
        Kind = kind;
        Program = program;
        Cookie = cookie;
        _perCpu = new AttachmentCounters[cpus];
    }

    /// <summary>Where the program hangs.</summary>
    public HookSite Site { get; }

    /// <summary>Which context it gets.</summary>
    public HookKind Kind { get; }

    /// <summary>The program.</summary>
    public BpfProgram Program { get; internal set; }

    /// <summary>What bpf_get_attach_cookie returns.</summary>
    public ulong Cookie { get; }

    /// <summary>Only events of this process are for the program; 0 for all (uprobes).</summary>
    public uint PidFilter { get; init; }

    /// <summary>The link that holds the attachment.</summary>
    public BpfLink? Link { get; internal set; }

    /// <summary>Set for the two halves of a session program, which runs at both ends of a function.</summary>
    public bool IsSession { get; init; }

    /// <summary>
    /// Whether nothing needs to be decided between two runs: no filter, no session, and a program that starts no
    /// timer, which would have to fire before the next event.
    /// </summary>
    internal bool RunsInSeries => Program.RunsInSeries && PidFilter == 0 && !IsSession && Kind != HookKind.PerfEvent;

    /// <summary>Tasks whose entry half said that the return half shall not run.</summary>
    internal HashSet<int> SessionDeclined { get; } = [];

    internal ulong PassedBefore { get; set; }

    internal ulong? PassedAfter { get; set; }

    /// <summary>Events that passed the site while the program was attached.</summary>
    public ulong Emitted => (PassedAfter ?? Site.Passed) - PassedBefore;

    /// <summary>Completed runs.</summary>
    public ulong Runs => Sum(static (ref AttachmentCounters c) => c.Runs);

    /// <summary>Events missed because a program was already running on that CPU (as bpf_prog_active and the recursion checks do).</summary>
    public ulong RecursionMisses => Sum(static (ref AttachmentCounters c) => c.Recursion);

    /// <summary>Events that the attachment's filter (a pid, a session's entry that said no) kept away.</summary>
    public ulong Filtered => Sum(static (ref AttachmentCounters c) => c.Filtered);

    /// <summary>Events lost with an actor that crashed while it worked on them.</summary>
    public ulong LostInCrash => Sum(static (ref AttachmentCounters c) => c.Lost);

    /// <summary>All misses, whatever the reason.</summary>
    public ulong Misses => RecursionMisses + Filtered + LostInCrash;

    internal ref AttachmentCounters Counters(uint cpu) => ref _perCpu[cpu];

    private delegate ulong Selector(ref AttachmentCounters counters);

    private ulong Sum(Selector select)
    {
        ulong sum = 0;
        foreach (ref AttachmentCounters counters in _perCpu.AsSpan()) sum += select(ref counters);
        return sum;
    }
}

/// <summary>What one CPU counts for one attachment; written by that CPU alone.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal struct AttachmentCounters
{
    public ulong Runs, Recursion, Filtered, Lost;
}
