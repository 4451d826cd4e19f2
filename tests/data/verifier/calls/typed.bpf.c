#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#undef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define TAG(t) __attribute__((btf_decl_tag("arg:" #t)))
#define GLOBAL(name, type, tags, body) __attribute__((noinline)) int g_##name(type a tags) { asm volatile(""); body; }
#define CALLS(sec, name, arg) SEC(sec) int name(void *ctx) { return 1 & g_##name((void *)(long)(arg)); }
char LICENSE[] SEC("license") = "GPL";

extern struct kmem_cache *bpf_get_kmem_cache(u64 addr) __ksym;
extern void bpf_throw(u64 cookie) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign) __ksym;
extern void bpf_obj_drop_impl(void *p__alloc, void *meta__ign) __ksym;
extern void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign) __ksym;

/* What the tag arg:ctx may stand on, per program type. */
GLOBAL(ctx_void, void *, TAG(ctx), return !a)
CALLS("tc", ctx_void, ctx)
GLOBAL(ctx_skb, struct __sk_buff *, TAG(ctx), return a->len)
CALLS("tc", ctx_skb, ctx)
GLOBAL(ctx_kern, struct xdp_buff *, TAG(ctx), return !a)
CALLS("tc", ctx_kern, ctx)
GLOBAL(ctx_other, struct task_struct *, TAG(ctx), return !a)
CALLS("tc", ctx_other, ctx)
GLOBAL(ctx_word, u64 *, TAG(ctx), return *a != 0)
CALLS("tp_btf/sched_wakeup", ctx_word, ctx)
GLOBAL(ctx_raw, struct bpf_raw_tracepoint_args *, TAG(ctx), return a->args[0] != 0)
CALLS("tp_btf/sched_wakeup", ctx_raw, ctx)
GLOBAL(ctx_half, u32 *, TAG(ctx), return *a)
CALLS("tp_btf/sched_wakeup", ctx_half, ctx)
GLOBAL(ctx_iter, struct bpf_iter__bpf_map *, TAG(ctx), return a == 0)
CALLS("iter/task", ctx_iter, ctx)
GLOBAL(ctx_iterword, u64 *, TAG(ctx), return !a)
CALLS("iter/task", ctx_iterword, ctx)
GLOBAL(ctx_regs, bpf_user_pt_regs_t *, TAG(ctx), return !a)
CALLS("perf_event", ctx_regs, ctx)
GLOBAL(ctx_any, struct task_struct *, TAG(ctx), return !a)
CALLS("tp/sched/sched_switch", ctx_any, ctx)
GLOBAL(ctx_perf, struct bpf_perf_event_data_kern *, , return !a)
CALLS("perf_event", ctx_perf, ctx)
typedef struct { int a; } nameless;
GLOBAL(ctx_nameless, nameless *, TAG(ctx), return !a)
CALLS("raw_tp/sched_switch", ctx_nameless, ctx)

/* Tags that do not go together, and tags that are none. */
GLOBAL(tag_none, void *, TAG(bogus), return !a)
CALLS("tc", tag_none, ctx)
GLOBAL(tag_untrusted, struct task_struct *, TAG(untrusted) TAG(nullable), return !a)
CALLS("tp_btf/sched_wakeup", tag_untrusted, 0)
GLOBAL(tag_arena, int *, TAG(arena) TAG(nonnull), return !a)
CALLS("tc", tag_arena, 0)
GLOBAL(arena_number, int *, TAG(arena), return a ? *a : 0)
CALLS("tc", arena_number, bpf_get_prandom_u32())
GLOBAL(trusted_nameless, nameless *, TAG(trusted), return !a)
CALLS("tp_btf/sched_wakeup", trusted_nameless, bpf_get_current_task_btf())

/* A context that nobody converts is plain memory to functions; its own rules still hold. */
GLOBAL(ctx_memory, int *, , return a ? *a : 0)
CALLS("raw_tp.w/sched_switch", ctx_memory, ctx)

/* Past a union, a number may be read across members; past the arguments, the one after the result is named. */
SEC("tp_btf/task_newtask") int across_union(u64 *ctx) { struct task_struct *t = (void *)ctx[0]; return t->restart_block.nanosleep.expires; }
SEC("tp_btf/task_newtask") int pointer_in_union(u64 *ctx) { struct task_struct *t = (void *)ctx[0]; return *(short *)&t->mm->owner; }
SEC("tp_btf/sched_wakeup") int past_arguments(u64 *ctx) { return ctx[11]; }
SEC("tp_btf/sched_wakeup") int no_result(u64 *ctx) { return ctx[1]; }

/* Never NULL, as the kernel declares it. */
SEC("tp_btf/task_newtask") int cache(u64 *ctx) { return bpf_get_kmem_cache(ctx[1])->size; }

/* What is thrown, and what is returned, counts with all its bits; throwing in a function of main's leaves main. */
SEC("iter/task") int throw_wide(void *ctx) { bpf_throw(0x100000000ull); return 0; }
static __attribute__((noinline)) int throws(long code) { if (code) bpf_throw(code); return 1; }
SEC("iter/task") int throw_below(void *ctx) { return throws(bpf_get_prandom_u32() & 3); }
SEC("iter/task") int throw_one(void *ctx) { return throws(bpf_get_prandom_u32() & 1); }
SEC("iter/task") __attribute__((naked)) int return_wide(void) { asm volatile("r0 = 0x100000000 ll; exit"); }

/* Objects of one's own in a map: borrowed under RCU, only to be read afterwards. */
struct counted { long value; int *number; struct bpf_refcount ref; };
struct plain { long value; };
struct owner { struct counted __kptr *held; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, struct owner); } owners SEC(".maps");
#define HELD struct owner *o; struct counted *c; int key = 0; o = bpf_map_lookup_elem(&owners, &key); if (!o) return 0; \
    bpf_rcu_read_lock(); c = o->held; if (!c) { bpf_rcu_read_unlock(); return 0; }
SEC("tc") int borrowed_write(void *ctx) { HELD c->value = 1; bpf_rcu_read_unlock(); return 0; }
SEC("tc") int late_write(void *ctx) { HELD bpf_rcu_read_unlock(); c->value = 1; return 0; }
SEC("tc") int late_read(void *ctx) { HELD bpf_rcu_read_unlock(); return c->value; }
SEC("tc") int borrowed_acquire(void *ctx) { HELD c = bpf_refcount_acquire_impl(c, 0); bpf_rcu_read_unlock(); bpf_obj_drop_impl(c, 0); return 0; }
SEC("tc") int borrowed_acquire_checked(void *ctx) { HELD c = bpf_refcount_acquire_impl(c, 0); bpf_rcu_read_unlock(); if (c) bpf_obj_drop_impl(c, 0); return 0; }
SEC("tc") int number_in_object(void *ctx)
{
    struct counted *c = bpf_obj_new_impl(bpf_core_type_id_local(struct counted), 0);
    int r;

    if (!c) return 0;
    r = *c->number;
    bpf_obj_drop_impl(c, 0);
    return r;
}
SEC("tc") int acquire_plain(void *ctx)
{
    struct plain *p = bpf_obj_new_impl(bpf_core_type_id_local(struct plain), 0), *q;

    if (!p) return 0;
    q = bpf_refcount_acquire_impl(p, 0);
    bpf_obj_drop_impl(p, 0);
    bpf_obj_drop_impl(q, 0);
    return 0;
}
