using BpfSim.Vm.Btf;

namespace BpfSim.Vm.Verifier.Rewrites;

/// <summary>How the kernel reads a field of a context: through which of its own structures.</summary>
/// <param name="Steps">One load each, but the last one's: members that lie in one another, in order.</param>
/// <param name="Mask">Bits that are kept of the loaded number; 0 for all.</param>
/// <param name="Shift">Bits that the loaded number is shifted to the left.</param>
/// <param name="Truth">Whether only 0 or 1 is left of the number.</param>
/// <param name="Indexed">Whether offset and width within the field are those of the access, not of the kernel's member.</param>
internal sealed record ContextField(string[][] Steps, int Mask, int Shift, bool Truth, bool Indexed);

/// <summary>The fields that programs see, by user-visible structure and member, and where the kernel has them. Offsets come from BTF.</summary>
internal static class ContextFields
{
    // VISIBLE = FIRST LOAD > SECOND LOAD ...; 'a+b': b lies in a; '& n', '<< n', '!!': of the result; '[]': a row of numbers;
    // '@': in what lies behind the end of the packet's buffer.
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
        __sk_buff.ifindex = sk_buff.dev > net_device.ifindex
        __sk_buff.tc_index = sk_buff.tc_index
        __sk_buff.cb = sk_buff.cb+qdisc_skb_cb.data []
        __sk_buff.hash = sk_buff.hash
        __sk_buff.tc_classid = sk_buff.cb+qdisc_skb_cb.tc_classid
        __sk_buff.data = sk_buff.data
        __sk_buff.data_end = sk_buff.cb+bpf_skb_data_end.data_end
        __sk_buff.data_meta = sk_buff.cb+bpf_skb_data_end.data_meta
        __sk_buff.wire_len = sk_buff.cb+qdisc_skb_cb.pkt_len
        __sk_buff.tstamp_type = sk_buff.__mono_tc_offset & 3
        __sk_buff.sk = sk_buff.sk
        __sk_buff.family = sk_buff.sk > sock_common.skc_family
        __sk_buff.remote_ip4 = sk_buff.sk > sock_common.skc_daddr
        __sk_buff.local_ip4 = sk_buff.sk > sock_common.skc_rcv_saddr
        __sk_buff.remote_port = sk_buff.sk > sock_common.skc_dport << 16
        __sk_buff.local_port = sk_buff.sk > sock_common.skc_num
        __sk_buff.gso_segs = @skb_shared_info.gso_segs
        __sk_buff.gso_size = @skb_shared_info.gso_size
        __sk_buff.hwtstamp = @skb_shared_info.hwtstamps
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
        bpf_sock.dst_ip4 = sock_common.skc_daddr
        bpf_sock.src_port = sock_common.skc_num
        bpf_sock.dst_port = sock_common.skc_dport
        bpf_sock.state = sock_common.skc_state
        """;

    private static readonly Dictionary<string, ContextField> s_rows =
        Rows.Split('\n').Select(Parse).ToDictionary(r => r.Name, r => r.Field);

    /// <summary>The row of a field; null if there is none, and the kernel's form shows the access as it was written.</summary>
    public static ContextField? Find(string structure, string member) => s_rows.GetValueOrDefault($"{structure}.{member}");

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
        List<string[]> steps = [];
        int mask = 0, shift = 0;
        bool truth = false, indexed = false;
        for (int i = 2; i < words.Length; i++)
        {
            switch (words[i])
            {
                case ">": break;
                case "&": mask = int.Parse(words[++i]); break;
                case "<<": shift = int.Parse(words[++i]); break;
                case "!!": truth = true; break;
                case "[]": indexed = true; break;
                default: steps.Add(words[i].Split('+')); break;
            }
        }

        return (words[0], new ContextField([.. steps], mask, shift, truth, indexed));
    }
}
