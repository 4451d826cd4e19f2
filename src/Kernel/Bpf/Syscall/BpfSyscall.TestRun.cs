using System.Runtime.InteropServices;
using BpfSim.Kernel.Bpf.TestRun;
using BpfSim.Kernel.Cpus;
using BpfSim.Kernel.Time;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const int EthernetHeader = 14, MaxPacket = 4096 - PacketBuffer.Headroom - 320, MaxSyscallContext = 65535, MaxRawTracepointArgs = 12 * 8;

    /// <summary>
    /// BPF_PROG_TEST_RUN: runs a program on a packet or context of the caller's. Types that Linux does not run
    /// this way are -ENOTSUPP.
    /// </summary>
    public int ProgTestRun(TestRunAttr attr)
    {
        int result = Resolve(attr.ProgFd, out BpfProgram program);
        if (result == 0) result = -(int)TestRun(program, attr);
        return Traced(BpfCommand.BPF_PROG_TEST_RUN, attr, result);
    }

    private Errno TestRun(BpfProgram program, TestRunAttr attr)
    {
        bool withPacket = program.Type is ProgramType.SocketFilter or ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.Xdp
            or ProgramType.CgroupSkb or ProgramType.LwtIn or ProgramType.LwtOut or ProgramType.LwtXmit or ProgramType.LwtSeg6local;
        if (withPacket) return RunOnPacket(program, attr);
        return program.Type switch
        {
            ProgramType.RawTracepoint or ProgramType.RawTracepointWritable => RunOnContext(program, attr, MaxRawTracepointArgs),
            ProgramType.Syscall => RunOnContext(program, attr, MaxSyscallContext),
            _ => Errno.ENOTSUPP,
        };
    }

    private unsafe Errno RunOnPacket(BpfProgram program, TestRunAttr attr)
    {
        bool xdp = program.Type == ProgramType.Xdp;
        if ((attr.Flags & ~(xdp ? 2u : 4u)) != 0 || attr.Cpu != 0 || attr.BatchSize != 0) return Errno.EINVAL;
        if (attr.DataIn.Length < EthernetHeader || (!xdp && attr.DataIn.Length > MaxPacket)) return Errno.EINVAL;
        using var packet = new PacketBuffer(attr.DataIn, xdp);
        // Socket filters and lightweight tunnels see the packet behind its Ethernet header.
        bool layer2 = program.Type is ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.Xdp;
        if (!layer2) packet.Pull(EthernetHeader);
        Errno error = xdp ? SkbContext.FillXdp(packet, attr.CtxIn, attr.DataIn.Length) : SkbContext.FillSkb(packet, attr.CtxIn);
        if (error != Errno.None) return error;
        error = RunRepeated(program, attr, packet.Context, packet);
        if (error != Errno.None) return error;

        ReadOnlySpan<byte> after;
        if (xdp)
        {
            after = new ReadOnlySpan<byte>(packet.Meta, (int)(packet.End - packet.Meta));
        }
        else
        {
            // What was pulled is given back as zeros, as the kernel does.
            if (!layer2) new Span<byte>(packet.Data - EthernetHeader, EthernetHeader).Clear();
            after = new ReadOnlySpan<byte>(packet.Data - packet.Pulled, packet.Length + packet.Pulled);
        }
        uint room = attr.DataSizeOut;
        attr.DataOut = after[..(int)Math.Min(room, (uint)after.Length)].ToArray();
        attr.DataSizeOut = (uint)after.Length;
        int contextSize = xdp ? SkbContext.XdpSize : SkbContext.SkbSize;
        if (attr.CtxSizeOut != 0)
        {
            byte[] context = new ReadOnlySpan<byte>(packet.Context, contextSize).ToArray();
            if (xdp)
            {
                MemoryMarshal.Write(context, (uint)(packet.Data - packet.Meta));
                MemoryMarshal.Write(context.AsSpan(4), (uint)(packet.End - packet.Meta));
                MemoryMarshal.Write(context.AsSpan(8), 0u);
            }
            else
            {
                context.AsSpan(76, 8).Clear();
                context.AsSpan(140, 4).Clear();
            }
            attr.CtxOut = context[..(int)Math.Min(attr.CtxSizeOut, (uint)contextSize)];
            attr.CtxSizeOut = (uint)contextSize;
        }
        return room != 0 && room < after.Length ? Errno.ENOSPC : Errno.None;
    }

    private unsafe Errno RunOnContext(BpfProgram program, TestRunAttr attr, int largest)
    {
        bool syscall = program.Type == ProgramType.Syscall;
        if (attr.DataIn.Length != 0 || attr.DataSizeOut != 0 || attr.Repeat != 0 || attr.BatchSize != 0) return Errno.EINVAL;
        if (syscall ? attr.Flags != 0 || attr.Cpu != 0 : attr.CtxSizeOut != 0 || (attr.Flags & ~1u) != 0) return Errno.EINVAL;
        if (!syscall && (attr.Flags & 1) == 0 && attr.Cpu != 0) return Errno.EINVAL;
        if (attr.Cpu >= _environment.Cpus) return Errno.ENXIO;
        byte[] given = attr.CtxIn ?? [];
        if (given.Length > largest) return Errno.EINVAL;
        byte* context = stackalloc byte[0];
        nint memory = given.Length == 0 ? 0 : (nint)NativeMemory.AllocZeroed((nuint)given.Length);
        try
        {
            context = (byte*)memory;
            given.CopyTo(new Span<byte>(context, given.Length));
            Errno error = RunRepeated(program, attr, context, null);
            if (error == Errno.None && syscall && attr.CtxSizeOut != 0)
            {
                attr.CtxOut = new ReadOnlySpan<byte>(context, (int)Math.Min(attr.CtxSizeOut, (uint)given.Length)).ToArray();
                attr.CtxSizeOut = (uint)given.Length;
            }
            return error;
        }
        finally
        {
            NativeMemory.Free((void*)memory);
        }
    }

    private unsafe Errno RunRepeated(BpfProgram program, TestRunAttr attr, void* context, PacketBuffer? packet)
    {
        using var cpu = new Cpu(attr.Cpu, _environment.Kernel) { Packet = packet };
        cpu.Context->TimeNs = _environment.Now();
        uint repeat = Math.Max(1, attr.Repeat);
        ulong result = 0;
        ulong started = WallClock.NowNs;
        using (MapEpoch.EnterThread())
        {
            for (uint i = 0; i < repeat; i++) result = program.Loaded.Run(context, cpu.Context);
        }
        attr.DurationNs = (double)(WallClock.NowNs - started) / repeat;
        attr.Duration = (uint)Math.Min(uint.MaxValue, attr.DurationNs);
        attr.Retval = (uint)result;
        return cpu.Context->Fault == RunFault.None ? Errno.None : Errno.EFAULT;
    }
}
