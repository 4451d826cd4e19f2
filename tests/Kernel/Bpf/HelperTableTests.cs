using System.Text.RegularExpressions;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Host;
using BpfSim.Tests.Shared;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Bpf;

public sealed partial class HelperTableTests
{
    private const string Header = "/usr/include/linux/bpf.h";

    [GeneratedRegex(@"^\tFN\((\w+)(?:, (\d+), ##ctx)?\)", RegexOptions.Multiline)]
    private static partial Regex MapperEntry();

    [Fact]
    public void IdsRunFrom1To211AndNamesAreUnique()
    {
        Assert.Equal(Enumerable.Range(1, 211), HelperCatalog.Rows.Select(r => r.Id));
        Assert.Equal(211, HelperCatalog.Rows.Select(r => r.Name).Distinct().Count());
    }

    [Fact]
    public void RowsAreConsistent()
    {
        foreach (HelperPrototype row in HelperCatalog.Rows)
        {
            Assert.True(row.Args.Length <= 5, row.Name);
            // What moves packet data does so to the packet that the context describes.
            if (row.ChangesPacketData) Assert.Equal(ArgType.PtrToCtx, row.Args[0]);
            for (int i = 0; i < row.Args.Length; i++)
            {
                bool size = (row.Args[i] & ArgType.BaseMask) is ArgType.ConstSize or ArgType.ConstSizeOrZero;
                if (size) Assert.Equal(ArgType.PtrToMem, row.Args[i - 1] & ArgType.BaseMask);
                if ((row.Args[i] & ArgType.FixedSize) != 0) Assert.True(row.ArgSizes[i] > 0, row.Name);
            }
        }
    }

    [Fact]
    public void NamesAreTheHeaders()
    {
        if (!File.Exists(Header)) return;
        string text = File.ReadAllText(Header);
        var entries = MapperEntry().Matches(text[text.IndexOf("__BPF_FUNC_MAPPER", StringComparison.Ordinal)..]).ToList();
        int known = 0;
        for (int i = 0; i < entries.Count; i++)
        {
            int id = entries[i].Groups[2].Success ? int.Parse(entries[i].Groups[2].Value, null) : i;
            if (id == 0 || HelperCatalog.Table.Find(id) is not { } row) continue;
            Assert.Equal("bpf_" + entries[i].Groups[1].Value, row.Name);
            known++;
        }

        Assert.True(known >= 150, $"{known} helpers compared");
    }

    [HostKernelFact]
    public void AvailabilityIsTheHostKernels()
    {
        var wrong = new List<string>();
        foreach ((ProgramType type, uint attach) in new (ProgramType, uint)[]
        {
            (ProgramType.SocketFilter, 0), (ProgramType.Kprobe, 0), (ProgramType.SchedCls, 0), (ProgramType.Tracepoint, 0),
            (ProgramType.Xdp, 37), (ProgramType.PerfEvent, 0), (ProgramType.RawTracepoint, 0), (ProgramType.CgroupSkb, 0),
            (ProgramType.SkMsg, 7), (ProgramType.SockOps, 3), (ProgramType.CgroupSockAddr, 10), (ProgramType.LwtXmit, 0),
        })
        {
            ProgramTypeInfo row = ProgramTypeTable.Find(type)!;
            var attributes = new ProgramAttributes { Type = type, ExpectedAttachType = attach, GplCompatible = true };
            for (int id = 1; id <= 211; id++)
            {
                Insn[] insns = [new(0x85, 0, 0, 0, id), new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0)];
                HostProgram program = HostKernel.LoadProgram(new HostProgramSpec
                {
                    Type = (uint)type,
                    ExpectedAttachType = attach,
                    Insns = Insn.ToBytes(insns),
                    LogLevel = 1,
                });
                HostKernel.Close(program.Fd);
                bool allowed = !program.Log.Contains("cannot use helper", StringComparison.Ordinal);
                if (allowed != row.AllowsHelper(attributes, id)) wrong.Add($"{row.Name}/{attach} helper {id}: host {allowed}");
            }
        }

        Assert.Empty(wrong);
    }
}
