using System.Collections.Concurrent;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// How many bytes behind the context pointer a program may touch, for the checked interpreter: up to the last one
/// that the verifier lets any program of the type read or write. Derived from the program type table.
/// </summary>
internal static class ContextSizes
{
    /// <summary>From here on a type's contexts have no end that the type alone tells, such as tracepoint records.</summary>
    private const int Longest = 1024;

    private static readonly ConcurrentDictionary<ProgramType, int?> s_sizes = new();

    /// <summary>Bytes of a program's context; null if unknown.</summary>
    public static int? Of(ExecutableProgram program) => s_sizes.GetOrAdd(program.Type, Measure);

    private static int? Measure(ProgramType type)
    {
        // What a context of BTF types holds depends on the function that the program is attached to.
        if (type is ProgramType.Tracing or ProgramType.Lsm or ProgramType.StructOps or ProgramType.Ext) return null;
        if (ProgramTypeTable.Find(type) is not { } info) return null;
        int end = 0;
        foreach (uint attachType in AttachTypes(info))
        {
            var attributes = new ProgramAttributes { Type = type, ExpectedAttachType = attachType };
            for (int off = 0; off < Longest; off++)
            {
                for (int size = 1; size <= 8; size *= 2)
                {
                    foreach (bool write in (bool[])[false, true])
                        if (info.CheckContext(new ContextQuery(attributes, off, size, write, false)).Kind != ContextAccessKind.Invalid) end = Math.Max(end, off + size);
                }
            }
        }

        return end is 0 or >= Longest ? null : end;
    }

    private static IEnumerable<uint> AttachTypes(ProgramTypeInfo info) => info.Sections.Select(s => s.AttachType).Append(0u).Distinct();
}
