using BpfSim.Kernel.Host;
using BpfSim.Maps;
using BpfSim.Tests.Shared;

namespace BpfSim.Kernel.Tests.Host;

public sealed class HostKernelTests
{
    [HostKernelFact]
    public void A_program_runs_and_tells_about_itself()
    {
        byte[] insns = [0xb7, 0, 0, 0, 42, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        HostProgram program = HostKernel.LoadProgram(new HostProgramSpec { Type = 1, Insns = insns, LogLevel = 1 });
        Assert.True(program.Fd >= 0, program.Log);
        Assert.Contains("processed 2 insns", program.Log);
        HostTestRun run = HostKernel.TestRun(program.Fd, new byte[14], repeat: 10);
        Assert.Equal((0, 42u), (run.Errno, run.ReturnValue));
        HostProgramInfo info = HostKernel.GetProgramInfo(program.Fd);
        Assert.Equal(insns, info.Xlated);
        Assert.NotEmpty(info.Jited);
        HostKernel.Close(program.Fd);
    }

    [HostKernelFact]
    public void A_refusal_gives_errno_and_log()
    {
        byte[] insns = [0xbf, 0x20, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        HostProgram program = HostKernel.LoadProgram(new HostProgramSpec { Type = 1, Insns = insns, LogLevel = 1 });
        Assert.Equal(-(int)Errno.EACCES, program.Fd);
        Assert.Contains("R2 !read_ok", program.Log);
    }

    [HostKernelFact]
    public void Map_elements_come_and_go()
    {
        int fd = HostKernel.CreateMap(new MapSpec { Type = MapType.Hash, KeySize = 4, ValueSize = 8, MaxEntries = 4 });
        Assert.True(fd >= 0);
        byte[] value = new byte[8], next = new byte[4];
        Assert.Equal(0, HostKernel.UpdateMap(fd, [1, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0, 0]));
        Assert.Equal(0, HostKernel.LookupMap(fd, [1, 0, 0, 0], value));
        Assert.Equal(9, value[0]);
        Assert.Equal(0, HostKernel.NextKey(fd, [], next));
        Assert.Equal(1, next[0]);
        byte[] keys = new byte[16], values = new byte[32];
        uint count = 4;
        int result = HostKernel.Batch(BpfCommand.MapLookupBatch, fd, [], new byte[4], keys, values, ref count);
        Assert.Equal((-(int)Errno.ENOENT, 1u, (byte)9), (result, count, values[0]));
        Assert.Equal(0, HostKernel.DeleteMap(fd, [1, 0, 0, 0]));
        Assert.Equal(-(int)Errno.ENOENT, HostKernel.LookupMap(fd, [1, 0, 0, 0], value));
        HostKernel.Close(fd);
    }
}
