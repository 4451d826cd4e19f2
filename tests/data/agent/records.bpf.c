// SPDX-License-Identifier: MIT
// Sends a record for every openat to user space, and counts those of the cgroups that user space has named, where the
// probed function is the one whose address user space has given. Build: as programs/build.sh does, with -I../../../programs.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>

#define BPF_F_CURRENT_CPU 0xffffffffULL

struct record {
	u32 pid;
	u32 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, u32);
	__type(value, u32);
} events SEC(".maps");

struct cgroups {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, u64);
	__type(value, u64);
};
struct cgroups chosen SEC(".maps");
struct cgroups by_cgroup SEC(".maps");

const volatile u64 kaddr_do_sys_openat2 = 0;

SEC("kprobe/do_sys_openat2")
int record(struct pt_regs *ctx)
{
	struct record record = { .pid = bpf_get_current_pid_tgid() >> 32, .kind = 7 };
	u64 cgroup = bpf_get_current_cgroup_id(), zero = 0, *count;

	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &record, sizeof(record));
	if (bpf_get_func_ip(ctx) != kaddr_do_sys_openat2 || !bpf_map_lookup_elem(&chosen, &cgroup))
		return 0;
	bpf_map_update_elem(&by_cgroup, &cgroup, &zero, BPF_NOEXIST);
	count = bpf_map_lookup_elem(&by_cgroup, &cgroup);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
