using BpfSim.Vm.Helpers;

namespace BpfSim.Kernel.Bpf;

/// <summary>
/// The prototypes of all helpers of Linux 6.18 (bpf-helpers(7)): the single source from which verifier,
/// disassembler and engines derive. Which program type may call which stands in <c>HelperAvailability</c>.
/// </summary>
public static class HelperCatalog
{
    /// <summary>Every helper, by ascending id; 1 to 211 without a gap.</summary>
    public static IReadOnlyList<HelperPrototype> Rows { get; } =
    [
        .. new[]
        {
            MapHelpers.Rows, TracingHelpers.Rows, TaskHelpers.Rows, PrintHelpers.Rows, RingbufHelpers.Rows,
            SkbHelpers.Rows, XdpHelpers.Rows, SocketHelpers.Rows, StorageHelpers.Rows, PrivilegedHelpers.Rows,
        }.SelectMany(r => r).OrderBy(r => r.Id),
    ];

    /// <summary>The rows as a table, without implementations.</summary>
    public static HelperTable Table { get; } = new(Rows);
}
