#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define TAG(t) __attribute__((btf_decl_tag("arg:" #t)))
#define GLOBAL(name, type, tags, body) __attribute__((noinline)) int g_##name(type a tags) { asm volatile(""); body; }
#define CALLS(sec, name, arg) SEC(sec) int name(void *ctx) { return 1 & g_##name((void *)(long)(arg)); }
char LICENSE[] SEC("license") = "GPL";

extern struct kmem_cache *bpf_get_kmem_cache(u64 addr) __ksym;

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
