using System.Runtime.InteropServices;
using System.Text;

namespace BpfSim.Kernel.Host;

public static unsafe partial class HostKernel
{
    /// <summary>PROG_LOAD on the host, with the verifier's log. The caller closes the descriptor.</summary>
    public static HostProgram LoadProgram(HostProgramSpec spec)
    {
        byte[] license = Encoding.ASCII.GetBytes(spec.License + "\0");
        byte[] log = new byte[spec.LogLevel == 0 ? 0 : spec.LogSize];
        fixed (byte* insns = spec.Insns, lic = license, logBuffer = log, funcs = spec.FuncInfo, lines = spec.LineInfo)
        fixed (int* fds = spec.FdArray)
        {
            AttributeWriter attr = new(152);
            attr.U32(0, spec.Type);
            attr.U32(4, (uint)spec.Insns.Length / 8);
            attr.U64(8, (ulong)insns);
            attr.U64(16, (ulong)lic);
            attr.U32(24, spec.LogLevel);
            attr.U32(28, (uint)log.Length);
            attr.U64(32, (ulong)logBuffer);
            attr.U32(44, spec.Flags);
            attr.Name(48, spec.Name);
            attr.U32(68, spec.ExpectedAttachType);
            attr.U32(72, (uint)spec.BtfFd);
            if (spec.FuncInfo.Length > 0)
            {
                attr.U32(76, 8);
                attr.U64(80, (ulong)funcs);
                attr.U32(88, (uint)spec.FuncInfo.Length / 8);
            }
            if (spec.LineInfo.Length > 0)
            {
                attr.U32(92, 16);
                attr.U64(96, (ulong)lines);
                attr.U32(104, (uint)spec.LineInfo.Length / 16);
            }
            attr.U32(108, spec.AttachBtfId);
            attr.U32(112, (uint)spec.AttachFd);
            attr.U64(120, (ulong)fds);
            // A signal, such as the runtime sends its threads, ends the verifier's walk with EAGAIN; libbpf tries again too.
            int fd, attempts = 0;
            do fd = Bpf(BpfCommand.ProgLoad, attr.Bytes);
            while (fd == -(int)Maps.Errno.EAGAIN && ++attempts < 5);
            int end = Array.IndexOf(log, (byte)0);
            return new HostProgram(fd, Encoding.UTF8.GetString(log, 0, end < 0 ? log.Length : end));
        }
    }

    /// <summary>
    /// PROG_TEST_RUN. Packet programs need at least 14 bytes of data (Ethernet header); raw tracepoint and
    /// syscall programs take a context alone and no repeat.
    /// </summary>
    public static HostTestRun TestRun(int programFd, ReadOnlySpan<byte> data, ReadOnlySpan<byte> context = default, uint repeat = 0, uint flags = 0)
    {
        byte[] dataOut = new byte[data.Length == 0 ? 0 : data.Length + 512];
        byte[] contextOut = new byte[context.Length];
        fixed (byte* d = data, o = dataOut, c = context, co = contextOut)
        {
            AttributeWriter attr = new(80);
            attr.U32(0, (uint)programFd);
            attr.U32(8, (uint)data.Length);
            attr.U32(12, (uint)dataOut.Length);
            attr.U64(16, (ulong)d);
            attr.U64(24, (ulong)o);
            attr.U32(32, repeat);
            attr.U32(40, (uint)context.Length);
            // Most program types refuse an output context; syscall programs write the input back in place.
            attr.U64(48, (ulong)c);
            attr.U32(64, flags);
            int result = Bpf(BpfCommand.ProgTestRun, attr.Bytes);
            int length = (int)Math.Min(attr.GetU32(12), (uint)dataOut.Length);
            if (context.Length > 0) context.CopyTo(contextOut);
            return new HostTestRun(result, attr.GetU32(4), attr.GetU32(36), dataOut[..length], contextOut);
        }
    }

    /// <summary>OBJ_GET_INFO_BY_FD of a program: sizes, bytes after the rewrites, machine code, statistics.</summary>
    public static HostProgramInfo GetProgramInfo(int programFd)
    {
        byte[] first = new byte[232];
        if (ReadInfo(programFd, first) is var error and < 0) return new HostProgramInfo { Errno = error };
        byte[] jited = new byte[MemoryMarshal.Read<uint>(first.AsSpan(16))];
        byte[] xlated = new byte[MemoryMarshal.Read<uint>(first.AsSpan(20))];
        byte[] info = new byte[232];
        fixed (byte* j = jited, x = xlated)
        {
            MemoryMarshal.Write(info.AsSpan(16), (uint)jited.Length);
            MemoryMarshal.Write(info.AsSpan(20), (uint)xlated.Length);
            MemoryMarshal.Write(info.AsSpan(24), (ulong)j);
            MemoryMarshal.Write(info.AsSpan(32), (ulong)x);
            int result = ReadInfo(programFd, info);
            return new HostProgramInfo
            {
                Errno = result,
                Id = MemoryMarshal.Read<uint>(info.AsSpan(4)),
                Tag = Convert.ToHexStringLower(info.AsSpan(8, 8)),
                Jited = jited,
                Xlated = xlated,
                RunTimeNs = MemoryMarshal.Read<ulong>(info.AsSpan(192)),
                RunCount = MemoryMarshal.Read<ulong>(info.AsSpan(200)),
                VerifiedInsns = MemoryMarshal.Read<uint>(info.AsSpan(216)),
            };
        }
    }

    private static int ReadInfo(int fd, byte[] info)
    {
        fixed (byte* p = info)
        {
            AttributeWriter attr = new(16);
            attr.U32(0, (uint)fd);
            attr.U32(4, (uint)info.Length);
            attr.U64(8, (ulong)p);
            return Bpf(BpfCommand.ObjGetInfoByFd, attr.Bytes);
        }
    }
}

/// <summary>What a PROG_LOAD on the host is given. Numbers are the kernel's.</summary>
public sealed record HostProgramSpec
{
    /// <summary>BPF_PROG_TYPE_*.</summary>
    public required uint Type { get; init; }

    /// <summary>The instructions as bytes; map references are descriptors of the host.</summary>
    public required byte[] Insns { get; init; }

    /// <summary>prog_name; shortened to 15 characters.</summary>
    public string Name { get; init; } = "";

    /// <summary>The licence.</summary>
    public string License { get; init; } = "GPL";

    /// <summary>BPF_* attach type.</summary>
    public uint ExpectedAttachType { get; init; }

    /// <summary>BPF_F_* flags.</summary>
    public uint Flags { get; init; }

    /// <summary>BPF_LOG_* level; 0 for no log.</summary>
    public uint LogLevel { get; init; }

    /// <summary>Bytes of the log buffer; a longer log keeps its end.</summary>
    public int LogSize { get; init; } = 1 << 20;

    /// <summary>Descriptor of the program's BTF, 0 if none.</summary>
    public int BtfFd { get; init; }

    /// <summary>bpf_func_info records of 8 bytes.</summary>
    public byte[] FuncInfo { get; init; } = [];

    /// <summary>bpf_line_info records of 16 bytes.</summary>
    public byte[] LineInfo { get; init; } = [];

    /// <summary>Id in vmlinux BTF of what the program would attach to, 0 if none.</summary>
    public uint AttachBtfId { get; init; }

    /// <summary>attach_prog_fd or attach_btf_obj_fd, 0 if none.</summary>
    public int AttachFd { get; init; }

    /// <summary>Descriptors for map references by index.</summary>
    public int[] FdArray { get; init; } = [];
}

/// <summary>A loaded program's descriptor, or the negated errno, and the verifier's log.</summary>
public readonly record struct HostProgram(int Fd, string Log);

/// <summary>Result of a PROG_TEST_RUN.</summary>
/// <param name="Errno">0 or the negated errno.</param>
/// <param name="ReturnValue">The low 32 bits of r0.</param>
/// <param name="DurationNs">Mean time of one run in whole nanoseconds.</param>
/// <param name="DataOut">The packet afterwards.</param>
/// <param name="ContextOut">The context afterwards, for the types that give it back.</param>
public readonly record struct HostTestRun(int Errno, uint ReturnValue, uint DurationNs, byte[] DataOut, byte[] ContextOut);

/// <summary>bpf_prog_info of the host, as far as used here.</summary>
public sealed record HostProgramInfo
{
    /// <summary>0 or the negated errno of the query.</summary>
    public int Errno { get; init; }

    /// <summary>The program's id.</summary>
    public uint Id { get; init; }

    /// <summary>The tag in hex.</summary>
    public string Tag { get; init; } = "";

    /// <summary>Machine code of all functions, in order; zeros where the kernel hides it.</summary>
    public byte[] Jited { get; init; } = [];

    /// <summary>Instructions after the kernel's rewrites.</summary>
    public byte[] Xlated { get; init; } = [];

    /// <summary>Time spent in runs while statistics were on, in nanoseconds.</summary>
    public ulong RunTimeNs { get; init; }

    /// <summary>Runs while statistics were on.</summary>
    public ulong RunCount { get; init; }

    /// <summary>Instructions that the host's verifier processed.</summary>
    public uint VerifiedInsns { get; init; }
}
