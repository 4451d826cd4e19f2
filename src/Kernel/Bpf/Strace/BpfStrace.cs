using System.Globalization;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>bpf(2) calls as <c>strace -v -ebpf</c> (6.1) prints them, who does not know what came after Linux 5.19. Addresses of user space, which a simulation has none of, are invented but stable.</summary>
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
            RawTracepointAttr attr => ($"{{raw_tracepoint={{name={(attr.Name == null ? "NULL" : Quote(attr.Name))}, prog_fd={attr.ProgFd}}}}}", 16),
            LinkUpdateAttr attr => ($"{{link_update={{link_fd={attr.LinkFd}, new_prog_fd={attr.NewProgFd}, flags={Flags(attr.Flags, s_linkFlags, "BPF_F_")}{((attr.Flags & 4) != 0 ? $", old_prog_fd={attr.OldProgFd}" : "")}}}}}", 16),
            ObjAttr attr => ($"{{pathname={Quote(attr.Pathname)}, bpf_fd={attr.BpfFd}, file_flags={Flags(attr.FileFlags, s_mapFlags, "BPF_F_")}}}", 16),
            ProgAttachAttr attr => ProgAttach(call.Command, attr),
            ProgQueryAttr attr => ($"{{query={{target_fd={attr.TargetFd}, attach_type={AttachTypeName(attr.AttachType)}, query_flags={Flags(attr.QueryFlags, s_queryFlags, "BPF_F_QUERY_")}, attach_flags={Flags(attr.AttachFlags, s_attachFlags, "BPF_F_")}, prog_ids={Pointer(attr.Count != 0)}, prog_cnt={attr.Count}}}}}", 48),
            TaskFdQueryAttr attr => (TaskFdQuery(attr), 48),
            IdAttr attr => Id(call, attr),
            TestRunAttr attr => (TestRun(attr), 80),
            InfoAttr attr => ($"{{info={{bpf_fd={attr.BpfFd}, info_len={attr.InfoLen}, info={Pointer(true)}}}}}", 16),
            MapBatchAttr attr => (MapBatch(call, attr), 56),
            // Of these it prints the address of the attributes alone.
            ProgBindMapAttr => (Hex(Stack), 12),
            IterCreateAttr => (Hex(Stack), 8),
            _ => (Hex(Stack), 4),
        };
        string text = $"bpf({CommandName(call.Command)}, {body}, {size})";
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
        // strace reads the buffer before the call, when it is still empty.
        string log = attr.LogSize == 0 ? "NULL" : "\"\"";
        return $"{{prog_type={ProgramTypeName(attr.ProgType)}, insn_cnt={attr.Insns.Length}, insns=[{insns}], license={(attr.License == null ? "NULL" : Quote(attr.License))}, "
            + $"log_level={attr.LogLevel}, log_size={attr.LogSize}, log_buf={log}, kern_version=KERNEL_VERSION({version >> 16}, {version >> 8 & 255}, {version & 255}), "
            + $"prog_flags={Flags(attr.ProgFlags, s_progFlags)}, prog_name={Quote(attr.ProgName)}, prog_ifindex={attr.ProgIfindex}, expected_attach_type={AttachTypeName((AttachType)attr.ExpectedAttachType)}, "
            + $"prog_btf_fd={attr.ProgBtfFd}, {Infos("func_info", attr.FuncInfo.Count, 8)}, {Infos("line_info", attr.LineInfo.Count, 16)}, "
            + $"attach_btf_id={attr.AttachBtfId}, attach_prog_fd={attr.AttachProgFd}, fd_array={Pointer(attr.FdArray != null)}}}";
    }

    private static string Infos(string name, int count, int size) =>
        $"{name}_rec_size={(count == 0 ? 0 : size)}, {name}={Pointer(count > 0)}, {name}_cnt={count}";

    private static string MapCreate(MapCreateAttr attr) =>
        $"{{map_type={MapTypeName(attr.MapType)}, key_size={attr.KeySize}, value_size={attr.ValueSize}, max_entries={attr.MaxEntries}, "
        + $"map_flags={Flags(attr.MapFlags, s_mapFlags)}, inner_map_fd={attr.InnerMapFd}, map_name={Quote(attr.MapName)}, map_ifindex={attr.MapIfindex}, btf_fd={attr.BtfFd}, "
        + $"btf_key_type_id={attr.BtfKeyTypeId}, btf_value_type_id={attr.BtfValueTypeId}, btf_vmlinux_value_type_id={attr.BtfVmlinuxValueTypeId}, map_extra={attr.MapExtra}}}";

    private static string BtfLoad(BtfLoadAttr attr) =>
        $"{{btf={Quote(attr.Btf)}, btf_log_buf={Pointer(attr.LogSize != 0)}, btf_size={attr.Btf.Length}, btf_log_size={attr.LogSize}, btf_log_level={attr.LogLevel}}}";

    private static string LinkCreate(LinkCreateAttr attr)
    {
        string head = $"{{link_create={{prog_fd={attr.ProgFd}, target_fd={attr.TargetFd}, attach_type={AttachTypeName(attr.AttachType)}, flags={Hex(attr.Flags)}";
        return attr.AttachType switch
        {
            AttachType.PerfEvent => $"{head}, perf_event={{bpf_cookie={Hex(attr.Cookie)}}}}}}}",
            AttachType.TraceKprobeMulti => $"{head}, kprobe_multi={{flags={Hex(attr.MultiFlags)}, cnt={attr.Syms?.Count ?? attr.Addrs?.Count ?? 0}, syms={List(attr.Syms, Quote)}, addrs={List(attr.Addrs, Hex)}, cookies={List(attr.Cookies, Hex)}}}}}}}",
            AttachType.TraceIter => $"{head}, iter_info={(attr.IterMapFd == 0 ? "NULL" : $"[{{map={{map_fd={attr.IterMapFd}}}}}]")}, iter_info_len={(attr.IterMapFd == 0 ? 0 : 1)}}}}}",
            _ => head + "}}",
        };
    }

    private static (string, int) MapElem(BpfCommand command, MapElemAttr attr)
    {
        string key = $"{{map_fd={attr.MapFd}, key={(attr.HasKey ? Hex(Stack) : "NULL")}";
        return command switch
        {
            BpfCommand.BPF_MAP_FREEZE => ($"{{map_fd={attr.MapFd}}}", 4),
            BpfCommand.BPF_MAP_DELETE_ELEM => (key + "}", 16),
            BpfCommand.BPF_MAP_GET_NEXT_KEY => ($"{key}, next_key={Hex(Heap)}}}", 24),
            BpfCommand.BPF_MAP_UPDATE_ELEM => ($"{key}, value={Hex(Heap)}, flags={UpdateFlags(attr.Flags)}}}", 32),
            _ => ($"{key}, value={Hex(Heap)}, flags={LookupFlags(attr.Flags)}}}", 32),
        };
    }

    private static string TestRun(TestRunAttr attr) =>
        $"{{test={{prog_fd={attr.ProgFd}, retval={attr.Retval}, data_size_in={attr.DataIn.Length}, data_size_out={attr.DataSizeOut}, data_in={Pointer(attr.DataIn.Length > 0)}, data_out={Pointer(attr.DataSizeOut > 0)}, "
        + $"repeat={attr.Repeat}, duration={attr.Duration}, ctx_size_in={attr.CtxIn?.Length ?? 0}, ctx_size_out={attr.CtxSizeOut}, ctx_in={Pointer(attr.CtxIn != null)}, ctx_out={Pointer(attr.CtxSizeOut > 0)}, flags={Hex(attr.Flags)}, cpu={attr.Cpu}, batch_size={attr.BatchSize}}}}}";

    private static string MapBatch(BpfCall call, MapBatchAttr attr)
    {
        string places = call.Command switch
        {
            BpfCommand.BPF_MAP_DELETE_BATCH => $"keys={Pointer(attr.Keys.Length > 0)}",
            BpfCommand.BPF_MAP_UPDATE_BATCH => $"keys={Pointer(attr.Keys.Length > 0)}, values={Pointer(attr.Values.Length > 0)}",
            _ => $"in_batch={Pointer(attr.InBatch != null)}, out_batch={Pointer(true)}, keys={Pointer(attr.Keys.Length > 0)}, values={Pointer(attr.Values.Length > 0)}",
        };
        string done = attr.Count == attr.CountIn ? "" : $" => {{batch={{count={attr.Count}}}}}";
        return $"{{batch={{{places}, count={attr.CountIn}, map_fd={attr.MapFd}, elem_flags={LookupFlags(attr.ElemFlags)}, flags={Hex(attr.Flags)}}}}}{done}";
    }

    private static (string, int) ProgAttach(BpfCommand command, ProgAttachAttr attr)
    {
        string type = $"attach_type={AttachTypeName(attr.AttachType)}";
        return command == BpfCommand.BPF_PROG_DETACH ? ($"{{target_fd={attr.TargetFd}, {type}}}", 20)
            : ($"{{target_fd={attr.TargetFd}, attach_bpf_fd={attr.AttachBpfFd}, {type}, attach_flags={Flags(attr.AttachFlags, s_attachFlags, "BPF_F_")}, replace_bpf_fd={attr.ReplaceBpfFd}}}", 20);
    }

    private static string TaskFdQuery(TaskFdQueryAttr attr) =>
        $"{{task_fd_query={{pid={attr.Pid}, fd={attr.Fd}, flags={attr.Flags}, buf_len={attr.Buf.Length}, buf={(attr.Buf.Length == 0 ? "NULL" : Quote(attr.Buf))}, prog_id={attr.ProgId}, "
        + $"fd_type=BPF_FD_TYPE_{Upper(attr.FdType.ToString())}, probe_offset={Hex(attr.ProbeOffset)}, probe_addr={Hex(attr.ProbeAddr)}}}}}";

    private static (string, int) Id(BpfCall call, IdAttr attr) => call.Command switch
    {
        BpfCommand.BPF_PROG_GET_NEXT_ID or BpfCommand.BPF_MAP_GET_NEXT_ID or BpfCommand.BPF_BTF_GET_NEXT_ID or BpfCommand.BPF_LINK_GET_NEXT_ID =>
            ($"{{start_id={attr.Id}, next_id=0{(call.Result == 0 ? $" => {attr.NextId}" : "")}, open_flags=0}}", 12),
        BpfCommand.BPF_PROG_GET_FD_BY_ID => ($"{{prog_id={attr.Id}, next_id=0, open_flags=0}}", 12),
        BpfCommand.BPF_MAP_GET_FD_BY_ID => ($"{{map_id={attr.Id}, next_id=0, open_flags=0}}", 12),
        BpfCommand.BPF_BTF_GET_FD_BY_ID => ($"{{btf_id={attr.Id}}}", 12),
        BpfCommand.BPF_LINK_GET_FD_BY_ID => ($"{{link_id={attr.Id}}}", 12),
        _ => (Hex(Stack), 4),
    };

    private static string List<T>(IReadOnlyList<T>? values, Func<T, string> print) => values == null ? "NULL" : $"[{string.Join(", ", values.Select(print))}]";

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

    private static string CommandName(BpfCommand command) =>
        command > BpfCommand.BPF_PROG_BIND_MAP ? $"0x{(uint)command:x} /* BPF_??? */" : command.ToString();

    private static string MapTypeName(MapType type) => type switch
    {
        > MapType.UserRingbuf => $"0x{(uint)type:x} /* BPF_MAP_TYPE_??? */",
        MapType.ReuseportSockarray => "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY",
        _ => "BPF_MAP_TYPE_" + Upper(type.ToString()),
    };

    private static string ProgramTypeName(ProgramType type) => type > ProgramType.Syscall ? $"0x{(uint)type:x} /* BPF_PROG_TYPE_??? */" : "BPF_PROG_TYPE_" + type switch
    {
        ProgramType.LwtSeg6local => "LWT_SEG6LOCAL",
        ProgramType.LircMode2 => "LIRC_MODE2",
        _ => Upper(type.ToString()),
    };

    private static string AttachTypeName(AttachType type) => type > AttachType.LsmCgroup ? $"0x{(uint)type:x} /* BPF_??? */" : "BPF_" + type switch
    {
        AttachType.LircMode2 => "LIRC_MODE2",
        _ => Upper(type.ToString()),
    };

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

    private static string Flags(ulong flags, (ulong Bit, string Name)[] names, string unknown = "BPF_F_")
    {
        if (flags == 0) return "0";
        if (!names.Any(n => (flags & n.Bit) != 0)) return $"0x{flags:x} /* {unknown}??? */";
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
        _ => $"0x{flags:x} /* BPF_??? */",
    };

    private static string LookupFlags(ulong flags) => (flags & 4) == 0 ? flags == 0 ? "BPF_ANY" : $"0x{flags:x} /* BPF_??? */" : flags == 4 ? "BPF_F_LOCK" : $"BPF_F_LOCK|0x{flags & ~4ul:x}";

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
        (1, "BPF_F_STRICT_ALIGNMENT"), (2, "BPF_F_ANY_ALIGNMENT"), (4, "BPF_F_TEST_RND_HI32"), (8, "BPF_F_TEST_STATE_FREQ"), (16, "BPF_F_SLEEPABLE"),
    ];

    private static readonly (ulong, string)[] s_linkFlags = [(4, "BPF_F_REPLACE")];

    private static readonly (ulong, string)[] s_attachFlags = [(1, "BPF_F_ALLOW_OVERRIDE"), (2, "BPF_F_ALLOW_MULTI"), (4, "BPF_F_REPLACE")];

    private static readonly (ulong, string)[] s_queryFlags = [(1, "BPF_F_QUERY_EFFECTIVE")];

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
        [Errno.ENXIO] = "No such device or address",
        [Errno.ENOTDIR] = "Not a directory",
        [Errno.EISDIR] = "Is a directory",
        [Errno.EPROTO] = "Protocol error",
        [Errno.EBADFD] = "File descriptor in bad state",
    };
}
