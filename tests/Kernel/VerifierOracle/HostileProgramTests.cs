using BpfSim.Kernel.Bpf;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>Programs made to cost time or memory: the verifier answers, within its limits.</summary>
public class HostileProgramTests
{
    private const long StateLimit = 1L << 30;
    private const int Limit = 1_000_000;
    private static readonly Insn s_exit = new(0x95, 0, 0, 0, 0), s_zero = new(0xb7, 0, 0, 0, 0);

    private static VerifierResult Verify(IReadOnlyList<Insn> insns, ProgramType type = ProgramType.SocketFilter)
    {
        VerifierResult result = Judges.Ours(type, [.. insns], [], logLevel: 0);
        Assert.True(result.PeakStateBytes <= StateLimit, $"{result.PeakStateBytes >> 20} MiB of states");
        return result;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void SixtyFourKibOfRandomBytesAreRejected(int seed)
    {
        byte[] bytes = new byte[64 * 1024];
        new Random(seed).NextBytes(bytes);
        Assert.False(Verify(Insn.FromBytes(bytes)).Accepted);
    }

    /// <summary>Valid encodings, jumps to anywhere: into the halves of 64-bit loads, in circles, across functions.</summary>
    [Fact]
    public void ValidInstructionsInAnyOrderGetAnAnswer()
    {
        var random = new Random(5);
        InsnForm[] forms = [.. InsnTable.Forms];
        for (int i = 0; i < 300; i++)
        {
            var insns = new List<Insn>();
            for (int n = random.Next(2, 400); n > 0; n--)
            {
                Insn insn = forms[random.Next(forms.Length)].Build() with { Registers = (byte)(random.Next(11) | (random.Next(3) << 4)) };
                if (insn.Class is InsnClass.Jmp or InsnClass.Jmp32) insn = insn with { Off = (short)random.Next(-20, 20) };
                insns.Add(insn);
                if (insn.IsLdImm64) insns.Add(default);
            }

            insns.Add(s_exit);
            _ = Verify(insns);
        }
    }

    [Fact]
    public void AJumpIntoTheMiddleOfA64BitLoadIsRejected()
    {
        VerifierResult result = Verify([s_zero, new(0x15, 0, 0, 1, 0), new(0x18, 1, 0, 0, 0), default, s_exit]);
        Assert.Equal(Errno.EINVAL, result.Errno);
    }

    [Fact]
    public void RecursionEndsAtEightFrames()
    {
        VerifierResult result = Verify([new(0x85, 0, 1, 0, 1), s_exit, new(0x85, 0, 1, 0, -1), s_exit]);
        Assert.Equal(Errno.E2BIG, result.Errno);
    }

    /// <summary>f1 calls f2 twenty times, f2 calls f3 …: 20^7 chains, all in dead branches, which only the stack's depth looks at.</summary>
    [Fact]
    public void ChainsOfCallsInDeadBranchesAreNotTriedOneByOne()
    {
        const int Levels = 8, Calls = 20;
        var insns = new List<Insn>();
        for (int level = 0; level < Levels; level++)
        {
            bool last = level == Levels - 1;
            insns.Add(s_zero);
            insns.Add(new(0x15, 0, 0, last ? 0 : Calls, 0));
            int end = insns.Count + (last ? 0 : Calls) + 1;
            for (int call = 0; !last && call < Calls; call++) insns.Add(new(0x85, 0, 1, 0, end - insns.Count - 1));
            insns.Add(s_exit);
        }

        Assert.True(Verify(insns).Accepted);
    }

    /// <summary>A long function whose end reads the caller's stack, called from thousands of places: what is kept by chain of calls has a bound.</summary>
    [SlowFact]
    public void ALongFunctionCalledFromEverywhereTakesBoundedMemory()
    {
        const int Length = 30_000, Calls = 9_000;
        var insns = new List<Insn> { new(0x7a, 10, 0, -8, 0) };
        for (int call = 0; call < Calls; call++)
        {
            insns.Add(new(0xbf, 1, 10, 0, 0));
            insns.Add(new(0x85, 0, 1, 0, (Calls - call) * 2));
        }

        insns.Add(s_zero);
        insns.Add(s_exit);
        int start = insns.Count;
        Assert.Equal(2 + (Calls * 2), start - 1);
        insns.Add(new(0xb7, 2, 0, 0, 0));
        insns.Add(new(0x15, 2, 0, Length, 0));
        for (int i = 0; i < Length; i++) insns.Add(new(0x07, 2, 0, 0, 1));
        insns.Add(new(0x79, 0, 1, -8, 0));
        insns.Add(s_exit);
        VerifierResult result = Verify(insns);
        Assert.True(result.Errno is Errno.None or Errno.ENOMEM, $"{result.Errno} {result.Message}");
    }

    [SlowFact]
    public void AMillionInstructionsAreAcceptedAndOneMoreIsNot()
    {
        var insns = Enumerable.Repeat(new Insn(0x07, 0, 0, 0, 1), Limit).ToList();
        (insns[0], insns[^2], insns[^1]) = (s_zero, s_zero, s_exit);
        VerifierResult result = Verify(insns);
        Assert.True(result.Accepted, result.Message);
        Assert.Equal(Limit, result.InsnsProcessed);
        insns.Insert(1, s_zero);
        Assert.Equal(Errno.E2BIG, Verify(insns).Errno);
    }

    /// <summary>Tests of unknown numbers over the whole length, all going back: every instruction is the start of a loop.</summary>
    [SlowFact]
    public void AMillionJumpsBackAndForthEndAtTheLimit()
    {
        foreach (int back in new[] { -1, -2, -300, 1, 40 })
        {
            var insns = new List<Insn> { new(0x61, 6, 1, 0, 0) };
            while (insns.Count < Limit - 60)
            {
                insns.Add(new(0x07, 6, 0, 0, insns.Count % 7));
                int at = insns.Count;
                insns.Add(new(0x25, 6, 0, back > 0 ? back : Math.Max(back, -at), at));
            }

            while (insns.Count < Limit - 2) insns.Add(s_zero);
            insns.Add(s_zero);
            insns.Add(s_exit);
            VerifierResult result = Verify(insns);
            Assert.NotEqual(Errno.None, result.Errno);
        }
    }

    /// <summary>All eight frames full of numbers, and a loop that only the limit ends.</summary>
    [SlowFact]
    public void FullFramesToTheLimitStayBelowAGib()
    {
        var insns = new List<Insn>();
        for (int frame = 0; frame < 8; frame++)
        {
            for (int slot = 8; slot <= 512; slot += 8)
            {
                insns.Add(new(0x85, 0, 0, 0, 7));
                insns.Add(new(0x7b, 10, 0, -slot, 0));
            }

            if (frame == 7) break;
            insns.Add(new(0x85, 0, 1, 0, 1));
            insns.Add(s_exit);
        }

        insns.AddRange([new(0xb7, 6, 0, 0, 0), new(0x85, 0, 0, 0, 7), new(0x55, 0, 0, 1, 1), s_exit, new(0x07, 6, 0, 0, 1), new(0xa5, 6, 0, -5, int.MaxValue), s_zero, s_exit]);
        VerifierResult result = Verify(insns);
        Assert.Equal(Errno.E2BIG, result.Errno);
        Assert.True(result.InsnsProcessed > Limit);
    }
}
