// SPDX-License-Identifier: MIT
// tcpconnect: one record for every TCP connection that a process opens, IPv4 and IPv6.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define AF_INET 2
#define AF_INET6 10

struct connect_event {
	u64 time_ns;
	u32 pid;
	u32 uid;
	u16 family;
	u16 dport; /* network byte order */
	u8 saddr[16];
	u8 daddr[16];
	char comm[16];
};

/* Keeps the record's type in the object's BTF for consumers. */
const struct connect_event *unused_connect_event __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct sock *);
} connecting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

static __always_inline int enter(struct sock *sk)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();

	bpf_map_update_elem(&connecting, &tid, &sk, BPF_ANY);
	return 0;
}

static __always_inline int leave(int result, u16 family)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = (u32)id;
	struct sock **entry = bpf_map_lookup_elem(&connecting, &tid);
	struct connect_event *event;
	struct sock *sk;

	if (!entry)
		return 0;
	sk = *entry;
	bpf_map_delete_elem(&connecting, &tid);
	if (result)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->pid = id >> 32;
	event->uid = (u32)bpf_get_current_uid_gid();
	event->family = family;
	event->dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	if (family == AF_INET) {
		BPF_CORE_READ_INTO((u32 *)event->saddr, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((u32 *)event->daddr, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&event->saddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&event->daddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("kprobe/tcp_v4_connect")
int BPF_KPROBE(enter_v4, struct sock *sk)
{
	return enter(sk);
}

SEC("kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(leave_v4, int result)
{
	return leave(result, AF_INET);
}

SEC("kprobe/tcp_v6_connect")
int BPF_KPROBE(enter_v6, struct sock *sk)
{
	return enter(sk);
}

SEC("kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(leave_v6, int result)
{
	return leave(result, AF_INET6);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
