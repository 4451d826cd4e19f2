using System.Collections.Concurrent;

namespace BpfSim.Kernel.Attach;

/// <summary>
/// All hook sites of a machine. Sites come into being when a subsystem or a link first names them; what
/// names exist is the kernel profile's business (<see cref="IsKnownFunction"/>, <see cref="IsKnownTracepoint"/>).
/// While the machine runs, attaching and detaching take effect between two windows, so that the counts of
/// emitted events and runs begin and end together.
/// </summary>
public sealed class HookTable
{
    private readonly Dictionary<(SiteKind, string), HookSite> _byName = [];
    private readonly Lock _lock = new();
    private readonly ConcurrentQueue<Action> _pending = new();
    private readonly List<Attachment> _all = [];
    private volatile HookSite[] _sites = [];
    private bool _running;

    internal HookTable(uint cpus) => Cpus = cpus;

    /// <summary>CPUs of the machine.</summary>
    public uint Cpus { get; }

    /// <summary>Whether the kernel has a function that can be probed by this name.</summary>
    public Func<string, bool> IsKnownFunction { get; internal init; } = _ => true;

    /// <summary>Whether the kernel has this tracepoint (<c>category:name</c>).</summary>
    public Func<string, bool> IsKnownTracepoint { get; internal init; } = _ => true;

    /// <summary>The category of a tracepoint given by its bare name, null if there is none.</summary>
    public Func<string, string?> FindCategory { get; internal init; } = _ => null;

    /// <summary>Whether the simulation itself passes a function by this name: it can be probed even if a trimmed BTF lacks it.</summary>
    internal bool IsSimulated(string function)
    {
        lock (_lock) return _byName.ContainsKey((SiteKind.FunctionEntry, function));
    }

    /// <summary>All sites, by index.</summary>
    public IReadOnlyList<HookSite> Sites => _sites;

    internal HookSite[] SiteArray => _sites;

    /// <summary>Every attachment that was ever made in this run, detached ones too, in order.</summary>
    public IReadOnlyList<Attachment> AllAttachments
    {
        get { lock (_lock) return [.. _all]; }
    }

    /// <summary>The site of this kind and name; made if it is new.</summary>
    public HookSite Site(SiteKind kind, string name)
    {
        lock (_lock)
        {
            if (_byName.TryGetValue((kind, name), out HookSite? site)) return site;
            ulong address = kind is SiteKind.FunctionEntry or SiteKind.FunctionReturn ? KernelSymbols.AddressOf(name) : 0;
            site = new HookSite(_sites.Length, kind, name, Cpus) { Address = address };
            _byName.Add((kind, name), site);
            _sites = [.. _sites, site];
            return site;
        }
    }

    /// <summary>Hangs attachments on their sites, now or at the next window's border.</summary>
    internal void Attach(IReadOnlyList<Attachment> attachments)
    {
        lock (_lock) _all.AddRange(attachments);
        AtBorder(() =>
        {
            foreach (Attachment attachment in attachments)
                if (attachment.Link is { IsAttached: true }) attachment.Site.Add(attachment);
        });
    }

    /// <summary>Takes attachments off, now or at the next window's border.</summary>
    internal void Detach(IReadOnlyList<Attachment> attachments) => AtBorder(() =>
    {
        foreach (Attachment attachment in attachments) attachment.Site.Remove(attachment);
    });

    private void AtBorder(Action change)
    {
        lock (_lock)
        {
            if (!_running)
            {
                change();
                return;
            }
        }
        _pending.Enqueue(change);
    }

    /// <summary>The machine begins or ends a run; pending changes are made.</summary>
    internal void SetRunning(bool running)
    {
        lock (_lock)
        {
            _running = running;
            ApplyPending();
        }
    }

    /// <summary>Makes the changes that were asked for during the last window.</summary>
    internal void ApplyPending()
    {
        while (_pending.TryDequeue(out Action? change)) change();
    }
}
