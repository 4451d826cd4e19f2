using System.Globalization;
using System.Text.RegularExpressions;
using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Libbpf;

/// <summary>How each kind of program is attached, by what its section says.</summary>
internal static class Attacher
{
    public static bool CanAttach(ProgramType type, string? target) => type switch
    {
        ProgramType.Tracing or ProgramType.Lsm => true,
        ProgramType.Kprobe or ProgramType.Tracepoint or ProgramType.RawTracepoint or ProgramType.RawTracepointWritable => !string.IsNullOrEmpty(target),
        _ => false,
    };

    public static BpfObjectLink Attach(BpfSyscall bpf, BpfObjectProgram program, string? target)
    {
        ProgramSpec spec = program.Spec;
        string section = spec.Section.TrimStart('?');
        string kind = section.Split('/')[0];
        if (spec.Type is ProgramType.Tracing or ProgramType.Lsm) return Open(bpf, program, target ?? "", bpf.RawTracepointOpen(null, program.Fd));
        if (string.IsNullOrEmpty(target)) throw new BpfObjectException($"prog '{program.Name}': section '{section}' names no target to attach to", Errno.EINVAL);
        return (spec.Type, kind) switch
        {
            (ProgramType.RawTracepoint or ProgramType.RawTracepointWritable, _) => Open(bpf, program, target, bpf.RawTracepointOpen(target, program.Fd)),
            (ProgramType.Tracepoint, _) => PerfEvent(bpf, program, target, new PerfEventAttr { Type = PerfEventType.Tracepoint, Target = Tracepoint(target) }),
            (ProgramType.Kprobe, "kprobe" or "kretprobe") => Kprobe(bpf, program, target, kind == "kretprobe"),
            (ProgramType.Kprobe, "ksyscall" or "kretsyscall") => Kprobe(bpf, program, "__x64_sys_" + target, kind == "kretsyscall"),
            (ProgramType.Kprobe, "kprobe.multi" or "kretprobe.multi" or "kprobe.session") => KprobeMulti(bpf, program, target, kind),
            (ProgramType.Kprobe, "uprobe" or "uretprobe" or "uprobe.s" or "uretprobe.s") => Uprobe(bpf, program, target, kind.StartsWith("uret", StringComparison.Ordinal)),
            _ => throw new BpfObjectException($"prog '{program.Name}': programs of section '{section}' are not attached by target", Errno.EOPNOTSUPP),
        };
    }

    private static string Tracepoint(string target) => target.Replace('/', ':');

    private static BpfObjectLink Kprobe(BpfSyscall bpf, BpfObjectProgram program, string target, bool onReturn)
    {
        int plus = target.IndexOf('+');
        ulong offset = 0;
        if (plus >= 0 && !TryNumber(target[(plus + 1)..], out offset))
            throw new BpfObjectException($"prog '{program.Name}': kprobe target '{target}' has a bad offset", Errno.EINVAL);
        return PerfEvent(bpf, program, target, new PerfEventAttr
        {
            Type = PerfEventType.Kprobe,
            Target = plus < 0 ? target : target[..plus],
            Offset = offset,
            IsReturn = onReturn,
        });
    }

    private static BpfObjectLink Uprobe(BpfSyscall bpf, BpfObjectProgram program, string target, bool onReturn)
    {
        int colon = target.LastIndexOf(':');
        if (colon <= 0) throw new BpfObjectException($"prog '{program.Name}': uprobe target '{target}' is not BINARY:OFFSET", Errno.EINVAL);
        string place = target[(colon + 1)..];
        // Without the binary at hand, each function name gets an offset of its own.
        if (!TryNumber(place, out ulong offset)) offset = Fnv(place) & 0xffffff;
        return PerfEvent(bpf, program, target, new PerfEventAttr { Type = PerfEventType.Uprobe, Target = target[..colon], Offset = offset, IsReturn = onReturn });
    }

    private static BpfObjectLink KprobeMulti(BpfSyscall bpf, BpfObjectProgram program, string target, string kind)
    {
        var names = new List<string>();
        if (target.Contains('*') || target.Contains('?'))
        {
            var pattern = new Regex("^" + Regex.Escape(target).Replace("\\*", ".*").Replace("\\?", ".") + "$", RegexOptions.CultureInvariant);
            if (program.KernelBtf is { } kernel)
                names.AddRange(kernel.Types.Where(t => t.Kind == Vm.Btf.BtfKind.Func).Select(t => t.Name).Where(n => pattern.IsMatch(n)).Distinct());
        }
        else
        {
            names.Add(target);
        }
        if (names.Count == 0) throw new BpfObjectException($"prog '{program.Name}': failed to resolve pattern '{target}': no function matches", Errno.ENOENT);
        var attr = new LinkCreateAttr
        {
            ProgFd = program.Fd,
            AttachType = (AttachType)program.Spec.ExpectedAttachType,
            Syms = names,
            MultiFlags = kind == "kretprobe.multi" ? 1u : 0u,
        };
        return Open(bpf, program, target, bpf.LinkCreate(attr));
    }

    private static BpfObjectLink PerfEvent(BpfSyscall bpf, BpfObjectProgram program, string target, PerfEventAttr attr)
    {
        int perf = bpf.PerfEventOpen(attr);
        if (perf < 0) throw new BpfObjectException($"prog '{program.Name}': failed to create {attr.Type.ToString().ToLowerInvariant()} '{target}' perf event: {(Errno)(-perf)}", (Errno)(-perf));
        int link = bpf.LinkCreate(new LinkCreateAttr { ProgFd = program.Fd, TargetFd = perf, AttachType = AttachType.PerfEvent });
        if (link >= 0) return new BpfObjectLink(bpf, target, link, perf);
        bpf.Fds.Close(perf);
        return Open(bpf, program, target, link);
    }

    private static BpfObjectLink Open(BpfSyscall bpf, BpfObjectProgram program, string target, int link)
    {
        if (link >= 0) return new BpfObjectLink(bpf, target, link);
        throw new BpfObjectException($"prog '{program.Name}': failed to attach to '{target}': {(Errno)(-link)}", (Errno)(-link));
    }

    private static bool TryNumber(string text, out ulong value) => text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
        ? ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out value)
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    private static ulong Fnv(string text)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (char c in text) hash = (hash ^ c) * 0x100000001b3;
        return hash ^ hash >> 32;
    }
}
