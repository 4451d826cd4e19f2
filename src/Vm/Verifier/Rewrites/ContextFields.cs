using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>One load on the way to a field.</summary>
/// <param name="Path">Members that lie in one another; <c>*4</c> is a number of four bytes at the address itself.</param>
/// <param name="MayBeNull">Whether the loaded pointer is tested before the next load goes through it.</param>
internal sealed record ContextStep(string[] Path, bool MayBeNull);

/// <summary>How the kernel reads a field of a context: through which of its own structures.</summary>
internal sealed record ContextField
{
    /// <summary>The loads, in order.</summary>
    public required ContextStep[] Steps { get; init; }

    /// <summary>A member of the context that must not be 0 for the field to be read; null if there is none.</summary>
    public string[]? Guard { get; init; }

    /// <summary>Bits that are kept of the loaded number; 0 for all.</summary>
    public int Mask { get; init; }

    /// <summary>Bits that the loaded number is shifted to the left.</summary>
    public int Shift { get; init; }

    /// <summary>Whether only 0 or 1 is left of the number.</summary>
    public bool Truth { get; init; }

    /// <summary>Whether offset and width within the field are those of the access, not of the kernel's member.</summary>
    public bool Indexed { get; init; }

    /// <summary>Whether narrow loads are not cut out of wider ones.</summary>
    public bool AsWritten { get; init; }

    /// <summary>The numbers that stay as they are, and what stands for all others; null if all stay.</summary>
    public (JmpOp Stays, int Limit, int Else)? Unless { get; init; }

    /// <summary>The field has code of its own.</summary>
    public SpecialContextField Special { get; init; }
}

/// <summary>Fields that are more than loads, one after the other.</summary>
internal enum SpecialContextField
{
    /// <summary>Not one of these.</summary>
    None,

    /// <summary>Always 0: padding that old programs read with the field before it.</summary>
    Zero,

    /// <summary>The time of a packet, which is not shown as it is on the way in.</summary>
    Timestamp,

    /// <summary>The end of the linear data of a packet.</summary>
    LinearEnd,
}

/// <summary>The fields that programs see, by user-visible structure and member, and where the kernel has them. Offsets come from BTF.</summary>
internal static class ContextFields
{
    // VISIBLE = FIRST LOAD > SECOND LOAD ...; 'a+b': b lies in a; '& n', '<< n', '!!': of the result; '[]': a row of numbers, '[=]': loaded in any width;
    // '@': in what lies behind the end of the packet's buffer; '?': the pointer may be null, which is the result then;
    // 'if a :': 0 (or what a is) unless a is set; '>=n:m', '!=n:m': m stands for numbers that are not so; '#': code of its own.
    private const string Rows =
        """
        __sk_buff.len = sk_buff.len
        __sk_buff.pkt_type = sk_buff.__pkt_type_offset & 7
        __sk_buff.mark = sk_buff.mark
        __sk_buff.queue_mapping = sk_buff.queue_mapping
        __sk_buff.protocol = sk_buff.protocol
        __sk_buff.vlan_present = sk_buff.vlan_all !!
        __sk_buff.vlan_tci = sk_buff.vlan_tci
        __sk_buff.vlan_proto = sk_buff.vlan_proto
        __sk_buff.priority = sk_buff.priority
        __sk_buff.ingress_ifindex = sk_buff.skb_iif
        __sk_buff.ifindex = sk_buff.dev ? > net_device.ifindex
        __sk_buff.tc_index = sk_buff.tc_index
        __sk_buff.cb = sk_buff.cb+qdisc_skb_cb.data [=]
        __sk_buff.hash = sk_buff.hash
        __sk_buff.tc_classid = sk_buff.cb+qdisc_skb_cb.tc_classid
        __sk_buff.data = sk_buff.data
        __sk_buff.data_end = sk_buff.cb+bpf_skb_data_end.data_end
        __sk_buff.data_meta = sk_buff.cb+bpf_skb_data_end.data_meta
        __sk_buff.napi_id = sk_buff.napi_id >=257:0
        __sk_buff.tstamp = sk_buff.tstamp #timestamp
        __sk_buff.wire_len = sk_buff.cb+qdisc_skb_cb.pkt_len
        __sk_buff.tstamp_type = sk_buff.__mono_tc_offset & 3
        __sk_buff.sk = sk_buff.sk
        __sk_buff.family = sk_buff.sk > sock_common.skc_family
        __sk_buff.remote_ip4 = sk_buff.sk > sock_common.skc_daddr
        __sk_buff.local_ip4 = sk_buff.sk > sock_common.skc_rcv_saddr
        __sk_buff.remote_ip6 = sk_buff.sk > sock_common.skc_v6_daddr []
        __sk_buff.local_ip6 = sk_buff.sk > sock_common.skc_v6_rcv_saddr []
        __sk_buff.remote_port = sk_buff.sk > sock_common.skc_dport << 16
        __sk_buff.local_port = sk_buff.sk > sock_common.skc_num
        __sk_buff.gso_segs = @skb_shared_info.gso_segs
        __sk_buff.gso_size = @skb_shared_info.gso_size
        __sk_buff.hwtstamp = @skb_shared_info.hwtstamps
        classifier.ifindex = sk_buff.dev > net_device.ifindex
        sk_skb.cb = sk_buff.cb+sk_skb_cb.data [=]
        sk_skb.data_end = sk_buff.data #linear_end
        flow_dissector.data = bpf_flow_dissector.data
        flow_dissector.data_end = bpf_flow_dissector.data_end
        flow_dissector.flow_keys = bpf_flow_dissector.flow_keys
        xdp_md.data = xdp_buff.data
        xdp_md.data_end = xdp_buff.data_end
        xdp_md.data_meta = xdp_buff.data_meta
        xdp_md.ingress_ifindex = xdp_buff.rxq > xdp_rxq_info.dev > net_device.ifindex
        xdp_md.rx_queue_index = xdp_buff.rxq > xdp_rxq_info.queue_index
        xdp_md.egress_ifindex = xdp_buff.txq > xdp_txq_info.dev > net_device.ifindex
        bpf_perf_event_data.sample_period = bpf_perf_event_data_kern.data > perf_sample_data.period
        bpf_perf_event_data.addr = bpf_perf_event_data_kern.data > perf_sample_data.addr
        bpf_perf_event_data.regs = bpf_perf_event_data_kern.regs > pt_regs []
        bpf_sock.bound_dev_if = sock_common.skc_bound_dev_if
        bpf_sock.family = sock_common.skc_family
        bpf_sock.type = sock.sk_type
        bpf_sock.protocol = sock.sk_protocol
        bpf_sock.mark = sock.sk_mark
        bpf_sock.priority = sock.sk_priority
        bpf_sock.src_ip4 = sock_common.skc_rcv_saddr
        bpf_sock.src_ip6 = sock_common.skc_v6_rcv_saddr []
        bpf_sock.dst_ip4 = sock_common.skc_daddr
        bpf_sock.dst_ip6 = sock_common.skc_v6_daddr []
        bpf_sock.src_port = sock_common.skc_num
        bpf_sock.dst_port = sock_common.skc_dport
        bpf_sock.state = sock_common.skc_state
        bpf_sock.rx_queue_mapping = sock_common.skc_rx_queue_mapping !=65535:-1
        bpf_tcp_sock.rtt_min = tcp_sock.rtt_min+minmax_sample.v
        bpf_tcp_sock.icsk_retransmits = inet_connection_sock.icsk_retransmits
        bpf_tcp_sock.* = tcp_sock.*
        bpf_xdp_sock.queue_id = xdp_sock.queue_id
        bpf_sock_addr.user_family = bpf_sock_addr_kern.uaddr > sockaddr.sa_family
        bpf_sock_addr.user_ip4 = bpf_sock_addr_kern.uaddr > sockaddr_in.sin_addr
        bpf_sock_addr.user_ip6 = bpf_sock_addr_kern.uaddr > sockaddr_in6.sin6_addr []
        bpf_sock_addr.user_port = bpf_sock_addr_kern.uaddr > sockaddr_in6.sin6_port
        bpf_sock_addr.family = bpf_sock_addr_kern.sk > sock_common.skc_family
        bpf_sock_addr.type = bpf_sock_addr_kern.sk > sock.sk_type
        bpf_sock_addr.protocol = bpf_sock_addr_kern.sk > sock.sk_protocol
        bpf_sock_addr.msg_src_ip4 = bpf_sock_addr_kern.t_ctx > *4
        bpf_sock_addr.msg_src_ip6 = bpf_sock_addr_kern.t_ctx > *16 []
        bpf_sock_addr.sk = bpf_sock_addr_kern.sk
        bpf_sock_ops.op = bpf_sock_ops_kern.op
        bpf_sock_ops.args = bpf_sock_ops_kern.args []
        bpf_sock_ops.family = bpf_sock_ops_kern.sk > sock_common.skc_family
        bpf_sock_ops.remote_ip4 = bpf_sock_ops_kern.sk > sock_common.skc_daddr
        bpf_sock_ops.local_ip4 = bpf_sock_ops_kern.sk > sock_common.skc_rcv_saddr
        bpf_sock_ops.remote_ip6 = bpf_sock_ops_kern.sk > sock_common.skc_v6_daddr []
        bpf_sock_ops.local_ip6 = bpf_sock_ops_kern.sk > sock_common.skc_v6_rcv_saddr []
        bpf_sock_ops.remote_port = bpf_sock_ops_kern.sk > sock_common.skc_dport << 16
        bpf_sock_ops.local_port = bpf_sock_ops_kern.sk > sock_common.skc_num
        bpf_sock_ops.is_fullsock = bpf_sock_ops_kern.is_fullsock
        bpf_sock_ops.state = bpf_sock_ops_kern.sk > sock_common.skc_state
        bpf_sock_ops.rtt_min = bpf_sock_ops_kern.sk > tcp_sock.rtt_min+minmax_sample.v
        bpf_sock_ops.sk_txhash = if bpf_sock_ops_kern.is_locked_tcp_sock : bpf_sock_ops_kern.sk > sock.sk_txhash
        bpf_sock_ops.sk = if bpf_sock_ops_kern.is_fullsock : bpf_sock_ops_kern.sk
        bpf_sock_ops.skb_data = bpf_sock_ops_kern.skb ? > sk_buff.data
        bpf_sock_ops.skb_data_end = bpf_sock_ops_kern.skb_data_end
        bpf_sock_ops.skb_len = bpf_sock_ops_kern.skb ? > sk_buff.len
        bpf_sock_ops.skb_tcp_flags = bpf_sock_ops_kern.skb ? > sk_buff.cb+tcp_skb_cb.tcp_flags
        bpf_sock_ops.skb_hwtstamp = bpf_sock_ops_kern.skb ? > @skb_shared_info.hwtstamps
        bpf_sock_ops.* = if bpf_sock_ops_kern.is_locked_tcp_sock : bpf_sock_ops_kern.sk > tcp_sock.*
        bpf_sk_lookup.sk = bpf_sk_lookup_kern.selected_sk
        bpf_sk_lookup.family = bpf_sk_lookup_kern.family
        bpf_sk_lookup.protocol = bpf_sk_lookup_kern.protocol
        bpf_sk_lookup.remote_ip4 = bpf_sk_lookup_kern.v4.saddr
        bpf_sk_lookup.remote_ip6 = bpf_sk_lookup_kern.v6.saddr ? > *16 []
        bpf_sk_lookup.remote_port = bpf_sk_lookup_kern.sport
        bpf_sk_lookup.remote_port+2 = bpf_sk_lookup_kern.sport #zero
        bpf_sk_lookup.local_ip4 = bpf_sk_lookup_kern.v4.daddr
        bpf_sk_lookup.local_ip6 = bpf_sk_lookup_kern.v6.daddr ? > *16 []
        bpf_sk_lookup.local_port = bpf_sk_lookup_kern.dport
        bpf_sk_lookup.ingress_ifindex = bpf_sk_lookup_kern.ingress_ifindex
        sk_msg_md.data = sk_msg.data
        sk_msg_md.data_end = sk_msg.data_end
        sk_msg_md.family = sk_msg.sk > sock_common.skc_family
        sk_msg_md.remote_ip4 = sk_msg.sk > sock_common.skc_daddr
        sk_msg_md.local_ip4 = sk_msg.sk > sock_common.skc_rcv_saddr
        sk_msg_md.remote_ip6 = sk_msg.sk > sock_common.skc_v6_daddr []
        sk_msg_md.local_ip6 = sk_msg.sk > sock_common.skc_v6_rcv_saddr []
        sk_msg_md.remote_port = sk_msg.sk > sock_common.skc_dport << 16
        sk_msg_md.local_port = sk_msg.sk > sock_common.skc_num
        sk_msg_md.size = sk_msg.sg+sk_msg_sg.size
        sk_msg_md.sk = sk_msg.sk
        sk_reuseport_md.data = sk_reuseport_kern.skb > sk_buff.data
        sk_reuseport_md.data_end = sk_reuseport_kern.data_end
        sk_reuseport_md.len = sk_reuseport_kern.skb > sk_buff.len
        sk_reuseport_md.eth_protocol = sk_reuseport_kern.skb > sk_buff.protocol
        sk_reuseport_md.ip_protocol = sk_reuseport_kern.sk > sock.sk_protocol
        sk_reuseport_md.bind_inany = sk_reuseport_kern.bind_inany
        sk_reuseport_md.hash = sk_reuseport_kern.hash
        sk_reuseport_md.sk = sk_reuseport_kern.sk
        sk_reuseport_md.migrating_sk = sk_reuseport_kern.migrating_sk
        bpf_sockopt.sk = bpf_sockopt_kern.sk
        bpf_sockopt.optval = bpf_sockopt_kern.optval
        bpf_sockopt.optval_end = bpf_sockopt_kern.optval_end
        bpf_sockopt.level = bpf_sockopt_kern.level
        bpf_sockopt.optname = bpf_sockopt_kern.optname
        bpf_sockopt.optlen = bpf_sockopt_kern.optlen
        bpf_sockopt.retval = bpf_sockopt_kern.current_task > task_struct.bpf_ctx > bpf_cg_run_ctx.retval
        bpf_sysctl.write = bpf_sysctl_kern.write
        bpf_sysctl.file_pos = bpf_sysctl_kern.ppos > *4
        """;

    private static readonly Dictionary<string, ContextField> s_rows =
        Rows.Split('\n').Select(Parse).ToDictionary(r => r.Name, r => r.Field);

    /// <summary>The row of a field; null if there is none, and the kernel's form shows the access as it was written.</summary>
    public static ContextField? Find(string structure, string member)
    {
        if (s_rows.TryGetValue($"{structure}.{member}", out ContextField? row)) return row;
        if (!s_rows.TryGetValue($"{structure}.*", out row)) return null;
        ContextStep[] steps = [.. row.Steps.Select(s => s with { Path = [.. s.Path.Select(p => p.Replace("*", member, StringComparison.Ordinal))] })];
        return row with { Steps = steps };
    }

    /// <summary>The member of a structure in which a byte lies; anonymous unions are looked through.</summary>
    public static (string Name, int Offset, int Size)? MemberAt(BtfType structure, int offset)
    {
        foreach (BtfMember member in structure.Members)
        {
            int at = (int)member.ByteOffset, size = (int)structure.Btf.SizeOf(member.TypeId);
            if (offset < at || offset >= at + size) continue;
            if (member.Name.Length > 0) return (member.Name, at, size);
            BtfType inner = structure.Btf.Resolve(member.TypeId);
            if (inner.IsComposite && MemberAt(inner, offset - at) is { } found) return found with { Offset = found.Offset + at };
        }

        return null;
    }

    private static (string Name, ContextField Field) Parse(string row)
    {
        string[] words = row.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var field = new ContextField { Steps = [] };
        for (int i = 2; i < words.Length; i++)
        {
            string word = words[i];
            field = word switch
            {
                ">" or ":" => field,
                "if" => field with { Guard = words[++i].Split('+') },
                "?" => field with { Steps = [.. field.Steps[..^1], field.Steps[^1] with { MayBeNull = true }] },
                "&" => field with { Mask = int.Parse(words[++i], CultureInfo.InvariantCulture) },
                "<<" => field with { Shift = int.Parse(words[++i], CultureInfo.InvariantCulture) },
                "!!" => field with { Truth = true },
                "[]" => field with { Indexed = true },
                "[=]" => field with { Indexed = true, AsWritten = true },
                "#zero" => field with { Special = SpecialContextField.Zero },
                "#timestamp" => field with { Special = SpecialContextField.Timestamp },
                "#linear_end" => field with { Special = SpecialContextField.LinearEnd },
                ['>' or '!', '=', ..] => field with { Unless = Condition(word) },
                _ => field with { Steps = [.. field.Steps, new ContextStep(word.Split('+'), false)] },
            };
        }

        return (words[0], field);
    }

    private static (JmpOp Stays, int Limit, int Else) Condition(string word)
    {
        string[] numbers = word[2..].Split(':');
        return (word[0] == '>' ? JmpOp.Jge : JmpOp.Jne, int.Parse(numbers[0], CultureInfo.InvariantCulture), int.Parse(numbers[1], CultureInfo.InvariantCulture));
    }
}
