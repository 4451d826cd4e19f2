// SPDX-License-Identifier: MIT
// A bit of everything that an object file can hold; see ObjectFeatureTests.
#include "vmlinux_mini.h"
#include <bpf/bpf_helpers.h>
#ifndef NO_CORE
#include <bpf/bpf_core_read.h>
#endif

struct entry {
	struct bpf_spin_lock lock;
	__u32 count;
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct entry);
} entries SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &first, [2] = &second },
};

int tail(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&tail },
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} pinned SEC(".maps");

const volatile __u32 limit = 5;
static volatile const char text[] = "constant";
__u64 total = 3;
static __u32 hidden = 4;
__u64 zeroed;
__u32 custom SEC(".data.custom") = 9;

extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_HZ __kconfig __weak;
extern _Bool CONFIG_BPF_JIT __kconfig __weak;
extern int CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern const void schedule __ksym;
extern void bpf_no_such_kfunc(void) __ksym __weak;

static __noinline __u32 add(__u32 a)
{
	return a + hidden;
}

__noinline int twice(int a)
{
	return add(a) * 2;
}

static int step(__u32 index, __u64 *sum)
{
	*sum += index + limit;
	return 0;
}

SEC("socket")
int tail(struct __sk_buff *skb)
{
	return 17;
}

SEC("socket")
int globals(struct __sk_buff *skb)
{
	total += limit;
	zeroed++;
	return total + twice(skb->len) + custom + text[2] + zeroed;
}

SEC("socket")
int callback(struct __sk_buff *skb)
{
	__u64 sum = 0;

	bpf_loop(4, step, &sum, 0);
	return sum;
}

SEC("socket")
int jump(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 1);
	return 3;
}

SEC("socket")
int nested(struct __sk_buff *skb)
{
	__u32 key = 2, zero = 0;
	void *inner = bpf_map_lookup_elem(&outer, &key);
	__u64 *value = inner ? bpf_map_lookup_elem(inner, &zero) : 0;

	return value ? *value + 8 : 1;
}

SEC("socket")
int config(struct __sk_buff *skb)
{
	return (LINUX_KERNEL_VERSION >> 16) + (CONFIG_HZ > 0) + CONFIG_NO_SUCH_OPTION;
}

SEC("tc")
int locked(struct __sk_buff *ctx)
{
	__u32 key = 1;
	struct entry *entry = bpf_map_lookup_elem(&entries, &key);

	if (!entry)
		return 0;
	bpf_spin_lock(&entry->lock);
	entry->count++;
	bpf_spin_unlock(&entry->lock);
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &key, sizeof(key));
	return 0;
}

SEC("kprobe/do_sys_openat2")
int symbols(struct pt_regs *ctx)
{
	if (bpf_no_such_kfunc)
		bpf_no_such_kfunc();
	return &schedule != 0;
}

#ifndef NO_CORE
struct task_struct___gone {
	int no_such_field;
} __attribute__((preserve_access_index));

SEC("?raw_tp/sched_switch")
int guarded(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[1];
	struct task_struct___gone *gone = (void *)task;

	if (bpf_core_field_exists(gone->no_such_field))
		return BPF_CORE_READ(gone, no_such_field);
	return BPF_CORE_READ(task, tgid) + bpf_core_type_size(struct task_struct);
}

SEC("?raw_tp/sched_switch")
int unguarded(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___gone *gone = (void *)ctx->args[1];

	return BPF_CORE_READ(gone, no_such_field);
}
#endif

char LICENSE[] SEC("license") = "Dual MIT/GPL";
