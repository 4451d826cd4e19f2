using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Programs that are sound, but more than some array of the kernel holds: one below the limit, one above, and the host's verdict.</summary>
public class KernelLimitTests
{
    private static readonly Insn s_exit = new(0x95, 0, 0, 0, 0), s_zero = new(0xb7, 0, 0, 0, 0), s_random = new(0x85, 0, 0, 0, 7);

    /// <summary>What is counted, how many of it, and the verdict with the line that gives the reason.</summary>
    public static TheoryData<string, int, Errno, string?> Cases => new()
    {
        { "stack accesses", 262_144, Errno.None, null },
        { "stack accesses", 262_145, Errno.ENOMEM, null },
        { "maps", 64, Errno.None, null },
        { "maps", 65, Errno.E2BIG, "The total number of maps per program has reached the limit of 64" },
        { "tail calls", 1024, Errno.None, null },
        { "tail calls", 1025, Errno.ENOSPC, "adding tail call poke descriptor failed" },
        { "divisions in a jump", 8191, Errno.None, null },
        { "divisions in a jump", 8192, Errno.ENOMEM, "insn 8196 cannot be patched due to 16-bit range" },
        { "divisions in a jump", 32_700, Errno.ENOMEM, "insn 27 cannot be patched due to 16-bit range" },
        { "divisions in a jump back", 8191, Errno.None, null },
        { "divisions in a jump back", 8192, Errno.ENOMEM, "insn 8196 cannot be patched due to 16-bit range" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void LimitsAreTheKernels(string what, int count, Errno errno, string? message)
    {
        (Insn[] insns, MapSpec[] maps) = Program(what, count);
        VerifierResult result = Judges.Ours(ProgramType.SocketFilter, insns, maps, logLevel: 0);
        Assert.Equal(errno, result.Errno);
        if (message != null) Assert.Equal(message, result.Message);
    }

    [HostKernelTheory]
    [MemberData(nameof(Cases))]
    public void TheHostSaysTheSame(string what, int count, Errno errno, string? message)
    {
        // The kernel moves the whole program for each division: seconds.
        if (what.StartsWith("divisions", StringComparison.Ordinal) && count != 32_700) return;
        (Insn[] insns, MapSpec[] maps) = Program(what, count);
        // Counts only: the path would not fit into the log.
        (int hostErrno, string log) = Judges.Host(ProgramType.SocketFilter, insns, maps, logLevel: 4);
        Assert.Equal(errno, (Errno)hostErrno);
        if (message != null) Assert.Contains(message, log);
    }

    private static (Insn[] Insns, MapSpec[] Maps) Program(string what, int count)
    {
        var insns = new List<Insn>();
        List<MapSpec> maps = [];
        switch (what)
        {
            case "stack accesses":
                insns.Add(new(0x7b, 10, 1, -8, 0));
                for (int i = 1; i < count; i++) insns.Add(new(0x79, 2, 10, -8, 0));
                break;
            case "maps":
                for (int i = 0; i < count; i++)
                {
                    maps.Add(new MapSpec { Name = $"m{i}", Type = MapType.Array, KeySize = 4, ValueSize = 8, MaxEntries = 1 });
                    insns.AddRange([new(0x18, 1, (int)PseudoSource.MapFd, 0, i), default]);
                }

                break;
            case "tail calls":
                maps.Add(new MapSpec { Name = "programs", Type = MapType.ProgArray, KeySize = 4, ValueSize = 4, MaxEntries = 4 });
                insns.Add(new(0xbf, 6, 1, 0, 0));
                for (int i = 0; i < count; i++)
                    insns.AddRange([new(0xbf, 1, 6, 0, 0), new(0x18, 2, (int)PseudoSource.MapFd, 0, 0), default, new(0xb7, 3, 0, 0, i & 3), new(0x85, 0, 0, 0, 12)]);
                break;
            case "divisions in a jump":
                insns.AddRange([s_random, new(0xbf, 6, 0, 0, 0), s_random, new(0xbf, 7, 0, 0, 0), new(0x15, 6, 0, count, 5)]);
                insns.AddRange(Enumerable.Repeat(new Insn(0x3f, 7, 6, 0, 0), count));
                break;
            default:
                insns.AddRange([s_random, new(0xbf, 6, 0, 0, 0), new(0xbf, 7, 0, 0, 0), new(0xb7, 8, 0, 0, 0), new(0x07, 8, 0, 0, 1)]);
                insns.AddRange(Enumerable.Repeat(new Insn(0x3f, 7, 6, 0, 0), count));
                insns.Add(new(0xa5, 8, 0, -count - 2, 3));
                break;
        }

        return ([.. insns, s_zero, s_exit], [.. maps]);
    }
}
