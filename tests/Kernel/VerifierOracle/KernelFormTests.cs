using System.Globalization;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Kernel.Profile;
using BpfSim.Maps;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Tests.VerifierOracle;

/// <summary>What is shown of a loaded program: as the kernel's listings of tests/data/verifier/*.xlated have it.</summary>
public class KernelFormTests
{
    private static readonly VerifierCase[] s_cases = [.. Directory.GetFiles(Repository.PathOf("tests", "data", "verifier"), "*.xlated").Order(StringComparer.Ordinal).SelectMany(Read)];

    public static TheoryData<string> Cases => [.. s_cases.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void ProgramsAreShownAsTheKernelShowedThem(string name)
    {
        VerifierCase c = s_cases.First(c => c.Name == name);
        Assert.Equal(c.Expected, Shown(c, KernelProfile.Embedded.Btf!));
    }

    [HostKernelTheory]
    [MemberData(nameof(Cases))]
    public void ProgramsAreShownAsTheHostShowsThem(string name)
    {
        VerifierCase c = s_cases.First(c => c.Name == name);
        (Insn[] insns, MapSpec[] specs) = c.Assemble();
        int[] fds = [.. specs.Select(s => HostKernel.CreateMap(s))];
        int program = HostKernel.LoadProgram(new HostProgramSpec
        {
            Type = (uint)c.Type,
            ExpectedAttachType = c.AttachType,
            Insns = Insn.ToBytes([.. insns.Select(i => i.IsLdImm64 && i.Src == (int)PseudoSource.MapFd ? i with { Imm = fds[i.Imm] } : i)]),
        }).Fd;
        try
        {
            Assert.True(program >= 0, $"not loaded: {program}");
            string host = Listing(Insn.FromBytes(HostKernel.GetProgramInfo(program).Xlated));
            Assert.Equal(host, Shown(c, BtfData.Parse(File.ReadAllBytes("/sys/kernel/btf/vmlinux"))));
        }
        finally
        {
            foreach (int fd in fds.Append(program).Where(fd => fd >= 0)) HostKernel.Close(fd);
        }
    }

    private static string Shown(VerifierCase c, BtfData kernel)
    {
        (Insn[] insns, MapSpec[] specs) = c.Assemble();
        BpfMap[] maps = [.. specs.Select(s => MapFactory.Create(s, 2).Map!)];
        VerifierResult result = EbpfVerifier.Verify(new VerifierInput
        {
            Insns = insns,
            ProgramType = ProgramTypeTable.Find(c.Type)!,
            Helpers = HelperCatalog.Table,
            Attributes = new ProgramAttributes { Type = c.Type, ExpectedAttachType = c.AttachType, GplCompatible = true, KernelBtf = kernel },
            Maps = maps,
        });
        foreach (BpfMap map in maps) map.Dispose();
        Assert.True(result.Accepted, result.Message);
        Assert.Equal(result.Shown.Length, result.ShownOriginalSlots.Length);
        return Listing(result.Shown);
    }

    /// <summary>The high half of the lowest address of the kernel.</summary>
    private const uint KernelSpace = 0xffff0000;

    private static bool IsNull(Insn[] insns, int slot) => (insns[slot].Imm | insns[slot + 1].Imm) == 0;

    /// <summary>The instructions without what is of one machine alone: addresses of functions, maps and variables.</summary>
    private static string Listing(Insn[] insns)
    {
        var lines = new List<string>();
        for (int slot = 0; slot < insns.Length; slot++)
        {
            bool address = slot + 1 < insns.Length && insns[slot + 1] is { Code: 0xbf, Off: -1 } && insns[slot].Code == 0xb7;
            bool known = insns[slot].IsLdImm64 && insns[slot].Src == (int)PseudoSource.Imm64 && (uint)insns[slot + 1].Imm < KernelSpace && !IsNull(insns, slot);
            lines.Add(known ? Disassembler.Line([insns[slot], insns[slot + 1]], 0)
                : insns[slot].IsLdImm64 ? $"(18) r{insns[slot].Dst} = ADDRESS"
                : insns[slot].IsHelperCall ? "(85) call"
                : insns[slot].IsLocalCall ? $"(85) call pc{insns[slot].Off:+0;-0;+0}#{insns[slot].Imm}"
                : Disassembler.Line(address ? [insns[slot] with { Imm = 0 }] : [insns[slot]], 0));
            if (insns[slot].IsLdImm64) slot++;
        }

        return string.Join('\n', lines);
    }

    private static IEnumerable<VerifierCase> Read(string file)
    {
        string[] blocks = File.ReadAllText(file).Split("\n== ");
        foreach (string block in blocks.Skip(1))
        {
            string[] parts = block.Split("\n=>\n"), head = parts[0].Split('\n', 3), words = head[1].Split(' ');
            var type = Enum.Parse<ProgramType>(words[1].Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
            uint attach = words is [_, _, "attach", var number] ? uint.Parse(number, CultureInfo.InvariantCulture) : 0;
            yield return new VerifierCase(file, 0, head[0], type, head[2], parts[1].Trim()) { AttachType = attach };
        }
    }
}
