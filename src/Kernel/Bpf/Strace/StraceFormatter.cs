using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf.Strace;

/// <summary>How much of a call strace shows.</summary>
public enum StraceStyle
{
    /// <summary>As <c>strace -v -ebpf</c> of strace 6.1: every field, every instruction.</summary>
    Verbose,

    /// <summary>As <c>strace -ebpf</c>: instructions as a pointer.</summary>
    Plain,

    /// <summary>Only what tells programs and maps apart, the rest as three dots, as articles quote it.</summary>
    Brief,
}

/// <summary>
/// Prints calls of the bpf() facade as strace 6.1 prints those of the system call. Pointers, which do not
/// exist here, are made up of the field's place and the same in every run.
/// </summary>
public static class StraceFormatter
{
    private const int ResultColumn = 40;

    /// <summary>One line for one call, without a newline.</summary>
    public static string Format(BpfCall call, StraceStyle style = StraceStyle.Verbose)
    {
        (string attributes, int size) = call.Attr switch
        {
            ProgLoadAttr load => (ProgLoad(load, style), 128),
            MapCreateAttr create => (MapCreate(create, style), 72),
            MapElemAttr element => (Element(call.Command, element), 32),
            BtfLoadAttr btf => (BtfLoad(btf), 28),
            ObjAttr obj => ($"{{pathname={Quote(obj.Pathname)}, bpf_fd={obj.BpfFd}, file_flags={FileFlags(obj.FileFlags)}}}", 16),
            RawTracepointAttr raw => ($"{{raw_tracepoint={{name={(raw.Name == null ? "NULL" : Quote(raw.Name))}, prog_fd={raw.ProgFd}}}}}", 16),
            LinkCreateAttr link => (LinkCreate(link), 48),
            LinkUpdateAttr update => ($"{{link_update={{link_fd={update.LinkFd}, new_prog_fd={update.NewProgFd}, flags={update.Flags}}}}}", 16),
            TestRunAttr test => (TestRun(test), 80),
            MapBatchAttr batch => (Batch(batch), 56),
            IdAttr id => (Id(call, id), 12),
            InfoAttr info => (Info(info), 16),
            _ => (Pointer(0), 8),
        };
        var line = new StringBuilder($"bpf({CommandName(call.Command)}, {attributes}, {size})");
        while (line.Length < ResultColumn) line.Append(' ');
        return line.Append(" = ").Append(Result(call.Result)).ToString();
    }

    private static string CommandName(BpfCommand command) => command.ToString();

    private static string Result(int result)
    {
        if (result >= 0) return result.ToString();
        var errno = (Errno)(-result);
        string name = errno == Errno.ENOTSUPP ? "ENOTSUPP" : errno.ToString();
        return $"-1 {name} ({ErrnoText.Describe(errno)})";
    }

    private static string ProgLoad(ProgLoadAttr a, StraceStyle style)
    {
        var text = new StringBuilder($"{{prog_type=BPF_PROG_TYPE_{KernelName(a.ProgType.ToString())}, insn_cnt={a.Insns.Length}, insns=");
        if (style == StraceStyle.Plain) text.Append(Pointer(1));
        else if (style == StraceStyle.Brief) text.Append('[').Append(Instruction(a.Insns[0])).Append(", ...]");
        else text.Append('[').AppendJoin(", ", a.Insns.Select(Instruction)).Append(']');
        if (style == StraceStyle.Brief) return text.Append($", prog_name={Quote(a.ProgName)}, ...}}").ToString();
        text.Append($", license={(a.License == null ? "NULL" : Quote(a.License))}, log_level={a.LogLevel}, log_size={a.LogSize}, log_buf={(a.LogSize == 0 ? "NULL" : "\"\"")}");
        text.Append($", kern_version=KERNEL_VERSION({a.KernVersion >> 16}, {a.KernVersion >> 8 & 255}, {a.KernVersion & 255})");
        text.Append($", prog_flags={ProgFlags(a.ProgFlags)}, prog_name={Quote(a.ProgName)}, prog_ifindex={a.ProgIfindex}");
        text.Append($", expected_attach_type={AttachTypeName((AttachType)a.ExpectedAttachType)}, prog_btf_fd={a.ProgBtfFd}");
        text.Append($", func_info_rec_size={(a.FuncInfo.Count == 0 ? 0 : 8)}, func_info={(a.FuncInfo.Count == 0 ? "NULL" : Pointer(2))}, func_info_cnt={a.FuncInfo.Count}");
        text.Append($", line_info_rec_size={(a.LineInfo.Count == 0 ? 0 : 16)}, line_info={(a.LineInfo.Count == 0 ? "NULL" : Pointer(3))}, line_info_cnt={a.LineInfo.Count}");
        return text.Append($", attach_btf_id={a.AttachBtfId}, attach_prog_fd={a.AttachProgFd}, fd_array={(a.FdArray == null ? "NULL" : Pointer(4))}}}").ToString();
    }

    /// <summary>An instruction as strace decodes it: class, then source and operation, or width and mode.</summary>
    public static string Instruction(Insn insn)
    {
        string code = insn.Class switch
        {
            InsnClass.Alu or InsnClass.Alu64 => $"BPF_{insn.Class.ToString().ToUpperInvariant()}|BPF_{insn.Source}|BPF_{insn.AluOp.ToString().ToUpperInvariant()}",
            InsnClass.Jmp or InsnClass.Jmp32 => $"BPF_{insn.Class.ToString().ToUpperInvariant()}|BPF_{insn.Source}|BPF_{insn.JmpOp.ToString().ToUpperInvariant()}",
            _ => $"BPF_{insn.Class.ToString().ToUpperInvariant()}|BPF_{insn.Size.ToString().ToUpperInvariant()}|BPF_{ModeName(insn)}",
        };
        return $"{{code={code}, dst_reg={Register(insn.Dst)}, src_reg={Register(insn.Src)}, off={insn.Off}, imm={Hex((uint)insn.Imm)}}}";
    }

    private static string ModeName(Insn insn) => (insn.Code & 0xe0) switch
    {
        0x00 => "IMM",
        0x20 => "ABS",
        0x40 => "IND",
        0x60 => "MEM",
        0x80 => "MEMSX",
        0xa0 => "MSH",
        0xc0 => "XADD",
        _ => "0xe0",
    };

    private static string Register(int number) => number <= 10 ? $"BPF_REG_{number}" : $"0x{number:x} /* BPF_REG_??? */";

    private static string MapCreate(MapCreateAttr a, StraceStyle style)
    {
        string head = $"{{map_type=BPF_MAP_TYPE_{KernelName(a.MapType.ToString())}, key_size={a.KeySize}, value_size={a.ValueSize}, max_entries={a.MaxEntries}";
        if (style == StraceStyle.Brief) return $"{head}, map_name={Quote(a.MapName)}, ...}}";
        string numa = (a.MapFlags & 4) != 0 ? $", numa_node={a.NumaNode}" : "";
        return $"{head}, map_flags={MapFlagsText(a.MapFlags)}, inner_map_fd={a.InnerMapFd}{numa}, map_name={Quote(a.MapName)}, map_ifindex={a.MapIfindex}"
            + $", btf_fd={a.BtfFd}, btf_key_type_id={a.BtfKeyTypeId}, btf_value_type_id={a.BtfValueTypeId}"
            + $", btf_vmlinux_value_type_id={a.BtfVmlinuxValueTypeId}, map_extra={Hex(a.MapExtra)}}}";
    }

    private static string Element(BpfCommand command, MapElemAttr a)
    {
        string flags = a.Flags switch { 0 => "BPF_ANY", 1 => "BPF_NOEXIST", 2 => "BPF_EXIST", 4 => "BPF_F_LOCK", _ => $"{Hex(a.Flags)} /* BPF_??? */" };
        return command switch
        {
            BpfCommand.BPF_MAP_FREEZE => $"{{map_fd={a.MapFd}}}",
            BpfCommand.BPF_MAP_DELETE_ELEM => $"{{map_fd={a.MapFd}, key={Pointer(5)}}}",
            BpfCommand.BPF_MAP_GET_NEXT_KEY => $"{{map_fd={a.MapFd}, key={Pointer(5)}, next_key={Pointer(6)}}}",
            _ => $"{{map_fd={a.MapFd}, key={Pointer(5)}, value={Pointer(6)}, flags={flags}}}",
        };
    }

    private static string BtfLoad(BtfLoadAttr a) =>
        $"{{btf={QuoteBytes(a.Btf, 32)}, btf_log_buf=NULL, btf_size={a.Btf.Length}, btf_log_size={a.LogSize}, btf_log_level={a.LogLevel}}}";

    private static string LinkCreate(LinkCreateAttr a)
    {
        string more = a.AttachType switch
        {
            AttachType.PerfEvent => $", perf_event={{bpf_cookie={Hex(a.Cookie)}}}",
            AttachType.TraceKprobeMulti or AttachType.TraceKprobeSession =>
                $", kprobe_multi={{flags={(a.MultiFlags == 0 ? "0" : "BPF_F_KPROBE_MULTI_RETURN")}, cnt={a.Syms?.Count ?? a.Addrs?.Count ?? 0}"
                + $", syms={(a.Syms == null ? "NULL" : "[" + string.Join(", ", a.Syms.Select(Quote)) + "]")}, addrs={(a.Addrs == null ? "NULL" : Pointer(7))}, cookies={(a.Cookies == null ? "NULL" : Pointer(8))}}}",
            _ => "",
        };
        return $"{{link_create={{prog_fd={a.ProgFd}, target_fd={a.TargetFd}, attach_type={AttachTypeName(a.AttachType)}, flags={a.Flags}{more}}}}}";
    }

    private static string TestRun(TestRunAttr a) =>
        $"{{test={{prog_fd={a.ProgFd}, retval={a.Retval}, data_size_in={a.DataIn.Length}, data_size_out={a.DataSizeOut}"
        + $", data_in={(a.DataIn.Length == 0 ? "NULL" : QuoteBytes(a.DataIn, 32))}, data_out={(a.DataOut.Length == 0 ? "NULL" : Pointer(9))}"
        + $", repeat={a.Repeat}, duration={a.Duration}, ctx_size_in={a.CtxIn?.Length ?? 0}, ctx_size_out={a.CtxSizeOut}"
        + $", ctx_in={(a.CtxIn == null ? "NULL" : QuoteBytes(a.CtxIn, 32))}, ctx_out={(a.CtxOut.Length == 0 ? "NULL" : Pointer(10))}"
        + $", flags={a.Flags}, cpu={a.Cpu}, batch_size={a.BatchSize}}}}}";

    private static string Batch(MapBatchAttr a) =>
        $"{{batch={{in_batch={(a.InBatch == null ? "NULL" : Pointer(11))}, out_batch={Pointer(12)}, keys={(a.Keys.Length == 0 ? "NULL" : Pointer(5))}"
        + $", values={(a.Values.Length == 0 ? "NULL" : Pointer(6))}, count={a.Count}, map_fd={a.MapFd}, elem_flags={(a.ElemFlags == 0 ? "BPF_ANY" : Hex(a.ElemFlags))}, flags={a.Flags}}}}}";

    private static string Id(BpfCall call, IdAttr a)
    {
        string field = call.Command switch
        {
            BpfCommand.BPF_PROG_GET_FD_BY_ID => "prog_id",
            BpfCommand.BPF_MAP_GET_FD_BY_ID => "map_id",
            BpfCommand.BPF_BTF_GET_FD_BY_ID => "btf_id",
            BpfCommand.BPF_LINK_GET_FD_BY_ID => "link_id",
            BpfCommand.BPF_PROG_GET_NEXT_ID or BpfCommand.BPF_MAP_GET_NEXT_ID or BpfCommand.BPF_BTF_GET_NEXT_ID
                or BpfCommand.BPF_LINK_GET_NEXT_ID => "start_id",
            _ => "",
        };
        if (field.Length == 0) return Pointer(0);
        return $"{{{field}={a.Id}, next_id=0{(a.NextId != 0 ? $" => {a.NextId}" : "")}, open_flags=0}}";
    }

    private static string Info(InfoAttr a) => $"{{info={{bpf_fd={a.BpfFd}, info_len={a.InfoLen}, info={Pointer(13)}}}}}";

    /// <summary>The kernel's name of an attach type: <c>BPF_CGROUP_INET_INGRESS</c> for 0.</summary>
    public static string AttachTypeName(AttachType type) =>
        Enum.IsDefined(type) ? "BPF_" + KernelName(type.ToString()) : $"{Hex((uint)type)} /* BPF_??? */";

    private static string ProgFlags(uint flags)
    {
        if (flags == 0) return "0";
        string[] names =
        [
            "BPF_F_STRICT_ALIGNMENT", "BPF_F_ANY_ALIGNMENT", "BPF_F_TEST_RND_HI32", "BPF_F_TEST_STATE_FREQ", "BPF_F_SLEEPABLE", "BPF_F_XDP_HAS_FRAGS",
            "BPF_F_XDP_DEV_BOUND_ONLY", "BPF_F_TEST_REG_INVARIANTS",
        ];
        return Flags(flags, names);
    }

    private static string MapFlagsText(uint flags)
    {
        if (flags == 0) return "0";
        string[] names =
        [
            "BPF_F_NO_PREALLOC", "BPF_F_NO_COMMON_LRU", "BPF_F_NUMA_NODE", "BPF_F_RDONLY", "BPF_F_WRONLY", "BPF_F_STACK_BUILD_ID", "BPF_F_ZERO_SEED",
            "BPF_F_RDONLY_PROG", "BPF_F_WRONLY_PROG", "BPF_F_CLONE", "BPF_F_MMAPABLE", "BPF_F_PRESERVE_ELEMS", "BPF_F_INNER_MAP",
        ];
        return Flags(flags, names);
    }

    private static string FileFlags(uint flags) => flags switch { 0 => "0", 8 => "BPF_F_RDONLY", 16 => "BPF_F_WRONLY", _ => Hex(flags) };

    private static string Flags(uint flags, string[] names)
    {
        var parts = new List<string>();
        for (int i = 0; i < names.Length; i++)
            if ((flags >> i & 1) != 0) parts.Add(names[i]);
        uint rest = flags >> names.Length << names.Length;
        if (rest != 0) parts.Add(Hex(rest));
        return string.Join('|', parts);
    }

    /// <summary>CamelCase to the kernel's capitals with underscores; digits stay with their word.</summary>
    private static string KernelName(string name)
    {
        var text = new StringBuilder();
        foreach (char c in name)
        {
            if (char.IsAsciiLetterUpper(c) && text.Length > 0) text.Append('_');
            text.Append(char.ToUpperInvariant(c));
        }
        return text.ToString();
    }

    private static string Hex(ulong value) => value == 0 ? "0" : $"0x{value:x}";

    private static string Pointer(int place) => $"0x7ffc0000{place + 1:x1}000";

    private static string Quote(string text) => QuoteBytes(Encoding.UTF8.GetBytes(text), int.MaxValue);

    /// <summary>A C string as strace writes it: octal escapes, as short as the next character allows.</summary>
    private static string QuoteBytes(ReadOnlySpan<byte> bytes, int limit)
    {
        var text = new StringBuilder("\"");
        int shown = Math.Min(bytes.Length, limit);
        for (int i = 0; i < shown; i++)
        {
            byte c = bytes[i];
            switch (c)
            {
                case (byte)'"' or (byte)'\\': text.Append('\\').Append((char)c); break;
                case (byte)'\n': text.Append("\\n"); break;
                case (byte)'\r': text.Append("\\r"); break;
                case (byte)'\t': text.Append("\\t"); break;
                case (byte)'\v': text.Append("\\v"); break;
                case (byte)'\f': text.Append("\\f"); break;
                case >= 0x20 and < 0x7f: text.Append((char)c); break;
                default:
                    bool digitFollows = i + 1 < shown && bytes[i + 1] is >= (byte)'0' and <= (byte)'9';
                    text.Append('\\').Append(digitFollows ? Convert.ToString(c, 8).PadLeft(3, '0') : Convert.ToString(c, 8));
                    break;
            }
        }
        text.Append('"');
        return bytes.Length > limit ? text.Append("...").ToString() : text.ToString();
    }
}
