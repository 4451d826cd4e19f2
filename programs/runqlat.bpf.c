// SPDX-License-Identifier: MIT
// runqlat: how long tasks wait on a run queue before they run, as a histogram in microseconds.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "histogram.h"

#define TASK_RUNNING 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} queued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct histogram);
} waiting SEC(".maps");

static __always_inline void enqueue(u32 pid)
{
	u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&queued, &pid, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	enqueue(task->pid);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task)
{
	enqueue(task->pid);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct histogram *histogram;
	u32 pid = next->pid, key = 0;
	u64 *since;
	s64 waited;

	/* A task that is put off the CPU while it could still run waits from now on. */
	if (prev->__state == TASK_RUNNING)
		enqueue(prev->pid);
	since = bpf_map_lookup_elem(&queued, &pid);
	if (!since)
		return 0;
	waited = (s64)(bpf_ktime_get_ns() - *since);
	bpf_map_delete_elem(&queued, &pid);
	histogram = bpf_map_lookup_elem(&waiting, &key);
	if (!histogram || waited < 0)
		return 0;
	__sync_fetch_and_add(&histogram->slots[slot_of((u64)waited / 1000)], 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
