using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Bpf;

/// <summary>What BPF_PROG_LOAD is given. Names are those of <c>union bpf_attr</c>.</summary>
public sealed record ProgLoadAttr
{
    /// <summary>prog_type.</summary>
    public ProgramType ProgType { get; init; }

    /// <summary>insns: map references carry file descriptors (or, with MapIdx, indexes into <see cref="FdArray"/>).</summary>
    public Insn[] Insns { get; init; } = [];

    /// <summary>license; null stands for a bad pointer.</summary>
    public string? License { get; init; } = "";

    /// <summary>log_level: BPF_LOG_* bits, 0 for no log.</summary>
    public uint LogLevel { get; init; }

    /// <summary>log_size in bytes; a log that needs more makes the call fail with ENOSPC.</summary>
    public uint LogSize { get; init; }

    /// <summary>kern_version: LINUX_VERSION_CODE for what the program was built; not checked since Linux 5.0.</summary>
    public uint KernVersion { get; init; }

    /// <summary>prog_flags: BPF_F_*.</summary>
    public uint ProgFlags { get; init; }

    /// <summary>prog_name: letters, digits, <c>_</c> and <c>.</c>, at most 15.</summary>
    public string ProgName { get; init; } = "";

    /// <summary>prog_ifindex: the device of an offloaded program.</summary>
    public uint ProgIfindex { get; init; }

    /// <summary>expected_attach_type.</summary>
    public uint ExpectedAttachType { get; init; }

    /// <summary>prog_btf_fd, 0 for none.</summary>
    public int ProgBtfFd { get; init; }

    /// <summary>func_info: start slot and BTF id of each function.</summary>
    public IReadOnlyList<FuncInfo> FuncInfo { get; init; } = [];

    /// <summary>line_info with its strings resolved.</summary>
    public IReadOnlyList<LineInfo> LineInfo { get; init; } = [];

    /// <summary>attach_btf_id in the kernel's BTF, 0 for none.</summary>
    public uint AttachBtfId { get; init; }

    /// <summary>attach_prog_fd or attach_btf_obj_fd, 0 for none.</summary>
    public int AttachProgFd { get; init; }

    /// <summary>fd_array; null if not given.</summary>
    public int[]? FdArray { get; init; }

    /// <summary>prog_token_fd, meant only with BPF_F_TOKEN_FD.</summary>
    public int ProgTokenFd { get; init; }

    /// <summary>fd_array_cnt: how many of <see cref="FdArray"/> are bound to the program at once.</summary>
    public uint FdArrayCnt { get; init; }

    /// <summary>Out: the text in log_buf after the call.</summary>
    public string LogBuf { get; set; } = "";

    /// <summary>Out: log_true_size, bytes that the whole log needs, its final NUL included.</summary>
    public uint LogTrueSize { get; set; }

    /// <summary>Out: the verifier's hint in plain words for a rejection; the kernel has nothing like it.</summary>
    public string? Hint { get; set; }
}

/// <summary>What BPF_MAP_CREATE is given.</summary>
public sealed record MapCreateAttr
{
    /// <summary>map_type.</summary>
    public MapType MapType { get; init; }

    /// <summary>key_size in bytes.</summary>
    public uint KeySize { get; init; }

    /// <summary>value_size in bytes.</summary>
    public uint ValueSize { get; init; }

    /// <summary>max_entries.</summary>
    public uint MaxEntries { get; init; }

    /// <summary>map_flags: BPF_F_*.</summary>
    public uint MapFlags { get; init; }

    /// <summary>inner_map_fd: a map that shows what the inner maps of a map-in-map look like.</summary>
    public int InnerMapFd { get; init; }

    /// <summary>numa_node, meant only with BPF_F_NUMA_NODE.</summary>
    public uint NumaNode { get; init; }

    /// <summary>map_name: letters, digits, <c>_</c> and <c>.</c>, at most 15.</summary>
    public string MapName { get; init; } = "";

    /// <summary>map_ifindex: the device of an offloaded map.</summary>
    public uint MapIfindex { get; init; }

    /// <summary>btf_fd, 0 for none.</summary>
    public int BtfFd { get; init; }

    /// <summary>btf_key_type_id in the BTF of <see cref="BtfFd"/>.</summary>
    public uint BtfKeyTypeId { get; init; }

    /// <summary>btf_value_type_id in the BTF of <see cref="BtfFd"/>.</summary>
    public uint BtfValueTypeId { get; init; }

    /// <summary>btf_vmlinux_value_type_id of a struct_ops map.</summary>
    public uint BtfVmlinuxValueTypeId { get; init; }

    /// <summary>map_extra.</summary>
    public ulong MapExtra { get; init; }

    /// <summary>value_type_btf_obj_fd of a struct_ops map.</summary>
    public int ValueTypeBtfObjFd { get; init; }

    /// <summary>map_token_fd, meant only with BPF_F_TOKEN_FD.</summary>
    public int MapTokenFd { get; init; }

    /// <summary>excl_prog_hash: the SHA-256 of the only program that may use the map; empty for none.</summary>
    public byte[] ExclProgHash { get; init; } = [];

    /// <summary>excl_prog_hash_size: 32, or 0 without a hash.</summary>
    public uint ExclProgHashSize { get; init; }
}

/// <summary>What BPF_BTF_LOAD is given.</summary>
public sealed record BtfLoadAttr
{
    /// <summary>btf: the bytes of a .BTF section.</summary>
    public byte[] Btf { get; init; } = [];

    /// <summary>btf_log_level.</summary>
    public uint LogLevel { get; init; }

    /// <summary>btf_log_size in bytes.</summary>
    public uint LogSize { get; init; }

    /// <summary>btf_flags: BPF_F_TOKEN_FD.</summary>
    public uint Flags { get; init; }

    /// <summary>btf_token_fd, meant only with BPF_F_TOKEN_FD.</summary>
    public int TokenFd { get; init; }

    /// <summary>Out: what the checks say.</summary>
    public string LogBuf { get; set; } = "";

    /// <summary>Out: btf_log_true_size.</summary>
    public uint LogTrueSize { get; set; }
}

/// <summary>What BPF_PROG_TEST_RUN is given; fields marked Out are written by the call.</summary>
public sealed record TestRunAttr
{
    /// <summary>prog_fd.</summary>
    public int ProgFd { get; init; }

    /// <summary>data_in: packet bytes.</summary>
    public byte[] DataIn { get; init; } = [];

    /// <summary>data_size_out: room for the packet afterwards, in bytes; 0 asks for none.</summary>
    public uint DataSizeOut { get; set; }

    /// <summary>ctx_in: the context's first contents; null if none is given.</summary>
    public byte[]? CtxIn { get; init; }

    /// <summary>ctx_size_out: room for the context afterwards, in bytes.</summary>
    public uint CtxSizeOut { get; set; }

    /// <summary>repeat: runs; 0 means 1.</summary>
    public uint Repeat { get; init; }

    /// <summary>flags: BPF_F_TEST_RUN_ON_CPU 1, BPF_F_TEST_XDP_LIVE_FRAMES 2, BPF_F_TEST_SKB_CHECKSUM_COMPLETE 4.</summary>
    public uint Flags { get; init; }

    /// <summary>cpu, with BPF_F_TEST_RUN_ON_CPU.</summary>
    public uint Cpu { get; init; }

    /// <summary>batch_size, with BPF_F_TEST_XDP_LIVE_FRAMES.</summary>
    public uint BatchSize { get; init; }

    /// <summary>Out: the program's return value.</summary>
    public uint Retval { get; set; }

    /// <summary>Out: mean wall time of a run in nanoseconds.</summary>
    public uint Duration { get; set; }

    /// <summary>Out: the same with its fraction.</summary>
    public double DurationNs { get; set; }

    /// <summary>Out: the packet afterwards, cut to <see cref="DataSizeOut"/> as it was given.</summary>
    public byte[] DataOut { get; set; } = [];

    /// <summary>Out: the context afterwards.</summary>
    public byte[] CtxOut { get; set; } = [];
}

/// <summary>What BPF_LINK_CREATE is given. The union of the kernel's variants; each link type reads its own.</summary>
public sealed record LinkCreateAttr
{
    /// <summary>prog_fd (or map_fd of struct_ops).</summary>
    public int ProgFd { get; init; }

    /// <summary>target_fd: a perf event for BPF_PERF_EVENT.</summary>
    public int TargetFd { get; init; }

    /// <summary>attach_type.</summary>
    public AttachType AttachType { get; init; }

    /// <summary>flags.</summary>
    public uint Flags { get; init; }

    /// <summary>target_btf_id of tracing links.</summary>
    public uint TargetBtfId { get; init; }

    /// <summary>bpf_cookie of perf event and tracing links.</summary>
    public ulong Cookie { get; init; }

    /// <summary>kprobe_multi.flags: BPF_F_KPROBE_MULTI_RETURN 1; uprobe_multi.flags: BPF_F_UPROBE_MULTI_RETURN 1.</summary>
    public uint MultiFlags { get; init; }

    /// <summary>kprobe_multi.syms.</summary>
    public IReadOnlyList<string>? Syms { get; init; }

    /// <summary>kprobe_multi.addrs.</summary>
    public IReadOnlyList<ulong>? Addrs { get; init; }

    /// <summary>kprobe_multi.cookies or uprobe_multi.cookies.</summary>
    public IReadOnlyList<ulong>? Cookies { get; init; }

    /// <summary>uprobe_multi.path.</summary>
    public string? Path { get; init; }

    /// <summary>uprobe_multi.offsets.</summary>
    public IReadOnlyList<ulong>? Offsets { get; init; }

    /// <summary>uprobe_multi.pid, 0 for all.</summary>
    public uint Pid { get; init; }

    /// <summary>iter_info.map.map_fd of map element iterators.</summary>
    public int IterMapFd { get; init; }

    /// <summary>netfilter.pf: the address family.</summary>
    public uint NetfilterPf { get; init; }

    /// <summary>netfilter.hooknum.</summary>
    public uint NetfilterHooknum { get; init; }

    /// <summary>netfilter.priority.</summary>
    public int NetfilterPriority { get; init; }

    /// <summary>netfilter.flags.</summary>
    public uint NetfilterFlags { get; init; }
}

/// <summary>What the batch commands are given and give back.</summary>
public sealed record MapBatchAttr
{
    /// <summary>map_fd.</summary>
    public int MapFd { get; init; }

    /// <summary>in_batch: the token of the call before, null to begin.</summary>
    public byte[]? InBatch { get; init; }

    /// <summary>Out: the token of the next call.</summary>
    public byte[] OutBatch { get; set; } = [];

    /// <summary>keys, one behind the other: room for lookups, contents for updates and deletes.</summary>
    public byte[] Keys { get; init; } = [];

    /// <summary>values, one behind the other.</summary>
    public byte[] Values { get; init; } = [];

    private uint? _countIn;
    private uint _count;

    /// <summary>count: in, room or number of elements; out, elements done.</summary>
    public uint Count
    {
        get => _count;
        set
        {
            _countIn ??= value;
            _count = value;
        }
    }

    /// <summary>count as it was given.</summary>
    public uint CountIn => _countIn ?? 0;

    /// <summary>elem_flags.</summary>
    public ulong ElemFlags { get; init; }

    /// <summary>flags, must be 0.</summary>
    public ulong Flags { get; init; }
}
