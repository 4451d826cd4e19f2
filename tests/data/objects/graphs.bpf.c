// SPDX-License-Identifier: MIT
// Objects that a program allocates, in lists and trees, shared, stashed and left behind; see ObjectGraphTests.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Newer than many a linux/bpf.h. */
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define member_of(pointer, type, member) ((type *)((void *)(pointer) - __builtin_offsetof(type, member)))
#define __kptr __attribute__((btf_type_tag("kptr")))

extern void *bpf_obj_new_impl(__u64 type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       int (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;

struct item {
	__u64 key;
	struct bpf_list_node list;
	struct bpf_rb_node tree;
	struct bpf_refcount refs;
};

struct shelf {
	struct bpf_spin_lock lock;
	struct bpf_list_head items __contains(item, list);
	struct item __kptr *stash;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shelf);
} shelves SEC(".maps");

#define private(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(item, list);
private(B) struct bpf_spin_lock tree_lock;
private(B) struct bpf_rb_root tree __contains(item, tree);

#define new_item() ((struct item *)bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0))
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)

static int less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return member_of(a, struct item, tree)->key < member_of(b, struct item, tree)->key;
}

/* Even keys go to the front, odd ones to the back; taken from both ends in turn, each counts with its place. */
SEC("tc")
int ends(struct __sk_buff *skb)
{
	__u64 sum = 0;

	for (int i = 0; i < 10; i++) {
		struct item *item = new_item();

		if (!item)
			return -1;
		item->key = i;
		bpf_spin_lock(&lock);
		if (i & 1)
			bpf_list_push_back_impl(&queue, &item->list, 0, 0);
		else
			bpf_list_push_front_impl(&queue, &item->list, 0, 0);
		bpf_spin_unlock(&lock);
	}
	for (int i = 0; i < 12; i++) {
		struct bpf_list_node *node;

		bpf_spin_lock(&lock);
		if (i & 1)
			node = bpf_list_pop_back(&queue);
		else
			node = bpf_list_pop_front(&queue);
		bpf_spin_unlock(&lock);
		if (!node)
			return sum * 100 + i;
		sum = sum * 3 + member_of(node, struct item, list)->key;
		bpf_obj_drop_impl(member_of(node, struct item, list), 0);
	}
	return -2;
}

/* 64 keys in no order come out ascending; returns how many. */
SEC("tc")
int sorted(struct __sk_buff *skb)
{
	__u64 last = 0;
	__u32 key = 7;

	for (int i = 0; i < 64; i++) {
		struct item *item = new_item();

		if (!item)
			return -1;
		key = (key * 37 + 11) % 1009;
		item->key = key;
		bpf_spin_lock(&tree_lock);
		bpf_rbtree_add_impl(&tree, &item->tree, less, 0, 0);
		bpf_spin_unlock(&tree_lock);
	}
	for (int i = 0; i < 65; i++) {
		struct bpf_rb_node *node;

		bpf_spin_lock(&tree_lock);
		node = bpf_rbtree_first(&tree);
		if (!node) {
			bpf_spin_unlock(&tree_lock);
			return i;
		}
		node = bpf_rbtree_remove(&tree, node);
		bpf_spin_unlock(&tree_lock);
		if (!node)
			return -2;
		key = member_of(node, struct item, tree)->key;
		bpf_obj_drop_impl(member_of(node, struct item, tree), 0);
		if (key < last)
			return -3;
		last = key;
	}
	return -4;
}

/* One object in the list and in the tree; a second place in the list is refused. */
SEC("tc")
int shared(struct __sk_buff *skb)
{
	struct item *item = new_item(), *second, *third;
	struct bpf_list_node *node;
	struct bpf_rb_node *leaf;
	int refused;

	if (!item)
		return -1;
	item->key = 5;
	second = bpf_refcount_acquire_impl(item, 0);
	third = bpf_refcount_acquire_impl(item, 0);
	if (!second) {
		if (third)
			bpf_obj_drop_impl(third, 0);
		bpf_obj_drop_impl(item, 0);
		return -2;
	}
	bpf_spin_lock(&tree_lock);
	bpf_rbtree_add_impl(&tree, &item->tree, less, 0, 0);
	bpf_spin_unlock(&tree_lock);
	bpf_spin_lock(&lock);
	bpf_list_push_back_impl(&queue, &second->list, 0, 0);
	bpf_spin_unlock(&lock);
	if (!third)
		return -3;
	bpf_spin_lock(&lock);
	refused = bpf_list_push_back_impl(&queue, &third->list, 0, 0);
	node = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!node)
		return -4;
	member_of(node, struct item, list)->key += 8;
	bpf_obj_drop_impl(member_of(node, struct item, list), 0);
	bpf_spin_lock(&tree_lock);
	leaf = bpf_rbtree_first(&tree);
	if (!leaf) {
		bpf_spin_unlock(&tree_lock);
		return -5;
	}
	leaf = bpf_rbtree_remove(&tree, leaf);
	bpf_spin_unlock(&tree_lock);
	if (!leaf)
		return -6;
	refused = member_of(leaf, struct item, tree)->key * 1000 - refused;
	bpf_obj_drop_impl(member_of(leaf, struct item, tree), 0);
	return refused;
}

/* Leaves an object in the map's list and one in its kptr; returns the key that was stashed before, plus one. */
SEC("tc")
int leave(struct __sk_buff *skb)
{
	__u32 slot = 0;
	struct shelf *shelf = bpf_map_lookup_elem(&shelves, &slot);
	struct item *item = new_item(), *old;
	int result = 0;

	if (!item)
		return -1;
	item->key = skb->len;
	if (!shelf) {
		bpf_obj_drop_impl(item, 0);
		return -2;
	}
	bpf_spin_lock(&shelf->lock);
	bpf_list_push_back_impl(&shelf->items, &item->list, 0, 0);
	bpf_spin_unlock(&shelf->lock);
	item = new_item();
	if (!item)
		return -3;
	item->key = skb->len + 1;
	old = bpf_kptr_xchg(&shelf->stash, item);
	if (old) {
		result = old->key + 1;
		bpf_obj_drop_impl(old, 0);
	}
	return result;
}

/* The sum of the keys that leave has left in the list. */
SEC("tc")
int collect(struct __sk_buff *skb)
{
	__u32 slot = 0;
	struct shelf *shelf = bpf_map_lookup_elem(&shelves, &slot);
	int sum = 0;

	if (!shelf)
		return -1;
	for (int i = 0; i < 100; i++) {
		struct bpf_list_node *node;

		bpf_spin_lock(&shelf->lock);
		node = bpf_list_pop_front(&shelf->items);
		bpf_spin_unlock(&shelf->lock);
		if (!node)
			break;
		sum += member_of(node, struct item, list)->key;
		bpf_obj_drop_impl(member_of(node, struct item, list), 0);
	}
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
