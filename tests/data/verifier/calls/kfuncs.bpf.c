#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute((btf_decl_tag("arg:nonnull")))
#define __arg_trusted __attribute((btf_decl_tag("arg:trusted")))
#define __arg_nullable __attribute((btf_decl_tag("arg:nullable")))
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define noinl __attribute__((noinline))
#define K extern __ksym
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long *) __ksym;
extern void bpf_local_irq_restore(unsigned long *) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern void *bpf_obj_new_impl(u64 id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *kptr, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *) __ksym;
extern struct cgroup *bpf_cgroup_from_id(u64) __ksym;
extern void bpf_cgroup_release(struct cgroup *) __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, u64 off, void *buf, u64 sz) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, u64 off, void *buf, u64 sz) __ksym;
extern u64 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *c) __ksym;
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern void *bpf_rdonly_cast(const void *obj, u32 id) __ksym;
extern void bpf_throw(u64) __ksym;
extern int bpf_strlen(const char*) __ksym;
struct mynode { long key; struct bpf_list_node l; struct bpf_rb_node r; struct bpf_refcount ref; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);} rb SEC(".maps");
struct kv { struct task_struct __kptr *t; struct bpf_cpumask __kptr *m; struct cgroup __kptr *c; long x;};
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct kv);} km SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,long);} am SEC(".maps");
#define private(n) SEC(".bss." #n) __hidden __attribute__((aligned(8)))
private(A) struct bpf_spin_lock glock;
private(A) struct bpf_list_head ghead __contains(mynode, l);
private(A) struct bpf_rb_root groot __contains(mynode, r);
#define bpf_obj_new(t) ((t*)bpf_obj_new_impl(bpf_core_type_id_local(t),0))
#define bpf_obj_drop(p) bpf_obj_drop_impl(p,0)

SEC("tp_btf/task_newtask") int BPF_PROG(tk_ok, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_leak, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; return a->pid;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_nonull, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t); bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_parent, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t->real_parent); if(!a) return 0; bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_untrusted, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t->last_wakee); if(!a) return 0; bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_rel_unacq, struct task_struct*t, u64 f){bpf_task_release(t); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_frompid, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_from_pid(1); if(!a) return 0; bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_uaf, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_from_pid(1); if(!a) return 0; bpf_task_release(a); return a->pid;}
SEC("kprobe/x") int BPF_KPROBE(tk_kprobe){struct task_struct*a=bpf_task_from_pid(1); if(!a) return 0; bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(walk, struct task_struct*t, u64 f){return t->mm->exe_file->f_inode->i_ino + t->comm[3] + t->cgroups->dfl_cgrp->level;}
SEC("tp_btf/task_newtask") int BPF_PROG(walkw, struct task_struct*t, u64 f){t->pid=1; return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_oob, struct task_struct*t, u64 f){return *(int*)((char*)t+sizeof(*t));}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_ptrpart, struct task_struct*t, u64 f){return *(int*)&t->mm;}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_voidp, struct task_struct*t, u64 f){return *(int*)t->stack;}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_var, struct task_struct*t, u64 f){return t->comm[f&15];}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_bit, struct task_struct*t, u64 f){return t->in_execve;}
SEC("tp_btf/task_newtask") int BPF_PROG(walk_neg, struct task_struct*t, u64 f){return *((char*)t-1);}
SEC("tp_btf/sched_switch") int BPF_PROG(null_tp, bool p, struct task_struct*a, struct task_struct*b){return a->pid+b->tgid;}
SEC("tp_btf/sched_pi_setprio") int BPF_PROG(null_tp2, struct task_struct*a, struct task_struct*b){return b->tgid;}
SEC("tp_btf/task_newtask") int BPF_PROG(rcu_ok, struct task_struct*t, u64 f){bpf_rcu_read_lock(); int x=t->real_parent->pid; bpf_rcu_read_unlock(); return x;}
SEC("tp_btf/task_newtask") int BPF_PROG(rcu_leak, struct task_struct*t, u64 f){bpf_rcu_read_lock(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(rcu_unbal, struct task_struct*t, u64 f){bpf_rcu_read_unlock(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(rcu_nest, struct task_struct*t, u64 f){bpf_rcu_read_lock();bpf_rcu_read_lock();bpf_rcu_read_unlock();bpf_rcu_read_unlock(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(pre_ok, struct task_struct*t, u64 f){bpf_preempt_disable(); bpf_preempt_enable(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(pre_leak, struct task_struct*t, u64 f){bpf_preempt_disable(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(irq_ok, struct task_struct*t, u64 f){unsigned long fl; bpf_local_irq_save(&fl); bpf_local_irq_restore(&fl); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(irq_leak, struct task_struct*t, u64 f){unsigned long fl; bpf_local_irq_save(&fl); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(irq_ooo, struct task_struct*t, u64 f){unsigned long fl,f2; bpf_local_irq_save(&fl);bpf_local_irq_save(&f2); bpf_local_irq_restore(&fl);bpf_local_irq_restore(&f2); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(irq_uninit, struct task_struct*t, u64 f){unsigned long fl=0; bpf_local_irq_restore(&fl); return 0;}
SEC("raw_tp/x") int it_num(void*c){struct bpf_iter_num it; int*v; long s=0; bpf_iter_num_new(&it,0,10); while((v=bpf_iter_num_next(&it))) s+=*v; bpf_iter_num_destroy(&it); return s;}
SEC("raw_tp/x") int it_leak(void*c){struct bpf_iter_num it; int*v; long s=0; bpf_iter_num_new(&it,0,10); while((v=bpf_iter_num_next(&it))) s+=*v; return s;}
SEC("raw_tp/x") int it_uninit(void*c){struct bpf_iter_num it; bpf_iter_num_next(&it); return 0;}
SEC("raw_tp/x") int it_twice(void*c){struct bpf_iter_num it; bpf_iter_num_new(&it,0,10);bpf_iter_num_new(&it,0,10); bpf_iter_num_destroy(&it); return 0;}
SEC("raw_tp/x") int it_nonull(void*c){struct bpf_iter_num it; bpf_iter_num_new(&it,0,10); int v=*bpf_iter_num_next(&it); bpf_iter_num_destroy(&it); return v;}
SEC("raw_tp/x") int it_overwrite(void*c){struct bpf_iter_num it; bpf_iter_num_new(&it,0,10); *(long*)&it=1; bpf_iter_num_destroy(&it); return 0;}
SEC("raw_tp/x") int it_arr(void*c){struct bpf_iter_num it; int*v; static int arr[16]; long s=0; bpf_iter_num_new(&it,0,16); while((v=bpf_iter_num_next(&it))) { unsigned i=*v; if(i>=16) break; s+=arr[i];} bpf_iter_num_destroy(&it); return s;}
SEC("tp_btf/task_newtask") int BPF_PROG(it_task, struct task_struct*t, u64 f){struct bpf_iter_task it; struct task_struct*p; int s=0; bpf_rcu_read_lock(); bpf_iter_task_new(&it,0,0); while((p=bpf_iter_task_next(&it))) s+=p->pid; bpf_iter_task_destroy(&it); bpf_rcu_read_unlock(); return s;}
SEC("syscall") int it_task_norcu(void*c){struct bpf_iter_task it; struct task_struct*p; int s=0; bpf_iter_task_new(&it,0,0); while((p=bpf_iter_task_next(&it))) s+=p->pid; bpf_iter_task_destroy(&it); return s;}
SEC("tc") int obj_ok(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; n->key=3; bpf_obj_drop(n); return 0;}
SEC("tc") int obj_leak(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; n->key=3; return 0;}
SEC("tc") int obj_uaf(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; bpf_obj_drop(n); n->key=1; return 0;}
SEC("tc") int obj_nonull(void*c){struct mynode*n=bpf_obj_new(struct mynode); n->key=1; bpf_obj_drop(n); return 0;}
SEC("tc") int obj_special(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; *(long*)&n->l=1; bpf_obj_drop(n); return 0;}
SEC("tc") int list_ok(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; n->key=3; bpf_spin_lock(&glock); bpf_list_push_front_impl(&ghead,&n->l,0,0); struct bpf_list_node*m=bpf_list_pop_front(&ghead); bpf_spin_unlock(&glock); if(m) bpf_obj_drop(container_of(m,struct mynode,l)); return 0;}
SEC("tc") int list_nolock(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; bpf_list_push_front_impl(&ghead,&n->l,0,0); return 0;}
SEC("tc") int list_uaf(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; bpf_spin_lock(&glock); bpf_list_push_front_impl(&ghead,&n->l,0,0); bpf_spin_unlock(&glock); return n->key;}
static bool less(struct bpf_rb_node*a,const struct bpf_rb_node*b){return container_of(a,struct mynode,r)->key < container_of(b,struct mynode,r)->key;}
SEC("tc") int rb_ok2(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; n->key=3; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less,0,0); struct bpf_rb_node*m=bpf_rbtree_first(&groot); if(m) m=bpf_rbtree_remove(&groot,m); bpf_spin_unlock(&glock); if(m) bpf_obj_drop(container_of(m,struct mynode,r)); return 0;}
SEC("tc") int rb_rmleak(void*c){bpf_spin_lock(&glock); struct bpf_rb_node*m=bpf_rbtree_first(&groot); if(m) m=bpf_rbtree_remove(&groot,m); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int refc(void*c){struct mynode*n=bpf_obj_new(struct mynode); if(!n) return 0; struct mynode*m=bpf_refcount_acquire_impl(n,0); bpf_obj_drop(n); if(m) bpf_obj_drop(m); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_ok, struct task_struct*t, u64 f){struct bpf_cpumask*m=bpf_cpumask_create(); if(!m) return 0; bpf_cpumask_set_cpu(1,m); int r=bpf_cpumask_test_cpu(1,(void*)m)+bpf_cpumask_test_cpu(1,t->cpus_ptr); bpf_cpumask_release(m); return r;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_user, struct task_struct*t, u64 f){return bpf_cpumask_test_cpu(1,(void*)t->user_cpus_ptr);}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_set_kern, struct task_struct*t, u64 f){bpf_cpumask_set_cpu(1,(void*)t->cpus_ptr); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_ok, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; a=bpf_kptr_xchg(&v->t,a); if(a) bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_leak, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; a=bpf_kptr_xchg(&v->t,a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_wrongtype, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; void*o=bpf_kptr_xchg(&v->m,(void*)a); if(o) bpf_cpumask_release(o); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_off, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; void*o=bpf_kptr_xchg(&v->x,0); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_store, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; v->t=t; return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_load, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*p=v->t; if(!p) return 0; return p->pid;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_load_acq, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*p=v->t; if(!p) return 0; p=bpf_task_acquire(p); if(p) bpf_task_release(p); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kp_load_null, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; return v->t->pid;}
SEC("tc") int dp_skb(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; return p[1];}
SEC("tc") int dp_skb_w(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; p[1]=2; return 0;}
SEC("tc") int dp_skb_rw(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice_rdwr(&d,0,b,8); if(!p) return 0; p[1]=2; return 0;}
SEC("tc") int dp_skb_oob(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; return p[8];}
SEC("tc") int dp_skb_inval(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; bpf_skb_pull_data(s,0); return p[1];}
SEC("socket") int dp_sock_rw(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice_rdwr(&d,0,b,8); if(!p) return 0; p[1]=2; return 0;}
SEC("xdp") int dp_xdp(struct xdp_md*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_xdp(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; return p[1]&1;}
SEC("raw_tp/x") int dp_rb(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); long*p=bpf_dynptr_data(&d,0,8); if(p) *p=1; bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int dp_rb_leak(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); return 0;}
SEC("raw_tp/x") int dp_rb_uaf(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); long*p=bpf_dynptr_data(&d,0,8); bpf_ringbuf_submit_dynptr(&d,0); if(p) *p=1; return 0;}
SEC("raw_tp/x") int dp_rb_ow(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); *(volatile long*)&d=1; bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int dp_uninit(void*c){struct bpf_dynptr d; char b[4]; bpf_dynptr_read(b,4,&d,0,0); return 0;}
SEC("raw_tp/x") int dp_local(void*c){struct bpf_dynptr d; int k=0; long*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; bpf_dynptr_from_mem(v,8,0,&d); char b[4]; bpf_dynptr_read(b,4,&d,0,0); bpf_dynptr_write(&d,0,b,4,0); return bpf_dynptr_size(&d);}
SEC("raw_tp/x") int dp_local_stack(void*c){struct bpf_dynptr d; char v[8]; bpf_dynptr_from_mem(v,8,0,&d); return 0;}
SEC("raw_tp/x") int dp_clone(void*c){struct bpf_dynptr d,e; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); bpf_dynptr_clone(&d,&e); bpf_ringbuf_submit_dynptr(&d,0); return bpf_dynptr_size(&e);}
SEC("tc") int kctx(struct __sk_buff*s){struct sk_buff*k=bpf_cast_to_kern_ctx(s); return k->len + k->dev->ifindex;}
SEC("xdp") int kctx_x(struct xdp_md*s){struct xdp_buff*k=bpf_cast_to_kern_ctx(s); return k->rxq->dev->ifindex;}
SEC("kprobe/x") int rocast(struct pt_regs*ctx){struct task_struct*t=bpf_rdonly_cast((void*)bpf_get_current_task(),bpf_core_type_id_kernel(struct task_struct)); return t->pid;}
SEC("kprobe/x") int rocast0(struct pt_regs*ctx){int*t=bpf_rdonly_cast((void*)bpf_get_current_task(),0); return t[100];}
SEC("tc") int thr(struct __sk_buff*s){if(s->len>3) bpf_throw(1); return 0;}
SEC("tc") int thr_ref(struct __sk_buff*s){struct task_struct*t=bpf_task_from_pid(1); if(s->len>3) bpf_throw(1); if(t) bpf_task_release(t); return 0;}
noinl int gf(int a, int*p){return p? a+*p:a;}
noinl int gf_nonull(int a, int*p){return a+*p;}
noinl int gf_tag(int*p __arg_nonnull){return *p;}
noinl int gf_ctx(struct __sk_buff*s){return s->len;}
noinl int gf_ctxtag(void*s __arg_ctx){return ((struct __sk_buff*)s)->len;}
noinl int gf_trusted(struct task_struct*t __arg_trusted){return t->pid;}
noinl int gf_trustednull(struct task_struct*t __arg_trusted __arg_nullable){return t? t->pid:0;}
noinl void gf_void(int a){asm volatile("" :: "r"(a));}
noinl int gf_dyn(struct bpf_dynptr*d){return bpf_dynptr_size(d);}
SEC("tc") int g1(struct __sk_buff*s){int x=3; return gf(1,&x)+gf(1,0);}
SEC("tc") int g2(struct __sk_buff*s){int x=3; return gf_nonull(1,&x);}
SEC("tc") int g3(struct __sk_buff*s){int x=3; return gf_tag(&x);}
SEC("tc") int g3n(struct __sk_buff*s){int k=0; return gf_tag(bpf_map_lookup_elem(&am,&k));}
SEC("tc") int g4(struct __sk_buff*s){return gf_ctx(s)+gf_ctxtag(s);}
SEC("tc") int g4b(struct __sk_buff*s){int x; return gf_ctx((void*)&x);}
SEC("tp_btf/task_newtask") int BPF_PROG(g5, struct task_struct*t, u64 f){return gf_trusted(t);}
SEC("tp_btf/task_newtask") int BPF_PROG(g5u, struct task_struct*t, u64 f){return gf_trusted(t->last_wakee);}
SEC("tp_btf/task_newtask") int BPF_PROG(g5n, struct task_struct*t, u64 f){return gf_trustednull(0);}
SEC("tc") int g6(struct __sk_buff*s){gf_void(1); return 0;}
SEC("tc") int g7(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb(s,0,&d); return gf_dyn(&d);}
SEC("tc") int g8(struct __sk_buff*s){return gf((long)s,0);}
SEC("iter/task") int it_prog(struct bpf_iter__task*c){struct task_struct*t=c->task; if(!t) return 0; char m[]="x%d\n"; u64 a[1]={t->pid}; bpf_seq_printf(c->meta->seq,m,sizeof m,a,8); return 0;}
SEC("iter/task") int it_prog_nn(struct bpf_iter__task*c){struct task_struct*t=c->task; return t->pid;}
SEC("iter/task") int it_ret2(struct bpf_iter__task*c){return 2;}
SEC("iter/bpf_map_elem") int it_me(struct bpf_iter__bpf_map_elem*c){int*k=c->key; long*v=c->value; if(!k||!v) return 0; *v=*k; return 0;}
SEC("iter/bpf_map_elem") int it_mek(struct bpf_iter__bpf_map_elem*c){int*k=c->key; if(!k) return 0; *k=1; return 0;}
char _license[] SEC("license")="GPL";
