#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define private __attribute__((section(".data.tree"), visibility("hidden"), aligned(8)))
#define exception_callback(f) __attribute__((btf_decl_tag("exception_callback:" #f)))
char LICENSE[] SEC("license") = "GPL";

extern void *bpf_obj_new_impl(u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
	bool (*less)(struct bpf_rb_node *, const struct bpf_rb_node *), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp) __ksym;
extern void bpf_throw(u64 cookie) __ksym;

struct item {
	long key;
	struct bpf_rb_node node;
	struct bpf_refcount count;
};

private struct bpf_spin_lock lock;
private struct bpf_rb_root tree __attribute__((btf_decl_tag("contains:item:node")));

struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, int); __type(value, int); } devices SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, int); } programs SEC(".maps");

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return ((struct item *)((void *)a - __builtin_offsetof(struct item, node)))->key < 3;
}

SEC("tc") int own_twice(void *ctx)
{
	struct item *mine = bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0), *other;
	if (!mine) return 0;
	other = bpf_refcount_acquire_impl(mine, 0);
	other->key = 1;
	bpf_obj_drop_impl(mine, 0);
	bpf_obj_drop_impl(other, 0);
	return 0;
}

SEC("tc") int borrowed_may_fail(void *ctx)
{
	struct bpf_rb_node *first;
	struct item *mine = 0;
	bpf_spin_lock(&lock);
	first = bpf_rbtree_first(&tree);
	if (first) mine = bpf_refcount_acquire_impl((void *)first - __builtin_offsetof(struct item, node), 0);
	bpf_spin_unlock(&lock);
	if (!first) return 0;
	bpf_obj_drop_impl(mine, 0);
	return 0;
}

SEC("tc") int added_is_not_owned(void *ctx)
{
	struct item *mine = bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0);
	if (!mine) return 0;
	bpf_spin_lock(&lock);
	bpf_rbtree_add_impl(&tree, &mine->node, less, 0, 0);
	bpf_spin_unlock(&lock);
	bpf_obj_drop_impl(mine, 0);
	return 0;
}

SEC("syscall") int walk_left_section(void *ctx)
{
	struct bpf_iter_task it;
	struct task_struct *task;
	int n = 0;
	bpf_rcu_read_lock();
	bpf_iter_task_new(&it, 0, 0);
	while ((task = bpf_iter_task_next(&it))) {
		n += task->pid;
		bpf_rcu_read_unlock();
		bpf_rcu_read_lock();
	}
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	return n;
}

SEC("xdp") int write_device(struct xdp_md *ctx)
{
	int key = 0, *device = bpf_map_lookup_elem(&devices, &key);
	if (device) *device = 1;
	return 0;
}

SEC("xdp") int unbound_metadata(struct xdp_md *ctx)
{
	u64 at;
	return bpf_xdp_metadata_rx_timestamp(ctx, &at);
}

__attribute__((noinline)) int plain(u64 cookie) { return cookie; }
__attribute__((noinline)) static int jump(void *ctx) { bpf_tail_call(ctx, &programs, 0); return 0; }

exception_callback(plain) SEC("tc") int calls_its_callback(void *ctx) { return plain(1); }
exception_callback(missing) SEC("tc") int names_nobody(void *ctx) { bpf_throw(1); return 0; }
