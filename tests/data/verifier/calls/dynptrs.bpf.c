#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define noinl __attribute__((noinline))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute((btf_decl_tag("arg:nonnull")))
#define __arg_trusted __attribute((btf_decl_tag("arg:trusted")))
#define private(n) SEC(".bss." #n) __hidden __attribute__((aligned(8)))
extern void *bpf_obj_new_impl(u64 id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *kptr, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *) __ksym;
extern u32 bpf_cpumask_first(const struct cpumask *) __ksym;
extern bool bpf_cpumask_and(struct bpf_cpumask *d, const struct cpumask *, const struct cpumask *) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long *) __ksym;
extern void bpf_local_irq_restore(unsigned long *) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, u64 off, void *buf, u64 sz) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, u64 off, void *buf, u64 sz) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *c) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *d, u64 o, struct bpf_dynptr *s, u64 so, u64 sz) __ksym;
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern void *bpf_rdonly_cast(const void *obj, u32 id) __ksym;
struct nd { struct bpf_refcount ref; long key; struct bpf_list_node l; struct bpf_rb_node r; };
struct rn { long key; struct bpf_refcount ref; struct bpf_rb_node r; struct bpf_list_node l; };
struct other { long a; struct bpf_list_node l; };
struct plain { long a, b; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);} rb SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,long);} am SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct bpf_dynptr);} dmap SEC(".maps");
struct kv { struct plain __kptr *p; struct rn __kptr *n; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct kv);} km SEC(".maps");
private(A) struct bpf_spin_lock glock;
private(A) struct bpf_list_head ghead __contains(nd, l);
private(A) struct bpf_rb_root groot __contains(nd, r);
private(B) struct bpf_spin_lock glock2;
private(B) struct bpf_rb_root rroot __contains(rn, r);
#define new(t) ((t*)bpf_obj_new_impl(bpf_core_type_id_local(t),0))
#define drop(p) bpf_obj_drop_impl(p,0)
static bool less(struct bpf_rb_node*a,const struct bpf_rb_node*b){return container_of(a,struct nd,r)->key < container_of(b,struct nd,r)->key;}
static bool less_rn(struct bpf_rb_node*a,const struct bpf_rb_node*b){return container_of(a,struct rn,r)->key < container_of(b,struct rn,r)->key;}
static bool less_bad(struct bpf_rb_node*a,const struct bpf_rb_node*b){bpf_rbtree_first(&groot); return 0;}
static bool less_unlock(struct bpf_rb_node*a,const struct bpf_rb_node*b){bpf_spin_unlock(&glock); return 0;}
static bool less_rm(struct bpf_rb_node*a,const struct bpf_rb_node*b){bpf_rbtree_remove(&groot,a); return 0;}
SEC("tc") int rb_wrongnode(void*c){struct other*n=new(struct other); if(!n) return 0; bpf_spin_lock(&glock); bpf_list_push_front_impl(&ghead,&n->l,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_wronglock(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock2); bpf_rbtree_add_impl(&groot,&n->r,less,0,0); bpf_spin_unlock(&glock2); return 0;}
SEC("tc") int rb_badroot(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); bpf_rbtree_add_impl((void*)&ghead,&n->r,less,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_lessbad(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less_bad,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_lessunlock(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less_unlock,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_lessrm(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less_rm,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_addtwice(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less,0,0);bpf_rbtree_add_impl(&groot,&n->r,less,0,0); bpf_spin_unlock(&glock); return 0;}
SEC("tc") int rb_rmunadded(void*c){struct nd*n=new(struct nd); if(!n) return 0; bpf_spin_lock(&glock); struct bpf_rb_node*m=bpf_rbtree_remove(&groot,&n->r); bpf_spin_unlock(&glock); if(m) drop(container_of(m,struct nd,r)); drop(n); return 0;}
SEC("tc") int rb_readafter(void*c){struct nd*n=new(struct nd); if(!n) return 0; n->key=1; bpf_spin_lock(&glock); bpf_rbtree_add_impl(&groot,&n->r,less,0,0); int k=n->key; bpf_spin_unlock(&glock); return k;}
SEC("tc") int rb_walk(void*c){long k=0; bpf_spin_lock(&glock); struct bpf_rb_node*m=bpf_rbtree_root(&groot); if(m){k=container_of(m,struct nd,r)->key; m=bpf_rbtree_left(&groot,m); if(m) k+=container_of(m,struct nd,r)->key;} bpf_spin_unlock(&glock); return k;}
SEC("tc") int rb_front(void*c){long k=0; bpf_spin_lock(&glock); struct bpf_list_node*m=bpf_list_front(&ghead); if(m)k=container_of(m,struct nd,l)->key; bpf_spin_unlock(&glock); return k;}
SEC("tc") int rf_ok(void*c){struct rn*n=new(struct rn),*m; if(!n) return 0; m=bpf_refcount_acquire_impl(n,0); if(!m){drop(n);return 0;} bpf_spin_lock(&glock2); bpf_rbtree_add_impl(&rroot,&n->r,less_rn,0,0); bpf_spin_unlock(&glock2); int k=m->key; drop(m); return k;}
SEC("tc") int rf_nonown(void*c){struct rn*n=new(struct rn),*m; if(!n) return 0; bpf_spin_lock(&glock2); bpf_rbtree_add_impl(&rroot,&n->r,less_rn,0,0); m=bpf_refcount_acquire_impl(n,0); bpf_spin_unlock(&glock2); if(m) drop(m); return 0;}
SEC("tc") int rf_nonown_after(void*c){struct rn*n=new(struct rn),*m; if(!n) return 0; bpf_spin_lock(&glock2); bpf_rbtree_add_impl(&rroot,&n->r,less_rn,0,0); bpf_spin_unlock(&glock2); m=bpf_refcount_acquire_impl(n,0); if(m) drop(m); return 0;}
SEC("tc") int rf_norc(void*c){struct other*n=new(struct other),*m; if(!n) return 0; m=bpf_refcount_acquire_impl(n,0); drop(n); if(m) drop(m); return 0;}
SEC("tc") int stash(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct plain*p=new(struct plain); if(!p) return 0; p=bpf_kptr_xchg(&v->p,p); if(p) drop(p); return 0;}
SEC("tc") int stash_wrong(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct plain*p=new(struct plain); if(!p) return 0; p=(void*)bpf_kptr_xchg(&v->n,(void*)p); if(p) drop(p); return 0;}
SEC("tc") int stash_dropped(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct plain*p=new(struct plain); if(!p) return 0; drop(p); p=bpf_kptr_xchg(&v->p,p); if(p) drop(p); return 0;}
SEC("tc") int stash_load(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct plain*p=v->p; if(!p) return 0; return p->a;}
SEC("tc") int stash_loadw(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct plain*p=v->p; if(!p) return 0; p->a=3; return 0;}
SEC("tc") int stash_rcref(void*c){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct rn*p=v->n,*q; if(!p) return 0; q=bpf_refcount_acquire_impl(p,0); if(q) drop(q); return 0;}
SEC("tc") int drop_off(void*c){struct plain*p=new(struct plain); if(!p) return 0; drop(&p->b); return 0;}
SEC("tc") int obj_oob(void*c){struct plain*p=new(struct plain); if(!p) return 0; long x=(&p->b)[1]; drop(p); return x;}
SEC("tc") int obj_map(void*c){int k=0; struct plain*p=new(struct plain); if(!p) return 0; bpf_map_update_elem(&am,&k,p,0); drop(p); return 0;}
SEC("tc") int obj_bad(void*c){long*p=bpf_obj_new_impl(bpf_core_type_id_local(long),0); if(p) drop(p); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_leak, struct task_struct*t, u64 f){bpf_cpumask_create(); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_dbl, struct task_struct*t, u64 f){struct bpf_cpumask*m=bpf_cpumask_create(); if(!m) return 0; bpf_cpumask_release(m);bpf_cpumask_release(m); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_acq, struct task_struct*t, u64 f){struct bpf_cpumask*m=bpf_cpumask_acquire((void*)t->cpus_ptr); if(m) bpf_cpumask_release(m); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_null, struct task_struct*t, u64 f){return bpf_cpumask_first(0);}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_and, struct task_struct*t, u64 f){struct bpf_cpumask*m=bpf_cpumask_create(); if(!m) return 0; bpf_cpumask_and(m,(void*)m,t->cpus_ptr); bpf_cpumask_release(m); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(cm_wr, struct task_struct*t, u64 f){struct bpf_cpumask*m=bpf_cpumask_create(); if(!m) return 0; *(int*)m=1; bpf_cpumask_release(m); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_fp, struct task_struct*t, u64 f){long x; struct task_struct*a=bpf_task_acquire((void*)&x); if(a) bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_off, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire((void*)t+8); if(a) bpf_task_release(a); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(tk_thr, struct task_struct*t, u64 f){struct task_struct*a=bpf_task_acquire(t); if(!a) return 0; bpf_task_release((void*)&a->thread_info); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(rcu_sleep, struct task_struct*t, u64 f){struct task_struct*g=t->group_leader; bpf_rcu_read_lock(); g=t->real_parent; bpf_rcu_read_unlock(); return g->pid;}
SEC("syscall") int rcu_s(void*c){struct task_struct*t=bpf_get_current_task_btf(),*p; int x=0; bpf_rcu_read_lock(); p=t->real_parent; if(p) x=p->pid; bpf_rcu_read_unlock(); return x;}
SEC("syscall") int rcu_s2(void*c){struct task_struct*t=bpf_get_current_task_btf(),*p; p=bpf_task_acquire(t->real_parent); if(p) bpf_task_release(p); return 0;}
SEC("syscall") int rcu_s3(void*c){struct task_struct*t=bpf_get_current_task_btf(),*p; bpf_rcu_read_lock(); p=bpf_task_acquire(t->real_parent); bpf_rcu_read_unlock(); if(p) bpf_task_release(p); return 0;}
static noinl int presub(int x){bpf_preempt_disable(); return x;}
SEC("tc") int pre_sub(struct __sk_buff*s){int r=presub(s->len); bpf_preempt_enable(); return r;}
SEC("tc") int pre_g(struct __sk_buff*s);
noinl int gsub(int x){return x+1;}
SEC("tc") int pre_g(struct __sk_buff*s){bpf_preempt_disable(); int r=gsub(s->len); bpf_preempt_enable(); return r;}
SEC("tc") int lock_g(struct __sk_buff*s){bpf_spin_lock(&glock); int r=gsub(s->len); bpf_spin_unlock(&glock); return r;}
SEC("raw_tp/x") int d_off(void*c){char b[32]; bpf_ringbuf_reserve_dynptr(&rb,8,0,(void*)(b+4)); return 0;}
SEC("raw_tp/x") int d_map(void*c){int k=0; struct bpf_dynptr*p=bpf_map_lookup_elem(&dmap,&k); if(!p) return 0; bpf_ringbuf_reserve_dynptr(&rb,8,0,p); return 0;}
SEC("raw_tp/x") int d_partread(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); long x=*(volatile long*)&d; bpf_ringbuf_submit_dynptr(&d,0); return x;}
SEC("raw_tp/x") int d_helperow(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); bpf_probe_read_kernel(&d,8,c); bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_dblsub(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); bpf_ringbuf_submit_dynptr(&d,0); bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_sublocal(void*c){int k=0; struct bpf_dynptr d; long*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; bpf_dynptr_from_mem(v,8,0,&d); bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_unksz(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,64,0,&d); char*p=bpf_dynptr_data(&d,0,bpf_get_prandom_u32()); if(p) p[0]=1; bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_oob(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,64,0,&d); char*p=bpf_dynptr_data(&d,0,8); if(p) p[8]=1; bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_slicesub(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,64,0,&d); char*p=bpf_dynptr_data(&d,0,8); if(p) bpf_ringbuf_submit(p,0); else bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_reinit(void*c){int k=0; struct bpf_dynptr d; long*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; bpf_dynptr_from_mem(v,8,0,&d); long*p=bpf_dynptr_data(&d,0,8); if(!p) return 0; bpf_dynptr_from_mem(v,8,0,&d); return *p;}
SEC("raw_tp/x") int d_reinit_ref(void*c){struct bpf_dynptr d; bpf_ringbuf_reserve_dynptr(&rb,8,0,&d);bpf_ringbuf_reserve_dynptr(&rb,8,0,&d); bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("raw_tp/x") int d_ret(void*c){struct bpf_dynptr d; asm volatile(""::"r"(&d):"memory"); return bpf_dynptr_adjust(&d,0,1);}
SEC("tc") int d_skbsub(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb(s,0,&d); bpf_ringbuf_submit_dynptr(&d,0); return 0;}
SEC("tc") int d_skbdata(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_data(&d,0,1); return p?*p:0;}
SEC("tc") int d_varsz(struct __sk_buff*s){struct bpf_dynptr d; char b[64]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,s->len&63); return p?*p:0;}
SEC("tc") int d_smallbuf(struct __sk_buff*s){struct bpf_dynptr d; char b[4]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,64); return p?*p:0;}
SEC("tc") int d_nullbuf(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,0,8); return p?*p:0;}
SEC("tc") int d_writeinval(struct __sk_buff*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_skb(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; bpf_dynptr_write(&d,0,"a",1,0); return *p;}
SEC("tc") int d_rdwrok(struct __sk_buff*s){struct bpf_dynptr d,e; char b[8]; bpf_dynptr_from_skb(s,0,&d); bpf_dynptr_clone(&d,&e); char*p=bpf_dynptr_slice_rdwr(&e,0,b,8); if(!p) return 0; *p=1; return 0;}
SEC("xdp") int d_xdpinval(struct xdp_md*s){struct bpf_dynptr d; char b[8]; bpf_dynptr_from_xdp(s,0,&d); char*p=bpf_dynptr_slice(&d,0,b,8); if(!p) return 0; bpf_xdp_adjust_head(s,1); return *p&1;}
SEC("xdp") int d_xdpskb(struct xdp_md*s){struct bpf_dynptr d; bpf_dynptr_from_skb((void*)s,0,&d); return 0;}
SEC("tc") int d_ctxbad(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb((void*)&d,0,&d); return 0;}
noinl int ga(struct plain*p){return p? p->a:0;}
noinl int gb(struct plain*p __arg_nonnull){return p->a;}
noinl int gc(struct { int a; } *p){return p? p->a:0;}
noinl int gd(void*p){return p!=0;}
noinl int ge(struct __sk_buff*s, int*p){return p? *p+s->len:0;}
noinl long gf6(int a,int b,int c,int d,int e){return a+b+c+d+e;}
noinl struct plain *gr(int a){return 0;}
noinl int gctx_bad(int*p __arg_ctx){return 0;}
noinl int gtr_bad(struct plain*p __arg_trusted){return 0;}
noinl int gtag_int(int a __arg_nonnull){return a;}
SEC("tc") int t1(struct __sk_buff*s){struct plain p={}; return ga(&p)+ga(0);}
SEC("tc") int t2(struct __sk_buff*s){long x=0; return ga((void*)&x);}
SEC("tc") int t3(struct __sk_buff*s){return gb(0);}
SEC("tc") int t4(struct __sk_buff*s){return gd(s);}
SEC("tc") int t5(struct __sk_buff*s){int x=1; return ge(s,&x);}
SEC("tc") int t6(struct __sk_buff*s){return ge((void*)0,0);}
SEC("tc") int t7(struct __sk_buff*s){return gf6(1,2,3,4,5);}
SEC("tc") int t8(struct __sk_buff*s){return gr(1)!=0;}
SEC("tc") int t9(struct __sk_buff*s){return gctx_bad((void*)s);}
SEC("tc") int t10(struct __sk_buff*s){return gtr_bad(0);}
SEC("tc") int t11(struct __sk_buff*s){return gtag_int(1);}
SEC("tc") int t12(struct __sk_buff*s){int k=0; return ga(bpf_map_lookup_elem(&am,&k));}
SEC("tc") int t13(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+16>e) return 0; return ga((void*)d);}
SEC("kprobe/x") int cast1(struct pt_regs*c){struct sk_buff*k=bpf_rdonly_cast(c,bpf_core_type_id_kernel(struct sk_buff)); return k->len+k->dev->mtu;}
SEC("kprobe/x") int cast2(struct pt_regs*c){return *(int*)bpf_rdonly_cast(c,bpf_core_type_id_kernel(int));}
SEC("tc") int cast3(struct __sk_buff*s){struct sk_buff*k=bpf_cast_to_kern_ctx(s); struct skb_shared_info*i=bpf_rdonly_cast(k->head+k->end,bpf_core_type_id_kernel(struct skb_shared_info)); return i->nr_frags;}
SEC("tc") int cast4(struct __sk_buff*s){struct sk_buff*k=bpf_cast_to_kern_ctx(s); k->mark=1; return 0;}
char _license[] SEC("license")="GPL";
