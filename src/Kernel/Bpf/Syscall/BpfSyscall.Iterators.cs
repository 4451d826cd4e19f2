using BpfSim.Kernel.Attach;
using BpfSim.Maps;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    /// <summary>BPF_ITER_CREATE: a descriptor to read what an iterator link's program writes, see <see cref="Read"/>.</summary>
    public int IterCreate(int linkFd, uint flags = 0)
    {
        int result = flags != 0 ? -(int)Errno.EINVAL : Resolve(linkFd, out BpfLink link) is var error and not 0 ? error : Create(link);
        return Traced(BpfCommand.BPF_ITER_CREATE, new IterCreateAttr(linkFd, flags), result);

        int Create(BpfLink link)
        {
            if (link.Type != BpfLinkType.Iter) return -(int)Errno.EINVAL;
            _bench ??= new TestBench(_environment);
            return Fds.Install(new BpfIterator(link, Targets, _bench));
        }
    }

    /// <summary>read(2) of an iterator: bytes read, 0 at the end, or -errno.</summary>
    public int Read(int fd, Span<byte> buffer)
    {
        int error = Resolve(fd, out BpfIterator iterator);
        return error != 0 ? error : iterator.Read(buffer);
    }

    private IteratorTargets Targets
    {
        get
        {
            IteratorTargets targets = _environment.IteratorTargets;
            targets.Bpf = this;
            return targets;
        }
    }

    private int AttachIterator(BpfProgram program, LinkCreateAttr attr)
    {
        if (attr.Flags != 0) return -(int)Errno.EINVAL;
        uint btfId = program.Attributes.AttachBtfId;
        string target = _environment.KernelBtf?.Find(btfId)?.Name ?? "";
        target = target.StartsWith("bpf_iter_", StringComparison.Ordinal) ? target["bpf_iter_".Length..] : target;
        // The other targets (sockets, files, cgroups, …) are not kept as lists here.
        if (!IteratorTargets.Knows(target)) return -(int)Errno.EOPNOTSUPP;
        MapObject? map = null;
        if (target == "bpf_map_elem")
        {
            if (attr.IterMapFd == 0) return -(int)Errno.EBADF;
            int error = Resolve(attr.IterMapFd, out MapObject found);
            if (error != 0) return error;
            // Per-CPU values would need a copy of all CPUs' values, as long as the program expects.
            if (found.Map.Spec.Type is not (MapType.Hash or MapType.LruHash or MapType.Array)) return -(int)Errno.EINVAL;
            found.Get();
            map = found;
        }
        return Install(new BpfLink(Hooks, BpfLinkType.Iter, AttachType.TraceIter, program, []) { Target = target, TargetBtfId = btfId, IterMap = map });
    }
}

/// <summary>What BPF_ITER_CREATE is given.</summary>
public sealed record IterCreateAttr(int LinkFd, uint Flags);
