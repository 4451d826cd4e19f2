// SPDX-License-Identifier: MIT
// opensnoop: one record for every file that a process opens, with the descriptor or error that it got.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include "opensnoop.h"

const volatile u32 target_pid = 0;
const volatile bool failed_only = false;

struct pending {
	const char *path;
	int flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct pending);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

static __always_inline int enter(const char *path, int flags)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = (u32)id;
	struct pending entry = { .path = path, .flags = flags };

	if (target_pid && target_pid != id >> 32)
		return 0;
	bpf_map_update_elem(&started, &tid, &entry, BPF_ANY);
	return 0;
}

static __always_inline int leave(long result)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = (u32)id;
	struct pending *entry = bpf_map_lookup_elem(&started, &tid);
	struct open_event *event;

	if (!entry)
		return 0;
	if (failed_only && result >= 0)
		goto done;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		goto done;
	event->time_ns = bpf_ktime_get_ns();
	event->pid = id >> 32;
	event->uid = (u32)bpf_get_current_uid_gid();
	event->result = result;
	event->flags = entry->flags;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->path[0] = 0;
	bpf_probe_read_user_str(event->path, sizeof(event->path), entry->path);
	bpf_ringbuf_submit(event, 0);
done:
	bpf_map_delete_elem(&started, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[0], (int)ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return enter((const char *)ctx->args[1], (int)ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int exit_open(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
