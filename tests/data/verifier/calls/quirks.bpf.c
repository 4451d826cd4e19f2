// Corners where Linux judges by what a field happens to hold: each found by comparing with the kernel.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";

typedef int (*bpf_task_work_callback_t)(struct bpf_map *map, void *key, void *value);
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map,
	bpf_task_work_callback_t callback, void *aux__prog) __ksym;
extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym;
extern int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u64 offset, void *buffer__opt, u64 buffer__szk) __ksym;

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, int);
} first SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, int);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &first } };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, long); __type(value, long); } pairs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } records SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); } bytes SEC(".maps");
struct delayed { struct bpf_task_work work; int x; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, struct delayed); } work1 SEC(".maps"), work2 SEC(".maps");
struct queued { struct bpf_wq wq; int x; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, struct queued); } queue1 SEC(".maps"), queue2 SEC(".maps");
struct timed { struct bpf_timer timer; int x; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, struct timed); } timers SEC(".maps");

// Two arguments with a reference.
SEC("tp_btf/sched_switch") int two_references(void *ctx)
{
	long *key = bpf_ringbuf_reserve(&records, 8, 0), *value;
	if (!key) return 0;
	value = bpf_ringbuf_reserve(&records, 8, 0);
	if (value) {
		*key = *value = 1;
		bpf_map_update_elem(&pairs, key, value, 0);
		bpf_ringbuf_submit(value, 0);
	}
	bpf_ringbuf_submit(key, 0);
	return 0;
}

SEC("tp_btf/sched_switch") int one_reference(void *ctx)
{
	long *key = bpf_ringbuf_reserve(&records, 8, 0);
	if (!key) return 0;
	*key = 1;
	bpf_map_lookup_elem(&pairs, key);
	bpf_ringbuf_submit(key, 0);
	return 0;
}

// The address of a function where there is none.
SEC("tp_btf/sched_switch") int ip_tracing(void *ctx) { return bpf_get_func_ip(ctx) == 0; }
SEC("iter/task") int ip_iter(void *ctx) { return bpf_get_func_ip(ctx) == 0; }
SEC("raw_tp/sched_switch") int ip_raw(void *ctx) { return bpf_get_func_ip(ctx) == 0; }
SEC("kprobe/do_nanosleep") int ip_kprobe(void *ctx) { return bpf_get_func_ip(ctx) == 0; }

// "number += pointer" is not the reference.
#define SUM(name, released) \
	SEC("tp_btf/sched_switch") int name(u64 *ctx) \
	{ \
		struct task_struct *task = bpf_task_acquire((void *)ctx[1]), *sum; \
		if (!task) return 0; \
		asm volatile("%0 = 0; %0 += %1" : "=&r"(sum) : "r"(task)); \
		bpf_task_release(released); \
		return sum->pid > 0; \
	}
SUM(sum_released, sum)
SUM(sum_used, task)

// A map that may be NULL is no memory.
__noinline int global_memory(int *p) { return p ? *p : 0; }
SEC("syscall") int map_as_memory(void *ctx) { int key = 0; return global_memory(bpf_map_lookup_elem(&outer, &key)); }
SEC("syscall") int value_as_memory(void *ctx) { int key = 0; return global_memory(bpf_map_lookup_elem(&first, &key)); }
SEC("syscall") int map_as_buffer(void *ctx) { int key = 0; return bpf_copy_from_user_str(bpf_map_lookup_elem(&outer, &key), 4, 0, 0); }

// The map of a field, and another.
static int callback(struct bpf_map *map, void *key, void *value) { return 0; }
SEC("tp_btf/sched_switch") int work_other(void *ctx)
{
	int key = 0;
	struct delayed *v = bpf_map_lookup_elem(&work1, &key);
	if (v) bpf_task_work_schedule_signal_impl(bpf_get_current_task_btf(), &v->work, &work2, callback, 0);
	return 0;
}

SEC("tp_btf/sched_switch") int work_own(void *ctx)
{
	int key = 0;
	struct delayed *v = bpf_map_lookup_elem(&work1, &key);
	if (v) bpf_task_work_schedule_signal_impl(bpf_get_current_task_btf(), &v->work, &work1, callback, 0);
	return 0;
}

#define INIT(name, map) \
	SEC("tc") int name(void *ctx) \
	{ \
		int key = 0; \
		struct queued *v = bpf_map_lookup_elem(&queue1, &key); \
		return v ? bpf_wq_init(&v->wq, &map, 0) : 0; \
	}
INIT(queue_other, queue2)
INIT(queue_timers, timers)

// The context as memory of a kfunc, where programs see it as it is.
#define SLICE(name, section, size) \
	SEC(section) int name(void *ctx) \
	{ \
		int key = 0; \
		struct bpf_dynptr d; \
		void *v = bpf_map_lookup_elem(&bytes, &key); \
		if (!v) return 0; \
		bpf_dynptr_from_mem(v, 8, 0, &d); \
		bpf_dynptr_slice(&d, 0, ctx, size); \
		return 0; \
	}
SLICE(slice_empty, "tp/sched/sched_switch", 0)
SLICE(slice_full, "tp/sched/sched_switch", 8)
SLICE(slice_converted, "xdp", 0)
