#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define noinl __attribute__((noinline))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))
#define __exception_cb(n) __attribute__((btf_decl_tag("exception_callback:" #n)))
extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int (callback_fn)(void *map, int *key, void *value), unsigned int flags, void *aux__ign) __ksym;
extern void bpf_throw(u64) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern void *bpf_percpu_obj_new_impl(u64 id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *kptr, void *meta) __ksym;
extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *c, int l) __ksym;
extern void bpf_cgroup_release(struct cgroup *) __ksym;
extern struct cgroup *bpf_task_get_cgroup1(struct task_struct*, int) __ksym;
extern long bpf_task_under_cgroup(struct task_struct*, struct cgroup*) __ksym;
extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *p, u32 n) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr) __ksym;
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) __ksym;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *t, u32 tl, struct bpf_ct_opts *o, u32 ol) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *t, u32 tl, struct bpf_ct_opts *o, u32 ol) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *n) __ksym;
extern void bpf_ct_release(struct nf_conn *n) __ksym;
extern int bpf_strcmp(const char*,const char*) __ksym;
extern u64 *bpf_session_cookie(void) __ksym;
extern bool bpf_session_is_return(void) __ksym;
extern int bpf_copy_from_user_str(void *dst, u32 sz, const void *u, u64 f) __ksym;
extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern int bpf_sock_destroy(struct sock_common *s) __ksym;
struct wv { struct bpf_wq w; long v; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct wv);} wm SEC(".maps");
struct rv { struct bpf_res_spin_lock l; long v; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct rv);} rm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,long);} am SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key,int); __type(value,long);} hm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,int);} pa SEC(".maps");
struct pco { long a; };
struct kv { struct task_struct __kptr_untrusted *u; struct pco __percpu_kptr *p; struct cgroup __kptr *c; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct kv);} km SEC(".maps");
static int wcb(void*map,int*key,void*v){ char b[8]; bpf_copy_from_user(b,8,0); return 0;}
static int wcb2(void*map,int*key,void*v){ return 7;}
SEC("tc") int wq_ok(void*c){int k=0; struct wv*v=bpf_map_lookup_elem(&wm,&k); if(!v) return 0; bpf_wq_init(&v->w,&wm,0); bpf_wq_set_callback_impl(&v->w,wcb,0,0); bpf_wq_start(&v->w,0); return 0;}
SEC("tc") int wq_ret(void*c){int k=0; struct wv*v=bpf_map_lookup_elem(&wm,&k); if(!v) return 0; bpf_wq_set_callback_impl(&v->w,wcb2,0,0); return 0;}
SEC("tc") int wq_off(void*c){int k=0; struct wv*v=bpf_map_lookup_elem(&wm,&k); if(!v) return 0; bpf_wq_start((void*)&v->v,0); return 0;}
SEC("tc") int res_ok(void*c){int k=0; struct rv*v=bpf_map_lookup_elem(&rm,&k); if(!v) return 0; if(bpf_res_spin_lock(&v->l)) return 0; v->v++; bpf_res_spin_unlock(&v->l); return 0;}
SEC("tc") int res_nocheck(void*c){int k=0; struct rv*v=bpf_map_lookup_elem(&rm,&k); if(!v) return 0; bpf_res_spin_lock(&v->l); bpf_res_spin_unlock(&v->l); return 0;}
SEC("tc") int res_aa(void*c){int k=0; struct rv*v=bpf_map_lookup_elem(&rm,&k); if(!v) return 0; if(bpf_res_spin_lock(&v->l)) return 0; if(bpf_res_spin_lock(&v->l)) {bpf_res_spin_unlock(&v->l); return 0;} bpf_res_spin_unlock(&v->l);bpf_res_spin_unlock(&v->l); return 0;}
SEC("tc") int res_two(void*c){int k=0,k2=1; struct rv*v=bpf_map_lookup_elem(&rm,&k),*w=bpf_map_lookup_elem(&rm,&k2); if(!v||!w) return 0; if(bpf_res_spin_lock(&v->l)) return 0; if(bpf_res_spin_lock(&w->l)) {bpf_res_spin_unlock(&v->l); return 0;} bpf_res_spin_unlock(&w->l);bpf_res_spin_unlock(&v->l); return 0;}
SEC("tc") int res_order(void*c){int k=0,k2=1; struct rv*v=bpf_map_lookup_elem(&rm,&k),*w=bpf_map_lookup_elem(&rm,&k2); if(!v||!w) return 0; if(bpf_res_spin_lock(&v->l)) return 0; if(bpf_res_spin_lock(&w->l)) {bpf_res_spin_unlock(&v->l); return 0;} bpf_res_spin_unlock(&v->l);bpf_res_spin_unlock(&w->l); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(pc_ok, struct task_struct*t, u64 f){struct pco*p=bpf_percpu_obj_new_impl(bpf_core_type_id_local(struct pco),0); if(!p) return 0; bpf_percpu_obj_drop_impl(p,0); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(pc_xchg, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct pco*p=bpf_percpu_obj_new_impl(bpf_core_type_id_local(struct pco),0); if(!p) return 0; p=bpf_kptr_xchg(&v->p,p); if(p) bpf_percpu_obj_drop_impl(p,0); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(pc_use, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct pco*p=v->p; if(!p) return 0; p=bpf_this_cpu_ptr(p); return p->a;}
SEC("tp_btf/task_newtask") int BPF_PROG(pc_direct, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct pco*p=v->p; if(!p) return 0; return p->a;}
SEC("tp_btf/task_newtask") int BPF_PROG(ku_store, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; v->u=t; return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(ku_load, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*p=v->u; if(!p) return 0; return p->pid;}
SEC("tp_btf/task_newtask") int BPF_PROG(ku_load_acq, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct task_struct*p=v->u; if(!p) return 0; p=bpf_task_acquire(p); if(p) bpf_task_release(p); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(kc_rcu, struct task_struct*t, u64 f){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct cgroup*p=v->c; if(!p) return 0; return bpf_task_under_cgroup(t,p);}
SEC("syscall") int kc_rcu_s(void*x){int k=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; struct cgroup*p=v->c; if(!p) return 0; return bpf_task_under_cgroup(bpf_get_current_task_btf(),p);}
SEC("syscall") int kc_rcu_s2(void*x){int k=0,r=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; bpf_rcu_read_lock(); struct cgroup*p=v->c; if(p) r=bpf_task_under_cgroup(bpf_get_current_task_btf(),p); bpf_rcu_read_unlock(); return r;}
SEC("syscall") int kc_rcu_s3(void*x){int k=0,r=0; struct kv*v=bpf_map_lookup_elem(&km,&k); if(!v) return 0; bpf_rcu_read_lock(); struct cgroup*p=v->c; bpf_rcu_read_unlock(); if(p) r=bpf_task_under_cgroup(bpf_get_current_task_btf(),p);  return r;}
SEC("syscall") int sleep_rcu(void*x){char b[8]; bpf_rcu_read_lock(); bpf_copy_from_user(b,8,0); bpf_rcu_read_unlock(); return 0;}
SEC("syscall") int sleep_kf(void*x){char b[8]; return bpf_copy_from_user_str(b,8,0,0);}
SEC("raw_tp/x") int sleep_kf2(void*x){char b[8]; return bpf_copy_from_user_str(b,8,0,0);}
SEC("syscall") int sleep_kf3(void*x){char b[8]; return bpf_copy_from_user_str(b,16,0,0);}
noinl int exc(u64 c){return c;}
noinl int exc2(u64 c,int d){return c;}
SEC("tc") __exception_cb(exc) int thr_cb(struct __sk_buff*s){bpf_throw(3); return 0;}
SEC("tc") __exception_cb(exc2) int thr_cb2(struct __sk_buff*s){bpf_throw(3); return 0;}
static noinl int sub_thr(struct __sk_buff*s){ if(s->len) bpf_throw(1); return 1;}
SEC("tc") int thr_sub(struct __sk_buff*s){return sub_thr(s);}
SEC("tc") int thr_sub_ref(struct __sk_buff*s){struct task_struct*t=bpf_task_from_pid(1); int r=sub_thr(s); if(t) bpf_task_release(t); return r;}
SEC("tp_btf/task_newtask") int BPF_PROG(thr_tp, struct task_struct*t, u64 f){bpf_throw(f); return 0;}
SEC("iter/task") int thr_it(struct bpf_iter__task*c){bpf_throw(5); return 0;}
SEC("tp_btf/task_newtask") int BPF_PROG(vma_ok, struct task_struct*t, u64 f){struct bpf_iter_task_vma it; struct vm_area_struct*v; long s=0; bpf_iter_task_vma_new(&it,t,0); while((v=bpf_iter_task_vma_next(&it))) s+=v->vm_start; bpf_iter_task_vma_destroy(&it); return s;}
SEC("raw_tp/x") int bits_ok(void*c){struct bpf_iter_bits it; u64 m=5; int*v; int s=0; bpf_iter_bits_new(&it,&m,1); while((v=bpf_iter_bits_next(&it))) s+=*v; bpf_iter_bits_destroy(&it); return s;}
SEC("raw_tp/x") int nest(void*c){struct bpf_iter_num a,b; int*v,*w; long s=0; bpf_iter_num_new(&a,0,10); while((v=bpf_iter_num_next(&a))){ bpf_iter_num_new(&b,0,5); while((w=bpf_iter_num_next(&b))) s+=*w; bpf_iter_num_destroy(&b);} bpf_iter_num_destroy(&a); return s;}
SEC("raw_tp/x") int nest_leak(void*c){struct bpf_iter_num a,b; int*v,*w; long s=0; bpf_iter_num_new(&a,0,10); while((v=bpf_iter_num_next(&a))){ bpf_iter_num_new(&b,0,5); while((w=bpf_iter_num_next(&b))) s+=*w; } bpf_iter_num_destroy(&a); return s;}
SEC("raw_tp/x") int it_prec(void*c){struct bpf_iter_num a; int*v; int arr[8]={}; unsigned i=0; bpf_iter_num_new(&a,0,10); while((v=bpf_iter_num_next(&a))){ if(i>=8) break; arr[i&7]=1; i++;} bpf_iter_num_destroy(&a); return arr[3];}
static noinl int st_sub(struct bpf_iter_num*it){int*v=bpf_iter_num_next(it); return v?*v:0;}
SEC("raw_tp/x") int it_sub(void*c){struct bpf_iter_num a; bpf_iter_num_new(&a,0,10); int r=st_sub(&a); bpf_iter_num_destroy(&a); return r;}
SEC("tc") int ct(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_ct_opts o={}; struct nf_conn*n=bpf_skb_ct_lookup(s,&t,sizeof t.ipv4,&o,sizeof o); if(!n) return 0; int r=n->mark; bpf_ct_release(n); return r;}
SEC("tc") int ct_mark(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_ct_opts o={}; struct nf_conn*n=bpf_skb_ct_lookup(s,&t,sizeof t.ipv4,&o,sizeof o); if(!n) return 0; n->mark=3; bpf_ct_release(n); return 0;}
SEC("tc") int ct_status(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_ct_opts o={}; struct nf_conn*n=bpf_skb_ct_lookup(s,&t,sizeof t.ipv4,&o,sizeof o); if(!n) return 0; n->status=3; bpf_ct_release(n); return 0;}
SEC("tc") int ct_alloc(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_ct_opts o={}; struct nf_conn___init*n=bpf_skb_ct_alloc(s,&t,sizeof t.ipv4,&o,sizeof o); if(!n) return 0; struct nf_conn*m=bpf_ct_insert_entry(n); if(m) bpf_ct_release(m); return 0;}
SEC("tc") int ct_alloc_rel(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_ct_opts o={}; struct nf_conn___init*n=bpf_skb_ct_alloc(s,&t,sizeof t.ipv4,&o,sizeof o); if(!n) return 0; bpf_ct_release((void*)n); return 0;}
SEC("kprobe/x") int ses3(void*c){return bpf_session_is_return();}
SEC("tc") int dadj(struct __sk_buff*s){struct bpf_dynptr d; bpf_dynptr_from_skb(s,0,&d); bpf_dynptr_adjust(&d,1,2); return bpf_dynptr_is_null(&d);}
SEC("tc") int mapsum(struct __sk_buff*s){return bpf_map_sum_elem_count((struct bpf_map*)&hm);}
SEC("iter/bpf_map") int mapsum_it(struct bpf_iter__bpf_map*c){struct bpf_map*m=c->map; if(!m) return 0; return bpf_map_sum_elem_count(m)&1;}
SEC("iter/tcp") int sockd(struct bpf_iter__tcp*c){struct sock_common*s=c->sk_common; if(!s) return 0; bpf_sock_destroy(s); return 0;}
SEC("iter/tcp") int setso(struct bpf_iter__tcp*c){struct sock_common*s=c->sk_common; int x=1; if(!s) return 0; bpf_setsockopt(s,1,1,&x,4); return 0;}
SEC("iter/udp") int setso_udp(struct bpf_iter__udp*c){struct udp_sock*s=c->udp_sk; int x=1; if(!s) return 0; bpf_setsockopt(s,1,1,&x,4); return 0;}
SEC("iter/tcp") int skc(struct bpf_iter__tcp*c){struct sock_common*s=c->sk_common; if(!s) return 0; struct tcp_sock*t=bpf_skc_to_tcp_sock(s); if(!t) return 0; return t->snd_cwnd&1;}
SEC("iter/task_file") int tf(struct bpf_iter__task_file*c){struct file*f=c->file; if(!f) return 0; struct socket*s=bpf_sock_from_file(f); if(!s) return 0; return s->sk->__sk_common.skc_family&1;}
static noinl int tsub(struct __sk_buff*s){char b[200]; b[0]=s->len; asm volatile(""::"r"(b):"memory"); bpf_tail_call(s,&pa,0); return b[0];}
SEC("tc") int tail_sub(struct __sk_buff*s){char b[100]; b[1]=s->len; asm volatile(""::"r"(b):"memory"); return tsub(s)+b[1];}
SEC("tc") int tail_sub2(struct __sk_buff*s){char b[300]; b[1]=s->len; asm volatile(""::"r"(b):"memory"); return tsub(s)+b[1];}
static noinl int deep(struct __sk_buff*s){char b[400]; b[0]=s->len; asm volatile(""::"r"(b):"memory"); return b[0];}
SEC("tc") int deep1(struct __sk_buff*s){char b[400]; b[0]=s->len; asm volatile(""::"r"(b):"memory"); return b[0]+deep(s);}
SEC("kprobe/x") int deep2(void*s){char b[400]; b[0]=1; asm volatile(""::"r"(b):"memory"); return b[0]+deep(s);}
noinl int arg_unt(struct task_struct*t __arg_untrusted){return t->pid;}
noinl int arg_untm(int*t __arg_untrusted){return t[100];}
SEC("tc") int gu(struct __sk_buff*s){return arg_unt((void*)12345L)+arg_untm((void*)s);}
noinl long rec_a(long x);
noinl long rec_b(long x){return rec_a(x+1);}
noinl long rec_a(long x){if(x>5) return 0; return rec_b(x);}
SEC("tc") int recg(struct __sk_buff*s){return rec_a(s->len);}
static long rcbk(unsigned i, void*c){bpf_throw(1); return 0;}
SEC("tc") int thr_loop(struct __sk_buff*s){bpf_loop(5,rcbk,0,0); return 0;}
static long nest2(unsigned i, long*c){*c+=i; return 0;}
static long nest1(unsigned i, long*c){bpf_loop(3,nest2,c,0); return 0;}
SEC("tc") int loopnest(struct __sk_buff*s){long c=0; bpf_loop(5,nest1,&c,0); return c;}
char _license[] SEC("license")="GPL";
