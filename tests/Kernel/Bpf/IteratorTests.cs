using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using BpfSim.Kernel.Bpf;
using BpfSim.Kernel.Libbpf;
using BpfSim.Kernel.Subsystems;
using BpfSim.Maps;
using BpfSim.Tests.Shared;

namespace BpfSim.Kernel.Tests.Bpf;

/// <summary>Iterators read, links asked what they are, and descriptors what they observe.</summary>
public sealed unsafe class IteratorTests
{
    private static Machine NewMachine() => new(new MachineSpec
    {
        ArenaBytes = 4 << 20,
        Workload = new WorkloadSpec { Processes = [new ProcessSpec { Comm = "nginx", Pid = 100 }, new ProcessSpec { Comm = "cat", Pid = 200 }] },
    });

    private static BpfObject Load(Machine machine)
    {
        BpfObject loaded = BpfObject.Open(Repository.PathOf("tests/data/objects/iterators.bpf.o"));
        loaded.Load(machine);
        return loaded;
    }

    private static string ReadAll(BpfSyscall bpf, int link)
    {
        int fd = bpf.IterCreate(link);
        Assert.True(fd > 0, ((Errno)(-fd)).ToString());
        var text = new StringBuilder();
        var buffer = new byte[64];
        int read;
        while ((read = bpf.Read(fd, buffer)) > 0) text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        Assert.Equal(0, read);
        bpf.Fds.Close(fd);
        return text.ToString();
    }

    private static int Link(BpfSyscall bpf, BpfObjectProgram program, int map = 0)
    {
        int link = bpf.LinkCreate(new LinkCreateAttr { ProgFd = program.Fd, AttachType = AttachType.TraceIter, IterMapFd = map });
        Assert.True(link > 0, $"{program.Name}: {(Errno)(-link)}");
        return link;
    }

    [Fact]
    public void Tasks_maps_and_elements_are_walked()
    {
        using Machine machine = NewMachine();
        machine.Run(TimeSpan.FromMilliseconds(1));
        using BpfObject loaded = Load(machine);
        BpfSyscall bpf = machine.Bpf;
        string tasks = ReadAll(bpf, Link(bpf, loaded.Program("dump_tasks")));
        Assert.Contains("100 nginx\n", tasks);
        Assert.Contains("200 cat\n", tasks);
        Assert.EndsWith("end\n", tasks);

        string maps = ReadAll(bpf, Link(bpf, loaded.Program("dump_maps")));
        Assert.Contains($"{bpf.FindMap(loaded.Map("numbers").Fd)!.Id} numbers 4 8 16\n", maps);

        for (int i = 1; i <= 3; i++) Assert.Equal(0, bpf.MapUpdateElem(loaded.Map("numbers").Fd, BitConverter.GetBytes(i), BitConverter.GetBytes(10L * i)));
        string elements = ReadAll(bpf, Link(bpf, loaded.Program("dump_numbers"), loaded.Map("numbers").Fd));
        Assert.Equal(["1=10", "2=20", "3=30"], elements.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        // The program adds one to each value that it passes.
        byte[] value = new byte[8];
        bpf.MapLookupElem(loaded.Map("numbers").Fd, BitConverter.GetBytes(2), value);
        Assert.Equal(21, BitConverter.ToInt64(value));
    }

    [Fact]
    public void Iterators_refuse_what_Linux_refuses()
    {
        using Machine machine = NewMachine();
        using BpfObject loaded = Load(machine);
        BpfSyscall bpf = machine.Bpf;
        int fd = loaded.Program("dump_numbers").Fd;
        Assert.Equal(-(int)Errno.EBADF, bpf.LinkCreate(new LinkCreateAttr { ProgFd = fd, AttachType = AttachType.TraceIter }));
        Assert.Equal(-(int)Errno.EINVAL, bpf.LinkCreate(new LinkCreateAttr { ProgFd = fd, AttachType = AttachType.TraceIter, IterMapFd = fd }));
        Assert.Equal(-(int)Errno.EINVAL, bpf.Read(fd, new byte[8]));
        int link = Link(bpf, loaded.Program("dump_tasks"));
        Assert.Equal(-(int)Errno.EINVAL, bpf.IterCreate(link, 1));
        Assert.Equal(0, bpf.LinkUpdate(link, loaded.Program("dump_tasks").Fd));
        Assert.Equal(-(int)Errno.EINVAL, bpf.LinkUpdate(link, loaded.Program("dump_maps").Fd));
        Assert.Equal(-(int)Errno.EPERM, bpf.LinkUpdate(link, loaded.Program("dump_tasks").Fd, 4, loaded.Program("dump_maps").Fd));
    }

    [Fact]
    public void Links_and_descriptors_tell_what_they_hang_on()
    {
        using Machine machine = NewMachine();
        using BpfObject loaded = Load(machine);
        BpfSyscall bpf = machine.Bpf;
        int perf = bpf.PerfEventOpen(new PerfEventAttr { Type = PerfEventType.Kprobe, Target = "vfs_read" });
        Assert.Equal(-(int)Errno.ENOENT, bpf.TaskFdQuery(new TaskFdQueryAttr { Pid = BpfSyscall.LoaderPid, Fd = perf }));
        int link = bpf.LinkCreate(new LinkCreateAttr { ProgFd = loaded.Program("probe").Fd, TargetFd = perf, AttachType = AttachType.PerfEvent, Cookie = 77 });
        var query = new TaskFdQueryAttr { Pid = BpfSyscall.LoaderPid, Fd = perf };
        Assert.Equal(0, bpf.TaskFdQuery(query));
        Assert.Equal((TaskFdType.Kprobe, "vfs_read", bpf.FindProgram(loaded.Program("probe").Fd)!.Id), (query.FdType, query.Buf, query.ProgId));
        Assert.Equal(-(int)Errno.ENOENT, bpf.TaskFdQuery(query with { Pid = 1 }));
        Assert.Equal(-(int)Errno.ENOTSUPP, bpf.TaskFdQuery(query with { Fd = link }));

        byte[] info = Info(bpf, link, 64, (24, 32, 32));
        Assert.Equal((7u, 3u, 77ul), (U32(info, 0), U32(info, 16), BinaryPrimitives.ReadUInt64LittleEndian(info.AsSpan(56))));
        Assert.Equal(Profile.KernelProfile.Embedded.SymbolAddress("vfs_read"), BinaryPrimitives.ReadUInt64LittleEndian(info.AsSpan(40)));
        Assert.Equal("vfs_read", _text);
        Info(bpf, link, 64, (24, 32, 4), -(int)Errno.ENOSPC);
        Assert.Equal("vfs", _text);

        int raw = bpf.RawTracepointOpen("sched_switch", loaded.Program("raw").Fd);
        Info(bpf, raw, 64, (16, 24, 32));
        Assert.Equal("sched_switch", _text);
        Assert.Equal(-(int)Errno.EOPNOTSUPP, bpf.LinkDetach(raw));
    }

    [Fact]
    public void A_program_gives_back_its_records_and_code()
    {
        using Machine machine = NewMachine();
        using BpfObject loaded = Load(machine);
        BpfSyscall bpf = machine.Bpf;
        int fd = loaded.Program("dump_maps").Fd;
        BpfProgram program = bpf.FindProgram(fd)!;
        byte[] counts = Info(bpf, fd, 232, null);
        Assert.Equal((uint)program.Verdict.Shown.Length * 8, U32(counts, 20));
        Assert.True(U32(counts, 144) == 1 && U32(counts, 148) > 3 && U32(counts, 128) != 0);
        Assert.Equal(1u, U32(counts, 220));
        // With room for one map id and all lines.
        uint lines = U32(counts, 148);
        byte[] info = new byte[232], attr = new byte[16], room = new byte[16 * lines], xlated = new byte[U32(counts, 20)];
        fixed (byte* at = info, records = room, code = xlated)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(148), lines);
            BinaryPrimitives.WriteUInt64LittleEndian(info.AsSpan(152), (ulong)records);
            BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(172), 16);
            BinaryPrimitives.WriteUInt32LittleEndian(info.AsSpan(20), (uint)xlated.Length);
            BinaryPrimitives.WriteUInt64LittleEndian(info.AsSpan(32), (ulong)code);
            BinaryPrimitives.WriteInt32LittleEndian(attr, fd);
            BinaryPrimitives.WriteUInt32LittleEndian(attr.AsSpan(4), 232);
            BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(8), (ulong)at);
            Assert.Equal(0, bpf.Bpf((int)BpfCommand.BPF_OBJ_GET_INFO_BY_FD, attr));
        }
        Assert.Equal(Vm.Isa.Insn.ToBytes(program.Verdict.Shown), xlated);
        uint[] words = MemoryMarshal.Cast<byte, uint>(room).ToArray();
        Assert.Equal(0u, words[0]);
        Assert.All(Enumerable.Range(1, (int)lines - 1), i => Assert.True(words[4 * i] > words[4 * (i - 1)]));
        Assert.Contains("iterators.bpf.c", program.Btf!.Data.GetString(words[1]));
        Assert.Equal(program.LineInfos[0].LineNumber, (int)(words[3] >> 10));
    }

    private string _text = "";

    private static uint U32(byte[] bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at));

    /// <summary>GET_INFO_BY_FD with room for a text behind the pointer at the given offset.</summary>
    private byte[] Info(BpfSyscall bpf, int fd, int size, (int Pointer, int Length, int Room)? text, int expected = 0)
    {
        byte[] info = new byte[size], attr = new byte[16], room = new byte[256];
        fixed (byte* at = info, letters = room)
        {
            if (text is { } wanted)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(info.AsSpan(wanted.Pointer), (ulong)letters);
                BinaryPrimitives.WriteInt32LittleEndian(info.AsSpan(wanted.Length), wanted.Room);
            }
            BinaryPrimitives.WriteInt32LittleEndian(attr, fd);
            BinaryPrimitives.WriteInt32LittleEndian(attr.AsSpan(4), size);
            BinaryPrimitives.WriteUInt64LittleEndian(attr.AsSpan(8), (ulong)at);
            Assert.Equal(expected, bpf.Bpf((int)BpfCommand.BPF_OBJ_GET_INFO_BY_FD, attr));
        }
        _text = Encoding.UTF8.GetString(room, 0, Array.IndexOf(room, (byte)0));
        return info;
    }
}
