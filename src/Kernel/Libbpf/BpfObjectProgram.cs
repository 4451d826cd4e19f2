using BpfSim.Kernel.Bpf;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Libbpf;

/// <summary>A program of a <see cref="BpfObject"/>.</summary>
public sealed class BpfObjectProgram
{
    private readonly List<BpfObjectLink> _links = [];
    private BpfSyscall? _bpf;

    internal BpfObjectProgram(ProgramSpec spec)
    {
        Spec = spec;
        AutoLoad = spec.AutoLoad;
        AttachTarget = spec.AttachTarget;
    }

    /// <summary>What the file says of it.</summary>
    public ProgramSpec Spec { get; }

    /// <summary>The name of the C function.</summary>
    public string Name => Spec.Name;

    /// <summary>Whether <see cref="BpfObject.Load"/> loads it; at first what the section says.</summary>
    public bool AutoLoad { get; set; }

    /// <summary>Whether <see cref="BpfObject.Attach"/> attaches it.</summary>
    public bool AutoAttach { get; set; } = true;

    /// <summary>What it attaches to, at first what stands behind the slash of its section; settable before loading.</summary>
    public string? AttachTarget { get; set; }

    /// <summary>The descriptor, -1 before loading.</summary>
    public int Fd { get; private set; } = -1;

    /// <summary>Whether it is loaded.</summary>
    public bool IsLoaded => Fd >= 0;

    /// <summary>The verifier's log of the load.</summary>
    public string Log { get; internal set; } = "";

    /// <summary>The live program.</summary>
    /// <exception cref="InvalidOperationException">It is not loaded.</exception>
    public BpfProgram Live => _bpf?.FindProgram(Fd) ?? throw new InvalidOperationException($"program '{Name}' is not loaded");

    /// <summary>The links that it hangs on.</summary>
    public IReadOnlyList<BpfObjectLink> Links => _links;

    /// <summary>Whether its section says where it belongs, so that it can be attached without being told more.</summary>
    public bool CanAttach => AutoAttach && Attacher.CanAttach(Spec.Type, AttachTarget);

    /// <summary>Attaches it to <see cref="AttachTarget"/>, or to another target of the same kind.</summary>
    /// <exception cref="BpfObjectException">The kernel has no such target, or the type is not attached this way.</exception>
    public BpfObjectLink Attach(string? target = null)
    {
        BpfObjectLink link = Attacher.Attach(_bpf ?? throw new InvalidOperationException($"program '{Name}' is not loaded"), this, target ?? AttachTarget);
        _links.Add(link);
        return link;
    }

    internal void Loaded(BpfSyscall bpf, int fd, Vm.Btf.BtfData? kernelBtf)
    {
        _bpf = bpf;
        Fd = fd;
        KernelBtf = kernelBtf;
    }

    /// <summary>The types of the kernel that it is loaded into.</summary>
    internal Vm.Btf.BtfData? KernelBtf { get; private set; }

    internal void Unloaded()
    {
        foreach (BpfObjectLink link in _links) link.Dispose();
        _links.Clear();
        _bpf = null;
        Fd = -1;
    }
}

/// <summary>The hold of a program on its target; disposing it detaches the program.</summary>
public sealed class BpfObjectLink : IDisposable
{
    private readonly BpfSyscall _bpf;
    private readonly int[] _fds;
    private bool _disposed;

    internal BpfObjectLink(BpfSyscall bpf, string target, params int[] fds)
    {
        _bpf = bpf;
        _fds = fds;
        Target = target;
    }

    /// <summary>What the program hangs on.</summary>
    public string Target { get; }

    /// <summary>The link's descriptor.</summary>
    public int Fd => _fds[0];

    /// <summary>The kernel's link.</summary>
    public BpfLink? Live => _bpf.FindLink(Fd);

    /// <summary>Detaches.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        foreach (int fd in _fds) _bpf.Fds.Close(fd);
    }
}
