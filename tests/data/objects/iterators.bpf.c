// Iterators over tasks, maps and the elements of a map, and two programs to hang on hooks.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct task_struct { int pid; char comm[16]; };
struct bpf_map { unsigned int key_size, value_size, max_entries, id; char name[16]; };
struct bpf_iter_meta { struct seq_file *seq; __u64 session_id; __u64 seq_num; };
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; };
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; };
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; void *key; void *value; };
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

#define PRINT(seq, format, ...) ({ static const char text[] = format; unsigned long long args[] = { __VA_ARGS__ }; bpf_seq_printf(seq, text, sizeof(text), args, sizeof(args)); })

SEC("iter/task")
int dump_tasks(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (!task) {
		static const char end[] = "end\n";
		bpf_seq_write(seq, end, sizeof(end) - 1);
		return 0;
	}
	PRINT(seq, "%d %s\n", task->pid, (unsigned long)task->comm);
	return 0;
}

SEC("iter/bpf_map")
int dump_maps(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;

	if (map)
		PRINT(ctx->meta->seq, "%u %s %u %u %u\n", map->id, (unsigned long)map->name, map->key_size, map->value_size, map->max_entries);
	return 0;
}

SEC("iter/bpf_map_elem")
int dump_numbers(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (!key || !value)
		return 0;
	PRINT(ctx->meta->seq, "%u=%llu\n", *key, *value);
	*value += 1;
	return 0;
}

SEC("kprobe")
int probe(void *ctx)
{
	return 0;
}

SEC("raw_tp")
int raw(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
