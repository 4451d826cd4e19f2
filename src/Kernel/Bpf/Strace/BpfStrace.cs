using System.Globalization;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>bpf(2) calls as <c>strace -v -ebpf</c> (6.1) prints them. Addresses of user space, which a simulation has none of, are invented but stable.</summary>
public static class BpfStrace
{
    private const ulong Stack = 0x7ffc10000000, Heap = 0x55d0c0000000;
    private const int StringBytes = 32;

    /// <summary>One call as one line, without its newline.</summary>
    public static string Format(BpfCall call)
    {
        (string body, int size) = call.Attr switch
        {
            ProgLoadAttr attr => (ProgLoad(attr), 128),
            MapCreateAttr attr => (MapCreate(attr), 72),
            BtfLoadAttr attr => (BtfLoad(attr), 28),
            LinkCreateAttr attr => (LinkCreate(attr), 48),
            MapElemAttr attr => MapElem(call.Command, attr),
            RawTracepointAttr attr => ($"raw_tracepoint={{name={(attr.Name == null ? "NULL" : Quote(attr.Name))}, prog_fd={attr.ProgFd}}}", 16),
            LinkUpdateAttr attr => ($"link_fd={attr.LinkFd}, new_prog_fd={attr.NewProgFd}, flags={Hex(attr.Flags)}, old_prog_fd={attr.OldProgFd}", 16),
            ObjAttr attr => ($"pathname={Quote(attr.Pathname)}, bpf_fd={attr.BpfFd}, file_flags={Hex(attr.FileFlags)}", 16),
            ProgBindMapAttr attr => ($"prog_fd={attr.ProgFd}, map_fd={attr.MapFd}, flags={Hex(attr.Flags)}", 12),
            IdAttr attr => (call.Command.ToString().EndsWith("NEXT_ID", StringComparison.Ordinal) ? $"start_id={attr.Id}, next_id={attr.NextId}" : $"id={attr.Id}", 12),
            TestRunAttr attr => (TestRun(attr), 80),
            InfoAttr attr => ($"info={{bpf_fd={attr.BpfFd}, info_len={attr.InfoLen}, info={Pointer(true)}}}", 16),
            MapBatchAttr attr => ($"batch={{in_batch={Pointer(attr.InBatch != null)}, out_batch={Pointer(true)}, keys={Pointer(true)}, values={Pointer(true)}, count={attr.Count}, map_fd={attr.MapFd}, elem_flags={Hex(attr.ElemFlags)}, flags={Hex(attr.Flags)}}}", 56),
            _ => ("", 0),
        };
        string text = $"bpf({call.Command}, {{{body}}}, {size})";
        // strace aligns results at column 40 where the call is short enough.
        return $"{text.PadRight(39)} = {Result(call.Result)}";
    }

    private static string ProgLoad(ProgLoadAttr attr)
    {
        StringBuilder insns = new();
        foreach (Insn insn in attr.Insns)
            insns.Append(insns.Length == 0 ? "" : ", ").Append(CultureInfo.InvariantCulture,
                $"{{code={Code(insn.Code)}, dst_reg=BPF_REG_{insn.Dst}, src_reg=BPF_REG_{insn.Src}, off={insn.Off}, imm={Hex((uint)insn.Imm)}}}");
        uint version = attr.KernVersion;
        string log = attr.LogLevel == 0 ? "NULL" : Quote(attr.LogBuf);
        return $"prog_type={ProgramTypeName(attr.ProgType)}, insn_cnt={attr.Insns.Length}, insns=[{insns}], license={(attr.License == null ? "NULL" : Quote(attr.License))}, "
            + $"log_level={attr.LogLevel}, log_size={attr.LogSize}, log_buf={log}, kern_version=KERNEL_VERSION({version >> 16}, {version >> 8 & 255}, {version & 255}), "
            + $"prog_flags={Flags(attr.ProgFlags, s_progFlags)}, prog_name={Quote(attr.ProgName)}, prog_ifindex={attr.ProgIfindex}, expected_attach_type={AttachTypeName((AttachType)attr.ExpectedAttachType)}, "
            + $"prog_btf_fd={attr.ProgBtfFd}, {Infos("func_info", attr.FuncInfo.Count, 8)}, {Infos("line_info", attr.LineInfo.Count, 16)}, "
            + $"attach_btf_id={attr.AttachBtfId}, attach_prog_fd={attr.AttachProgFd}, fd_array={Pointer(attr.FdArray != null)}";
    }

    private static string Infos(string name, int count, int size) =>
        $"{name}_rec_size={(count == 0 ? 0 : size)}, {name}={Pointer(count > 0)}, {name}_cnt={count}";

    private static string MapCreate(MapCreateAttr attr) =>
        $"map_type=BPF_MAP_TYPE_{Upper(attr.MapType.ToString())}, key_size={attr.KeySize}, value_size={attr.ValueSize}, max_entries={attr.MaxEntries}, "
        + $"map_flags={Flags(attr.MapFlags, s_mapFlags)}, inner_map_fd={attr.InnerMapFd}, map_name={Quote(attr.MapName)}, map_ifindex={attr.MapIfindex}, btf_fd={attr.BtfFd}, "
        + $"btf_key_type_id={attr.BtfKeyTypeId}, btf_value_type_id={attr.BtfValueTypeId}, btf_vmlinux_value_type_id={attr.BtfVmlinuxValueTypeId}, map_extra={attr.MapExtra}";

    private static string BtfLoad(BtfLoadAttr attr) =>
        $"btf={Quote(attr.Btf)}, btf_log_buf={(attr.LogLevel == 0 ? "NULL" : Quote(attr.LogBuf))}, btf_size={attr.Btf.Length}, btf_log_size={attr.LogSize}, btf_log_level={attr.LogLevel}";

    private static string LinkCreate(LinkCreateAttr attr)
    {
        string head = $"link_create={{prog_fd={attr.ProgFd}, target_fd={attr.TargetFd}, attach_type={AttachTypeName(attr.AttachType)}, flags={Hex(attr.Flags)}";
        return attr.AttachType switch
        {
            AttachType.PerfEvent => $"{head}, perf_event={{bpf_cookie={Hex(attr.Cookie)}}}}}",
            AttachType.TraceKprobeMulti => $"{head}, kprobe_multi={{flags={Hex(attr.MultiFlags)}, cnt={attr.Syms?.Count ?? attr.Addrs?.Count ?? 0}, syms={Pointer(attr.Syms != null)}, addrs={Pointer(attr.Addrs != null)}, cookies={Pointer(attr.Cookies != null)}}}}}",
            _ => head + "}",
        };
    }

    private static (string, int) MapElem(BpfCommand command, MapElemAttr attr)
    {
        string key = $"map_fd={attr.MapFd}, key={Hex(Stack)}";
        return command switch
        {
            BpfCommand.BPF_MAP_FREEZE => ($"map_fd={attr.MapFd}", 4),
            BpfCommand.BPF_MAP_DELETE_ELEM => (key, 16),
            BpfCommand.BPF_MAP_GET_NEXT_KEY => ($"{key}, next_key={Hex(Heap)}", 24),
            BpfCommand.BPF_MAP_UPDATE_ELEM => ($"{key}, value={Hex(Heap)}, flags={UpdateFlags(attr.Flags)}", 32),
            _ => ($"{key}, value={Hex(Heap)}, flags={UpdateFlags(attr.Flags)}", 32),
        };
    }

    private static string TestRun(TestRunAttr attr) =>
        $"test={{prog_fd={attr.ProgFd}, retval={attr.Retval}, data_size_in={attr.DataIn.Length}, data_size_out={attr.DataSizeOut}, data_in={Quote(attr.DataIn)}, data_out={Pointer(attr.DataSizeOut > 0)}, "
        + $"repeat={attr.Repeat}, duration={attr.Duration}, ctx_size_in={attr.CtxIn?.Length ?? 0}, ctx_size_out={attr.CtxSizeOut}, ctx_in={Pointer(attr.CtxIn != null)}, ctx_out={Pointer(attr.CtxSizeOut > 0)}}}";

    private static string Result(int result)
    {
        if (result >= 0) return result.ToString(CultureInfo.InvariantCulture);
        Errno errno = (Errno)(-result);
        return s_errors.TryGetValue(errno, out string? text) ? $"-1 {errno} ({text})" : $"-1 {errno} (Unknown error {-result})";
    }

    private static string Code(byte code)
    {
        Insn insn = new(code, 0, 0, 0, 0);
        string name = "BPF_" + Upper(insn.Class.ToString());
        if (insn.Class is InsnClass.Ld or InsnClass.Ldx or InsnClass.St or InsnClass.Stx)
            return $"{name}|BPF_{Upper(insn.Size.ToString())}|{s_modes.GetValueOrDefault(code & 0xe0, Hex((uint)(code & 0xe0)))}";
        string operation = insn.Class is InsnClass.Alu or InsnClass.Alu64
            ? Enum.IsDefined(insn.AluOp) ? "BPF_" + Upper(insn.AluOp.ToString()) : Hex((uint)(code & 0xf0))
            : Enum.IsDefined(insn.JmpOp) && insn.JmpOp != JmpOp.Jcond ? "BPF_" + Upper(insn.JmpOp.ToString()) : Hex((uint)(code & 0xf0));
        return $"{name}|BPF_{insn.Source}|{operation}";
    }

    private static string ProgramTypeName(ProgramType type) => "BPF_PROG_TYPE_" + type switch
    {
        ProgramType.LwtSeg6local => "LWT_SEG6LOCAL",
        ProgramType.LircMode2 => "LIRC_MODE2",
        _ => Upper(type.ToString()),
    };

    private static string AttachTypeName(AttachType type) => "BPF_" + Upper(type.ToString());

    /// <summary>KprobeMulti → KPROBE_MULTI.</summary>
    private static string Upper(string name)
    {
        StringBuilder text = new();
        for (int i = 0; i < name.Length; i++)
        {
            if (i > 0 && char.IsUpper(name[i]) && char.IsLower(name[i - 1])) text.Append('_');
            text.Append(char.ToUpperInvariant(name[i]));
        }
        return text.ToString();
    }

    private static string Flags(ulong flags, (ulong Bit, string Name)[] names)
    {
        if (flags == 0) return "0";
        List<string> parts = [];
        foreach ((ulong bit, string name) in names)
        {
            if ((flags & bit) == 0) continue;
            parts.Add(name);
            flags &= ~bit;
        }
        if (flags != 0) parts.Add(Hex(flags));
        return string.Join('|', parts);
    }

    private static string UpdateFlags(ulong flags) => flags switch
    {
        0 => "BPF_ANY",
        1 => "BPF_NOEXIST",
        2 => "BPF_EXIST",
        4 => "BPF_F_LOCK",
        _ => Hex(flags),
    };

    private static string Hex(ulong value) => value == 0 ? "0" : $"0x{value:x}";

    private static string Pointer(bool present) => present ? Hex(Heap) : "NULL";

    private static string Quote(string text) => Quote(Encoding.UTF8.GetBytes(text));

    /// <summary>A string as strace quotes it: octal escapes as short as what follows allows, 32 bytes at most.</summary>
    private static string Quote(byte[] bytes)
    {
        StringBuilder text = new("\"");
        int length = Math.Min(bytes.Length, StringBytes);
        for (int i = 0; i < length; i++)
        {
            byte b = bytes[i];
            bool digitFollows = i + 1 < length && bytes[i + 1] is >= (byte)'0' and <= (byte)'7';
            text.Append(b switch
            {
                (byte)'"' => "\\\"",
                (byte)'\\' => "\\\\",
                (byte)'\n' => "\\n",
                (byte)'\r' => "\\r",
                (byte)'\t' => "\\t",
                (byte)'\v' => "\\v",
                (byte)'\f' => "\\f",
                >= 32 and < 127 => ((char)b).ToString(),
                _ => "\\" + (digitFollows ? Convert.ToString(b, 8).PadLeft(3, '0') : Convert.ToString(b, 8)),
            });
        }
        return text.Append('"').Append(bytes.Length > length ? "..." : "").ToString();
    }

    private static readonly Dictionary<int, string> s_modes = new()
    {
        [0x00] = "BPF_IMM",
        [0x20] = "BPF_ABS",
        [0x40] = "BPF_IND",
        [0x60] = "BPF_MEM",
        [0x80] = "BPF_LEN",
        [0xa0] = "BPF_MSH",
        [0xc0] = "BPF_XADD",
    };

    private static readonly (ulong, string)[] s_progFlags =
    [
        (1, "BPF_F_STRICT_ALIGNMENT"), (2, "BPF_F_ANY_ALIGNMENT"), (4, "BPF_F_TEST_RND_HI32"), (8, "BPF_F_TEST_STATE_FREQ"), (16, "BPF_F_SLEEPABLE"), (32, "BPF_F_XDP_HAS_FRAGS"),
    ];

    private static readonly (ulong, string)[] s_mapFlags =
    [
        (1, "BPF_F_NO_PREALLOC"), (2, "BPF_F_NO_COMMON_LRU"), (4, "BPF_F_NUMA_NODE"), (8, "BPF_F_RDONLY"), (16, "BPF_F_WRONLY"), (32, "BPF_F_STACK_BUILD_ID"),
        (64, "BPF_F_ZERO_SEED"), (128, "BPF_F_RDONLY_PROG"), (256, "BPF_F_WRONLY_PROG"), (512, "BPF_F_CLONE"), (1024, "BPF_F_MMAPABLE"), (2048, "BPF_F_PRESERVE_ELEMS"), (4096, "BPF_F_INNER_MAP"),
    ];

    private static readonly Dictionary<Errno, string> s_errors = new()
    {
        [Errno.EPERM] = "Operation not permitted",
        [Errno.ENOENT] = "No such file or directory",
        [Errno.ESRCH] = "No such process",
        [Errno.E2BIG] = "Argument list too long",
        [Errno.EBADF] = "Bad file descriptor",
        [Errno.EAGAIN] = "Resource temporarily unavailable",
        [Errno.ENOMEM] = "Cannot allocate memory",
        [Errno.EACCES] = "Permission denied",
        [Errno.EFAULT] = "Bad address",
        [Errno.EBUSY] = "Device or resource busy",
        [Errno.EEXIST] = "File exists",
        [Errno.ENODEV] = "No such device",
        [Errno.EINVAL] = "Invalid argument",
        [Errno.ENOSPC] = "No space left on device",
        [Errno.ERANGE] = "Numerical result out of range",
        [Errno.ENOSYS] = "Function not implemented",
        [Errno.EOPNOTSUPP] = "Operation not supported",
    };
}
