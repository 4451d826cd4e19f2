using BpfSim.Kernel.Attach;

namespace BpfSim.Kernel.Bpf;

/// <summary>A link: holds a program on its hooks for as long as descriptors or pins hold the link.</summary>
public sealed class BpfLink : KernelObject
{
    private readonly HookTable _hooks;

    internal BpfLink(HookTable hooks, BpfLinkType type, AttachType attachType, BpfProgram program, IReadOnlyList<Attachment> attachments)
    {
        _hooks = hooks;
        Type = type;
        AttachType = attachType;
        Program = program;
        program.Get();
        Attachments = attachments;
        foreach (Attachment attachment in attachments) attachment.Link = this;
        IsAttached = true;
        hooks.Attach(attachments);
    }

    /// <summary>The kind of link.</summary>
    public BpfLinkType Type { get; }

    /// <summary>The attach type.</summary>
    public AttachType AttachType { get; }

    /// <summary>The program.</summary>
    public BpfProgram Program { get; private set; }

    /// <summary>Where it hangs: one entry a site.</summary>
    public IReadOnlyList<Attachment> Attachments { get; }

    /// <summary>What it hangs on: a function, a tracepoint's name, a path and offset.</summary>
    public string Target { get; init; } = "";

    /// <summary>Id of the target in the kernel's BTF, for tracing links.</summary>
    public uint TargetBtfId { get; init; }

    /// <summary>The perf event behind a perf-event link; null for others.</summary>
    public PerfEventObject? PerfEvent { get; init; }

    /// <summary>The map of a map element iterator; null for others.</summary>
    public MapObject? IterMap { get; init; }

    /// <summary>Whether the program still hangs there.</summary>
    public bool IsAttached { get; private set; }

    /// <summary>Takes the program off its hooks; the counters keep their values.</summary>
    internal void Detach()
    {
        if (!IsAttached) return;
        IsAttached = false;
        _hooks.Detach(Attachments);
    }

    /// <summary>BPF_LINK_UPDATE: another program takes the place of the present one.</summary>
    internal void Replace(BpfProgram program)
    {
        program.Get();
        BpfProgram old = Program;
        Program = program;
        old.Put();
    }

    /// <inheritdoc/>
    protected override void Release()
    {
        Detach();
        PerfEvent?.Put();
        IterMap?.Put();
        Program.Put();
    }
}
