using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Random programs to both verifiers: verdict, instructions walked and checkpoints must be the same.</summary>
public class RandomProgramTests
{
    private const int NoSpace = 28;

    private static readonly MapSpec[] s_maps =
    [
        new() { Name = "h", Type = MapType.Hash, KeySize = 4, ValueSize = 24, MaxEntries = 16 },
        new() { Name = "a", Type = MapType.Array, KeySize = 4, ValueSize = 16, MaxEntries = 8 },
    ];

    private static void Compare(ProgramType type, Func<int, Insn[]> make, int first, int count)
    {
        MapSpec[] maps = type == ProgramType.Xdp ? s_maps : [];
        for (int seed = first; seed < first + count; seed++)
        {
            Insn[] insns = make(seed);
            (int errno, string log) = Judges.Host(type, insns, maps);
            // The host's log did not fit: its verdict is unknown.
            if (errno == NoSpace) continue;
            VerifierResult ours = Judges.Ours(type, insns, maps);
            Assert.True(errno == (int)ours.Errno,
                $"seed {seed}: the host says {errno} ({Judges.Reason(log)}), we say {(int)ours.Errno} ({ours.Message})");
            Assert.True(Judges.Counts(log) == Judges.Counts(ours.Log),
                $"seed {seed}: the host's counts are '{Judges.Counts(log)}', ours '{Judges.Counts(ours.Log)}'");
        }
    }

    [HostKernelFact]
    public void NumbersAndStack() => Compare(ProgramType.SocketFilter, RandomScalarPrograms.Make, 1, 600);

    [HostKernelFact]
    public void PacketsMapsAndCalls() => Compare(ProgramType.Xdp, RandomXdpPrograms.Make, 1, 600);

    [SlowFact]
    public void NumbersAndStackAtLength() => Compare(ProgramType.SocketFilter, RandomScalarPrograms.Make, 100_000, 50_000);

    [SlowFact]
    public void PacketsMapsAndCallsAtLength() => Compare(ProgramType.Xdp, RandomXdpPrograms.Make, 100_000, 50_000);

    [Fact]
    public void RandomBytesNeverCrash()
    {
        var random = new Random(7);
        for (int i = 0; i < 400; i++)
        {
            byte[] bytes = new byte[random.Next(1, 200) * 8];
            random.NextBytes(bytes);
            Insn[] insns = Insn.FromBytes(bytes);
            VerifierResult result = Judges.Ours(ProgramType.SocketFilter, insns, []);
            Assert.False(result.Accepted);
        }
    }

    [Fact]
    public void MutatedProgramsNeverCrash()
    {
        var random = new Random(8);
        for (int seed = 0; seed < 400; seed++)
        {
            Insn[] insns = RandomXdpPrograms.Make(seed);
            byte[] bytes = Insn.ToBytes(insns);
            for (int k = random.Next(1, 4); k > 0; k--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            _ = Judges.Ours(ProgramType.Xdp, Insn.FromBytes(bytes), s_maps);
        }
    }
}
