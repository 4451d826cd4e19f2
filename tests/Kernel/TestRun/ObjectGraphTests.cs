using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Tests.Libbpf;
using BpfSim.Vm.Interpreter;

namespace BpfSim.Kernel.Tests.TestRun;

/// <summary>Objects that programs allocate, in lists, trees and kptrs. The expected results are the kernel's own.</summary>
public sealed class ObjectGraphTests
{
    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    [InlineData(EngineKind.Checked)]
    public void Lists_trees_and_shared_objects_work_as_in_the_kernel(EngineKind engine)
    {
        using var machine = new Machine(new MachineSpec { Cpus = 2, Engine = engine, ArenaBytes = 1 << 20 });
        using BpfObject obj = BpfObject.Open(Path.Combine(TestObjects.Root, "tests/data/objects/graphs.bpf.o"));
        obj.Load(machine);
        for (int round = 0; round < 20; round++)
        {
            Assert.Equal(23619710, Run(obj, "ends"));
            Assert.Equal(64, Run(obj, "sorted"));
            Assert.Equal(13022, Run(obj, "shared"));
            // What one run leaves in a map, another finds; what nobody collects goes with the map.
            Assert.Equal(round == 0 ? 0 : 66, Run(obj, "leave"));
            Assert.Equal(66, Run(obj, "leave"));
            if (round % 2 == 0) continue;
            Assert.Equal(4 * 64, Run(obj, "collect"));
            Assert.Equal(0, Run(obj, "collect"));
        }
        Run(obj, "leave");
    }

    private static int Run(BpfObject obj, string program)
    {
        var attr = new TestRunAttr { ProgFd = obj.Program(program).Fd, DataIn = new byte[64] };
        int error = obj.Machine!.Bpf.ProgTestRun(attr);
        Assert.True(error == 0, $"{program}: {error} {CheckedProgram.Report}");
        return (int)attr.Retval;
    }
}
