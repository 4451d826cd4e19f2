using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>Which program type may call which helper, as availability.txt says, and what depends on the attach target.</summary>
public static class HelperAvailability
{
    private static readonly Dictionary<string, HashSet<int>> s_byContext = Parse();

    /// <summary>Helpers that an unprivileged program may call, where its type may.</summary>
    private static readonly HashSet<int> s_unprivileged =
    [
        1, 2, 3, 5, 7, 8, 12, 15, 14, 16, 17, 26, 28, 34, 42, 46, 47, 68, 79, 80, 81, 83, 87, 88, 89, 107, 108, 123, 125, 130, 131, 132, 133,
        134, 160, 208,
    ];

    /// <summary>Helpers that look into the kernel: they take CAP_PERFMON.</summary>
    private static readonly HashSet<int> s_perfmon =
    [
        6, 16, 22, 35, 55, 109, 112, 113, 114, 115, 117, 136, 137, 138, 139, 140, 141, 148, 149, 158, 165, 166, 175, 176, 177, 178, 180, 191, 196,
    ];

    /// <summary>Functions that may call bpf_d_path.</summary>
    private static readonly HashSet<string> s_pathFunctions =
    [
        "security_file_permission", "security_inode_getattr", "security_file_open", "security_path_truncate", "vfs_truncate",
        "vfs_fallocate", "dentry_open", "vfs_getattr", "filp_close",
    ];

    /// <summary>The program types that the list knows, such as <c>kprobe</c> or <c>tracing/28</c>.</summary>
    public static IReadOnlyCollection<string> Contexts => s_byContext.Keys;

    /// <summary>Whether programs with these attributes may call the helper at all.</summary>
    /// <param name="typeName">bpftool's name of the program type.</param>
    /// <param name="program">Type, attach type and target.</param>
    /// <param name="id">The helper.</param>
    public static bool Allows(string typeName, ProgramAttributes program, int id)
    {
        if (!s_byContext.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"{typeName}/{program.ExpectedAttachType}"), out var set)
            && !s_byContext.TryGetValue(typeName, out set))
            return false;
        if (!set.Contains(id)) return false;
        if (!program.Capabilities.Allows(Capabilities.Bpf) && !s_unprivileged.Contains(id)) return false;
        if (!program.Capabilities.Allows(Capabilities.Perfmon) && s_perfmon.Contains(id)
            && !(program.Type == ProgramType.Syscall && id is >= 136 and <= 140 or 178 or 196)) return false;
        // Socket options may only be changed where the iterator holds the socket's lock.
        if (program is { Type: ProgramType.Tracing, ExpectedAttachType: (uint)AttachType.TraceIter } && id is 49 or 57)
            return program.KernelBtf?.Find(program.AttachBtfId)?.Name is "bpf_iter_tcp" or "bpf_iter_unix" || program.Type != ProgramType.Tracing;
        return true;
    }

    /// <summary>Whether a helper that the type may call is also allowed at this attach target; false is the kernel's "not allowed in probe".</summary>
    public static bool AllowedAtTarget(ProgramAttributes program, int id)
    {
        if (program.Type == ProgramType.Syscall) return id is not (107 or 108 or 147);
        if (program.Type != ProgramType.Tracing) return true;
        string target = program.KernelBtf?.Find(program.AttachBtfId)?.Name ?? "";
        return (id, (AttachType)program.ExpectedAttachType) switch
        {
            (147, AttachType.TraceIter) => true,
            (147, _) => s_pathFunctions.Contains(target),
            (107 or 108, AttachType.TraceRawTp or AttachType.TraceIter) => true,
            (107 or 108, _) => !target.StartsWith("bpf_sk_storage", StringComparison.Ordinal),
            _ => true,
        };
    }

    private static Dictionary<string, HashSet<int>> Parse()
    {
        var all = new Dictionary<string, HashSet<int>>();
        foreach (string line in EmbeddedData.Lines("availability.txt"))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            var set = new HashSet<int>();
            foreach (string part in line[(colon + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                string[] ends = part.Split('-');
                int first = int.Parse(ends[0], CultureInfo.InvariantCulture), last = int.Parse(ends[^1], CultureInfo.InvariantCulture);
                for (int id = first; id <= last; id++) set.Add(id);
            }

            all[line[..colon]] = set;
        }

        return all;
    }
}
