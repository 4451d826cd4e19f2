using System.Runtime.InteropServices;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>Program loads and test runs from the bytes of <c>union bpf_attr</c>.</summary>
public sealed unsafe partial class BpfSyscall
{
    /// <summary>The longest signature of a program, in bytes.</summary>
    private const int MaxSignature = 8192;

    private int LoadFromBytes(AttrBytes a)
    {
        uint count = a.U32(4);
        if (count is 0 or > ProgramTypeTable.MaxInsnsCapable) return -(int)Errno.E2BIG;
        if (a.U64(8) == 0) return -(int)Errno.EFAULT;
        if ((a.U64(32) == 0) != (a.U32(28) == 0)) return -(int)Errno.EINVAL;
        if (a.U64(152) != 0) return -(int)(a.U32(160) > MaxSignature ? Errno.EINVAL : Errno.EOPNOTSUPP);
        int error = CheckRecords(a, 76, 80, 88, 8);
        if (error == 0) error = CheckRecords(a, 92, 96, 104, 16);
        if (error != 0) return error;
        var functions = new List<FuncInfo>();
        for (uint i = 0; i < a.U32(88); i++)
        {
            var record = (uint*)(a.U64(80) + i * a.U32(76));
            functions.Add(new FuncInfo((int)record[0], record[1]));
        }
        var attr = new ProgLoadAttr
        {
            ProgType = (ProgramType)a.U32(0),
            Insns = Insn.FromBytes(a.Memory(8, count * 8)),
            License = a.U64(16) == 0 ? null : a.String(16),
            LogLevel = a.U32(24),
            LogSize = a.U32(28),
            KernVersion = a.U32(40),
            ProgFlags = a.U32(44),
            ProgName = a.Text(48, 16),
            ProgIfindex = a.U32(64),
            ExpectedAttachType = a.U32(68),
            ProgBtfFd = a.I32(72),
            FuncInfo = functions,
            LineInfo = Lines(a),
            AttachBtfId = a.U32(108),
            AttachProgFd = a.I32(112),
            ProgTokenFd = a.I32(144),
            FdArrayCnt = a.U32(148),
            FdArray = a.U64(120) == 0 ? null : MemoryMarshal.Cast<byte, int>(a.Memory(120, 4 * Math.Max(a.U32(148), Highest(a)))).ToArray(),
        };
        int result = ProgLoad(attr);
        a.PutText(32, a.U32(28), attr.LogBuf);
        a.Put(140, attr.LogTrueSize);
        return result;
    }

    /// <summary>The size, address and number of func_info or line_info records, whose known part has so many bytes.</summary>
    private static int CheckRecords(AttrBytes a, int sizeAt, int addressAt, int countAt, uint known)
    {
        uint size = a.U32(sizeAt), count = a.U32(countAt);
        if (count == 0) return 0;
        if (count > int.MaxValue / known || size < known || size > 252 || size % 4 != 0) return -(int)Errno.EINVAL;
        if (a.U64(addressAt) == 0) return -(int)Errno.EFAULT;
        for (uint i = 0; size > known && i < count; i++)
            if (new Span<byte>((byte*)(a.U64(addressAt) + i * size + known), (int)(size - known)).ContainsAnyExcept((byte)0)) return -(int)Errno.E2BIG;
        return 0;
    }

    /// <summary>How many descriptors of fd_array the instructions refer to.</summary>
    private static uint Highest(AttrBytes a)
    {
        uint highest = 0;
        foreach (Insn insn in Insn.FromBytes(a.Memory(8, a.U32(4) * 8)))
            if (insn.IsLdImm64 && insn.Src is (int)PseudoSource.MapIdx or (int)PseudoSource.MapIdxValue) highest = Math.Max(highest, (uint)insn.Imm + 1);
        return Math.Min(highest, 1024);
    }

    private List<LineInfo> Lines(AttrBytes a)
    {
        var lines = new List<LineInfo>();
        var btf = Fds.Find(a.I32(72)) as BtfObject;
        for (uint i = 0; i < a.U32(104); i++)
        {
            var record = (uint*)(a.U64(96) + i * a.U32(92));
            lines.Add(new LineInfo((int)record[0], Text(record[1]), Text(record[2]), (int)(record[3] >> 10), (int)(record[3] & 0x3ff)));
        }
        return lines;

        // Null, which no well-formed record has, stands for an offset outside: LineInfoCheck refuses it.
        string Text(uint offset) => btf == null || offset >= btf.Data.StringsLength ? null! : btf.Data.GetString(offset);
    }

    private int TestRunFromBytes(AttrBytes a)
    {
        // The kernel fills the duration in; those that run once take none.
        if (a.U32(36) != 0 && FindProgram(a.I32(0))?.Type is ProgramType.RawTracepoint or ProgramType.RawTracepointWritable or ProgramType.Syscall)
            return -(int)Errno.EINVAL;
        if ((a.U32(40) == 0) != (a.U64(48) == 0) || (a.U32(44) == 0) != (a.U64(56) == 0)) return -(int)Errno.EINVAL;
        if (a.U64(16) == 0 && a.U32(8) >= EthernetHeader && FindProgram(a.I32(0))?.Type is ProgramType.SocketFilter or ProgramType.Xdp) return -(int)Errno.EFAULT;
        var attr = new TestRunAttr
        {
            ProgFd = a.I32(0),
            DataIn = a.Memory(16, a.U32(8)).ToArray(),
            DataSizeOut = a.U64(24) == 0 ? 0 : a.U32(12),
            Repeat = a.U32(32),
            CtxIn = a.U64(48) == 0 ? null : a.Memory(48, a.U32(40)).ToArray(),
            CtxSizeOut = a.U32(44),
            Flags = a.U32(64),
            Cpu = a.U32(68),
            BatchSize = a.U32(72),
        };
        int result = ProgTestRun(attr);
        attr.DataOut.CopyTo(a.Memory(24, (uint)attr.DataOut.Length));
        attr.CtxOut.CopyTo(a.Memory(56, (uint)attr.CtxOut.Length));
        if (FindProgram(attr.ProgFd)?.Type == ProgramType.Syscall) attr.CtxIn?.CopyTo(a.Memory(48, a.U32(40)));
        if (result is 0 or -(int)Errno.ENOSPC)
        {
            a.Put(4, attr.Retval);
            a.Put(12, attr.DataSizeOut);
            a.Put(36, attr.Duration);
            a.Put(44, attr.CtxSizeOut);
        }
        return result;
    }
}
