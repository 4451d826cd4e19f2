using System.Text;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Machines;

/// <summary>The article's program and a machine whose processes open files.</summary>
internal static class HelloWorld
{
    public static Insn[] Program { get; } =
    [
        new(0xb7, 1, 0, 0, 0x21), new(0x6b, 10, 1, -4, 0), new(0xb7, 1, 0, 0, 0x646c726f), new(0x63, 10, 1, -8, 0),
        new(0x18, 1, 0, 0, 0x6c6c6548), new(0, 0, 0, 0, 0x57202c6f), new(0x7b, 10, 1, -16, 0), new(0xbf, 1, 10, 0, 0),
        new(0x07, 1, 0, 0, -16), new(0xb7, 2, 0, 0, 0xe), new(0x85, 0, 0, 0, 6), new(0xb7, 0, 0, 0, 0), new(0x95, 0, 0, 0, 0),
    ];

    public static MachineSpec Spec(ulong seed = 1, EngineKind engine = EngineKind.Jit, uint cpus = 2) => new()
    {
        Seed = seed,
        Engine = engine,
        Cpus = cpus,
        Workload = new WorkloadSpec
        {
            Processes =
            [
                new ProcessSpec { Comm = "cat", Count = 2, Activities = [new ActivitySpec { Kind = ActivityKind.Open, Rate = 40 }] },
                new ProcessSpec { Comm = "postgres", Uid = 110, Activities = [new ActivitySpec { Kind = ActivityKind.Read, Rate = 30, MissChance = 0.5 }] },
                new ProcessSpec { Comm = "bash", Activities = [new ActivitySpec { Kind = ActivityKind.Exec, Rate = 5, Target = "/usr/bin/ls" }] },
                new ProcessSpec { Comm = "curl", Activities = [new ActivitySpec { Kind = ActivityKind.Connect, Rate = 10 }, new ActivitySpec { Kind = ActivityKind.Write, Rate = 5, Sync = true }] },
            ],
        },
    };

    public static int Load(Machine machine) => machine.Bpf.ProgLoad(new ProgLoadAttr
    {
        ProgType = ProgramType.Kprobe,
        Insns = Program,
        License = "GPL",
        ProgName = "hello_world",
        LogLevel = 1,
        LogSize = 65536,
    });

    public static int AttachKprobe(Machine machine, int progFd, string function, bool onReturn = false)
    {
        int perf = machine.Bpf.PerfEventOpen(new PerfEventAttr { Type = PerfEventType.Kprobe, Target = function, IsReturn = onReturn });
        return perf < 0 ? perf : machine.Bpf.LinkCreate(new LinkCreateAttr { ProgFd = progFd, TargetFd = perf, AttachType = AttachType.PerfEvent });
    }

    public static string TraceText(Machine machine)
    {
        var text = new StringBuilder();
        foreach (TraceLine line in machine.Trace.Read()) text.Append(line.ToString()).Append('\n');
        return text.ToString();
    }
}
