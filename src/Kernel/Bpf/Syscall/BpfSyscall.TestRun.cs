using System.Buffers.Binary;
using BpfSim.Kernel.Cpus;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed unsafe partial class BpfSyscall
{
    private const uint RunOnCpu = 1, LiveFrames = 2, ChecksumComplete = 4;
    private const int EthernetHeader = 14, MaxArgs = 12, SkbSize = 192, XdpMdSize = 24;
    private const int MaxLinearSkb = 4096 - 64 - 320, MaxXdp = 4096 - 256 - 320;
    private readonly Lock _testLock = new();
    private TestBench? _bench;

    /// <summary>BPF_PROG_TEST_RUN: runs a program on a packet or context of the caller's, with the kernel's checks.</summary>
    public int ProgTestRun(TestRunAttr attr) => Traced(BpfCommand.BPF_PROG_TEST_RUN, attr, TestRun(attr));

    private int TestRun(TestRunAttr attr)
    {
        int error = Resolve(attr.ProgFd, out BpfProgram program);
        if (error != 0) return error;
        lock (_testLock)
        {
            _bench ??= new TestBench(_environment);
            try
            {
                return program.Type switch
                {
                    ProgramType.SocketFilter or ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.CgroupSkb
                        or ProgramType.LwtIn or ProgramType.LwtOut or ProgramType.LwtXmit => TestRunSkb(program, attr),
                    ProgramType.Xdp => TestRunXdp(program, attr),
                    ProgramType.RawTracepoint or ProgramType.RawTracepointWritable => TestRunRawTracepoint(program, attr),
                    ProgramType.Syscall => TestRunSyscall(program, attr),
                    ProgramType.Tracing => TestRunTracing(program, attr),
                    _ => -(int)Errno.ENOTSUPP,
                };
            }
            catch (PlatformNotSupportedException)
            {
                return -(int)Errno.EOPNOTSUPP;
            }
        }
    }

    private int TestRunSkb(BpfProgram program, TestRunAttr attr)
    {
        if ((attr.Flags & ~ChecksumComplete) != 0 || attr.Cpu != 0 || attr.BatchSize != 0) return -(int)Errno.EINVAL;
        int error = ReadContext(attr, SkbSize, out byte[] ctx);
        if (error != 0) return error;
        if (attr.DataIn.Length is < EthernetHeader or > MaxLinearSkb) return -(int)Errno.EINVAL;
        uint ifindex = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(40));
        if (ifindex > 2) return -(int)Errno.ENODEV;
        if (attr.CtxIn != null && !SkbContext.Check(ctx, attr.DataIn.Length)) return -(int)Errno.EINVAL;

        bool wholeFrame = program.Type is ProgramType.SchedCls or ProgramType.SchedAct;
        PacketBuffer packet = _bench!.Packet;
        packet.Load(attr.DataIn, xdp: false);
        SkbContext.Fill(packet, ctx, attr.DataIn, ifindex);
        if (!wholeFrame)
        {
            packet.Data += EthernetHeader;
            packet.NetworkOffset = 0;
        }
        packet.Publish();
        error = _bench.Run(program, packet.Context, attr, packet);
        if (error != 0) return error;
        if (!wholeFrame)
        {
            packet.Data -= EthernetHeader;
            new Span<byte>(packet.Data, EthernetHeader).Clear();
        }
        SkbContext.Save(packet, ctx);
        return Finish(attr, new ReadOnlySpan<byte>(packet.Data, (int)packet.Length), ctx);
    }

    private int TestRunXdp(BpfProgram program, TestRunAttr attr)
    {
        if ((attr.Flags & ~LiveFrames) != 0) return -(int)Errno.EINVAL;
        if (program.Attributes.ExpectedAttachType is (uint)AttachType.XdpDevmap or (uint)AttachType.XdpCpumap) return -(int)Errno.EINVAL;
        bool live = (attr.Flags & LiveFrames) != 0;
        if (!live && attr.BatchSize != 0) return -(int)Errno.EINVAL;
        // Live frames leave through a device, and there is none behind the simulated one.
        if (live) return -(int)Errno.EOPNOTSUPP;
        int error = ReadContext(attr, XdpMdSize, out byte[] ctx);
        if (error != 0) return error;
        uint data = BinaryPrimitives.ReadUInt32LittleEndian(ctx), end = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(4));
        uint meta = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(8)), device = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(12));
        uint queue = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(16)), egress = BinaryPrimitives.ReadUInt32LittleEndian(ctx.AsSpan(20));
        if (attr.CtxIn != null)
        {
            if (meta != 0 || end != attr.DataIn.Length || data > end || data % 4 != 0 || data > 252) return -(int)Errno.EINVAL;
            if (egress != 0) return -(int)Errno.EINVAL;
            if (device == 0 && queue != 0) return -(int)Errno.EINVAL;
            if (device > 2) return -(int)Errno.ENODEV;
            if (device != 0 && queue != 0) return -(int)Errno.EINVAL;
        }
        if (attr.DataIn.Length - data is < EthernetHeader || attr.DataIn.Length > MaxXdp) return -(int)Errno.EINVAL;
        PacketBuffer packet = _bench!.Packet;
        packet.Load(attr.DataIn, xdp: true, (int)data);
        packet.Publish();
        *(uint*)(packet.Context + 12) = device == 0 ? 1 : device;
        *(uint*)(packet.Context + 16) = queue;
        error = _bench.Run(program, packet.Context, attr, packet);
        if (error != 0) return error;
        BinaryPrimitives.WriteUInt32LittleEndian(ctx, (uint)(packet.Data - packet.Meta));
        BinaryPrimitives.WriteUInt32LittleEndian(ctx.AsSpan(4), (uint)(packet.End - packet.Meta));
        BinaryPrimitives.WriteUInt32LittleEndian(ctx.AsSpan(8), 0);
        return Finish(attr, new ReadOnlySpan<byte>(packet.Meta, (int)(packet.End - packet.Meta)), ctx);
    }

    private int TestRunRawTracepoint(BpfProgram program, TestRunAttr attr)
    {
        if (attr.DataIn.Length != 0 || attr.DataSizeOut != 0 || attr.CtxSizeOut != 0 || attr.Repeat != 0 || attr.BatchSize != 0)
            return -(int)Errno.EINVAL;
        int size = attr.CtxIn?.Length ?? 0;
        if (size < program.MaxContextOffset || size > MaxArgs * 8) return -(int)Errno.EINVAL;
        if ((attr.Flags & RunOnCpu) == 0 && attr.Cpu != 0) return -(int)Errno.EINVAL;
        if ((attr.Flags & RunOnCpu) != 0 && attr.Cpu >= _environment.Cpus) return -(int)Errno.ENXIO;
        ulong* context = stackalloc ulong[MaxArgs + 2];
        new Span<ulong>(context, MaxArgs + 2).Clear();
        context[0] = (ulong)(size / 8);
        attr.CtxIn?.CopyTo(new Span<byte>(context + 1, size));
        return _bench!.Run(program, context + 1, attr, null, (attr.Flags & RunOnCpu) != 0 ? attr.Cpu : 0);
    }

    private int TestRunSyscall(BpfProgram program, TestRunAttr attr)
    {
        if (attr.DataIn.Length != 0 || attr.DataSizeOut != 0 || attr.CtxSizeOut != 0 || attr.Repeat != 0 || attr.Flags != 0 || attr.BatchSize != 0)
            return -(int)Errno.EINVAL;
        int size = attr.CtxIn?.Length ?? 0;
        if (size < program.MaxContextOffset || size > ushort.MaxValue) return -(int)Errno.EINVAL;
        byte[] context = new byte[Math.Max(8, size)];
        attr.CtxIn?.CopyTo(context, 0);
        int result;
        fixed (byte* pointer = context) result = _bench!.Run(program, size == 0 ? null : pointer, attr, null);
        // The kernel writes the context back to where it came from.
        if (result == 0 && size != 0) context.AsSpan(0, size).CopyTo(attr.CtxIn!);
        return result;
    }

    /// <summary>The kernel calls its own bpf_fentry_test functions, which the program sees only if it is attached to one.</summary>
    private int TestRunTracing(BpfProgram program, TestRunAttr attr)
    {
        if (attr.Flags != 0 || attr.Cpu != 0 || attr.BatchSize != 0) return -(int)Errno.EINVAL;
        switch ((AttachType)program.Attributes.ExpectedAttachType)
        {
            case AttachType.TraceFentry or AttachType.TraceFexit or AttachType.ModifyReturn:
                attr.Retval = 0;
                string? target = _environment.KernelBtf?.Find(program.Attributes.AttachBtfId)?.Name;
                if (target != null && _links.All.Any(l => l.Program == program && l.IsAttached))
                    return _bench!.RunTestFunction(program, target, attr);
                return 0;
            default:
                return -(int)Errno.EFAULT;
        }
    }

    /// <summary>bpf_ctx_init: the caller's context, zero-padded; bytes beyond the kernel's structure must be zero.</summary>
    private static int ReadContext(TestRunAttr attr, int size, out byte[] context)
    {
        context = new byte[size];
        if (attr.CtxIn == null) return 0;
        if (attr.CtxIn.Length > size && attr.CtxIn.AsSpan(size).ContainsAnyExcept((byte)0)) return -(int)Errno.E2BIG;
        attr.CtxIn.AsSpan(0, Math.Min(size, attr.CtxIn.Length)).CopyTo(context);
        return 0;
    }

    /// <summary>Copies packet and context back; too little room is ENOSPC, with as much as fits and the full size.</summary>
    private static int Finish(TestRunAttr attr, ReadOnlySpan<byte> data, byte[] context)
    {
        int result = 0;
        uint room = attr.DataSizeOut;
        if (room != 0)
        {
            attr.DataOut = data[..(int)Math.Min(room, (uint)data.Length)].ToArray();
            if (room < data.Length) result = -(int)Errno.ENOSPC;
        }
        attr.DataSizeOut = (uint)data.Length;
        if (attr.CtxSizeOut == 0) return result;
        uint contextRoom = attr.CtxSizeOut;
        attr.CtxOut = context[..(int)Math.Min(contextRoom, (uint)context.Length)];
        attr.CtxSizeOut = (uint)context.Length;
        return contextRoom < context.Length ? -(int)Errno.ENOSPC : result;
    }
}

/// <summary>Where test runs run: a CPU of its own outside the simulation, and a packet buffer.</summary>
internal sealed unsafe class TestBench : IDisposable
{
    private readonly BpfEnvironment _environment;
    private readonly Cpu _cpu;
    private PacketBuffer? _packet;

    public TestBench(BpfEnvironment environment)
    {
        _environment = environment;
        _cpu = new Cpu(0, environment.Kernel);
        var identity = new TaskIdentity { PidTgid = 4242ul << 32 | 4242, CgroupId = 1 };
        "bpfsim"u8.CopyTo(new Span<byte>(identity.Comm, 16));
        _cpu.SetTask(environment.Kernel.Identities.Add(identity));
    }

    /// <summary>The packet buffer; made at first use.</summary>
    public PacketBuffer Packet => _packet ??= new PacketBuffer();

    /// <summary>The CPU of test runs.</summary>
    public Cpu Cpu => _cpu;

    /// <summary>Runs a program as often as asked for and fills in result and duration.</summary>
    public int Run(BpfProgram program, void* context, TestRunAttr attr, PacketBuffer? packet, uint cpu = 0)
    {
        uint repeat = attr.Repeat == 0 ? 1 : attr.Repeat;
        _cpu.Context->TimeNs = _environment.Now();
        _cpu.Context->CpuId = cpu;
        _cpu.Context->Fuel = long.MaxValue;
        _cpu.Packet = packet;
        try
        {
            attr.Retval = _cpu.RunTest(program, context, repeat, out double nanoseconds);
            attr.DurationNs = nanoseconds;
            attr.Duration = (uint)Math.Min(uint.MaxValue, Math.Round(nanoseconds));
        }
        finally
        {
            _cpu.Packet = null;
        }
        return _cpu.Context->Fault == RunFault.None ? 0 : -(int)Errno.EFAULT;
    }

    /// <summary>Calls one of the kernel's test functions with its usual arguments.</summary>
    public int RunTestFunction(BpfProgram program, string function, TestRunAttr attr)
    {
        ulong[] args = function switch
        {
            "bpf_fentry_test1" => [1],
            "bpf_fentry_test2" => [2, 3],
            "bpf_fentry_test3" => [4, 5, 6],
            "bpf_fentry_test4" => [7, 8, 9, 10],
            "bpf_fentry_test5" => [11, 12, 13, 14, 15],
            "bpf_fentry_test6" => [16, 17, 18, 19, 20, 21],
            "bpf_fentry_test7" or "bpf_fentry_test8" => [0],
            _ => [],
        };
        if (args.Length == 0) return 0;
        ulong* context = stackalloc ulong[8];
        context[0] = (ulong)args.Length;
        for (int i = 0; i < args.Length; i++) context[i + 1] = args[i];
        context[args.Length + 1] = args.Aggregate(function == "bpf_fentry_test1" ? 1ul : 0ul, (sum, a) => sum + a);
        uint retval = attr.Retval;
        int result = Run(program, context + 1, attr, null);
        attr.Retval = retval;
        return result;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _packet?.Dispose();
        _cpu.Dispose();
    }
}
