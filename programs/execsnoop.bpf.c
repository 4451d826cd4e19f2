// SPDX-License-Identifier: MIT
// execsnoop: one record for every program that is started, with its parent and the file that was run.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct exec_event {
	u64 time_ns;
	u32 pid;
	u32 ppid;
	u32 uid;
	char comm[16];
	char filename[128];
};

/* Keeps the record's type in the object's BTF for consumers. */
const struct exec_event *unused_exec_event __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tracepoint/sched/sched_process_exec")
int on_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct exec_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	u32 where;

	if (!event)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->ppid = BPF_CORE_READ(task, real_parent, tgid);
	event->uid = (u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	/* The record's strings lie behind it; __data_loc says where (low half) and how long (high half). */
	where = BPF_CORE_READ(ctx, __data_loc_filename) & 0xffff;
	event->filename[0] = 0;
	bpf_probe_read_kernel_str(event->filename, sizeof(event->filename), (void *)ctx + where);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
