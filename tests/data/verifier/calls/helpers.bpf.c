#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
struct val { int a; int b; long c; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key,int); __type(value, struct val);} hm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value, struct val);} am SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);} rb SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,int);} pa SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __type(key,int); __type(value,int);} pe SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 4); __type(key,int); __uint(value_size, 80);} st SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, long);} qu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,long);} pca SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 4); __type(value,long);} bl SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key,int); __type(value,long);} ts SEC(".maps");
struct lv { struct bpf_spin_lock l; long v; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct lv);} lk SEC(".maps");
struct tv { struct bpf_timer t; long v; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key,int); __type(value,struct tv);} tm SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key,int); __type(value,long);} in1 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key,int); __array(values, struct inner);} om SEC(".maps") = {.values={&in1}};

SEC("kprobe/x") int ok_lookup(void*ctx){int k=1; struct val*v=bpf_map_lookup_elem(&hm,&k); if(v) v->a++; return 0;}
SEC("kprobe/x") int nonull(void*ctx){int k=1; struct val*v=bpf_map_lookup_elem(&hm,&k); v->a++; return 0;}
SEC("kprobe/x") int arr_const(void*ctx){int k=1; struct val*v=bpf_map_lookup_elem(&am,&k); v->a++; return 0;}
SEC("kprobe/x") int arr_const_oob(void*ctx){int k=4; struct val*v=bpf_map_lookup_elem(&am,&k); v->a++; return 0;}
SEC("kprobe/x") int arr_pkt(struct pt_regs*ctx){int k=ctx->di&3; struct val*v=bpf_map_lookup_elem(&am,&k); v->a++; return 0;}
SEC("kprobe/x") int upd_ctx(void*ctx){int k=1; return bpf_map_update_elem(&hm,&k,ctx,0);}
SEC("kprobe/x") int upd_ok(void*ctx){int k=1; struct val v={}; return bpf_map_update_elem(&hm,&k,&v,0);}
SEC("kprobe/x") int upd_short(void*ctx){int k=1; asm volatile("r1=%[m] ll; r2=r10; r2+=-4; *(u32*)(r10-4)=0; r3=r10; r3+=-8; r4=0; call 2"::[m]"i"(&hm):"r0","r1","r2","r3","r4","r5","memory"); return 0;}
SEC("kprobe/x") int rb_ok(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; *p=1; bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_leak(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; *p=1; return 0;}
SEC("kprobe/x") int rb_nonull(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); *p=1; bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_oob(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; p[1]=1; bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_twice(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; bpf_ringbuf_submit(p,0);bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_off(void*ctx){char*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; bpf_ringbuf_submit(p+1,0); return 0;}
SEC("kprobe/x") int rb_var(struct pt_regs*ctx){char*p=bpf_ringbuf_reserve(&rb,ctx->di,0); if(!p) return 0; bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_wrongmap(void*ctx){long*p=bpf_ringbuf_reserve(&hm,8,0); if(!p) return 0; bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int rb_use_after(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; bpf_ringbuf_submit(p,0); return *p;}
SEC("kprobe/x") int tail_ok(void*ctx){bpf_tail_call(ctx,&pa,1); return 0;}
SEC("kprobe/x") int tail_badmap(void*ctx){bpf_tail_call(ctx,&hm,1); return 0;}
SEC("kprobe/x") int tail_ref(void*ctx){long*p=bpf_ringbuf_reserve(&rb,8,0); if(!p) return 0; bpf_tail_call(ctx,&pa,1); bpf_ringbuf_submit(p,0); return 0;}
SEC("kprobe/x") int perf_ok(void*ctx){long x=1; bpf_perf_event_output(ctx,&pe,BPF_F_CURRENT_CPU,&x,8); return 0;}
SEC("kprobe/x") int perf_badctx(void*ctx){long x=1; bpf_perf_event_output(&x,&pe,BPF_F_CURRENT_CPU,&x,8); return 0;}
SEC("kprobe/x") int perf_badsz(void*ctx){long x=1; bpf_perf_event_output(ctx,&pe,BPF_F_CURRENT_CPU,&x,800); return 0;}
SEC("kprobe/x") int stackid(void*ctx){return bpf_get_stackid(ctx,&st,0);}
SEC("kprobe/x") int stackid_bad(void*ctx){return bpf_get_stackid(ctx,&hm,0);}
SEC("kprobe/x") int getstack(void*ctx){char b[100]; long n=bpf_get_stack(ctx,b,sizeof b,0); if(n>0&&n<100) return b[n]; return 0;}
SEC("kprobe/x") int getstack2(void*ctx){char b[100]; long n=bpf_get_stack(ctx,b,sizeof b,0); if(n>0) return b[n]; return 0;}
SEC("kprobe/x") int probe_str(struct pt_regs*ctx){char b[64]; long n=bpf_probe_read_kernel_str(b,sizeof b,(void*)ctx->di); if(n<0) return 0; bpf_perf_event_output(ctx,&pe,0,b,n); return 0;}
SEC("kprobe/x") int probe_str2(struct pt_regs*ctx){char b[64]; long n=bpf_probe_read_kernel_str(b,sizeof b,(void*)ctx->di); bpf_perf_event_output(ctx,&pe,0,b,n); return 0;}
SEC("kprobe/x") int probe_var(struct pt_regs*ctx){char b[64]; unsigned n=ctx->si; if(n>64) return 0; bpf_probe_read_kernel(b,n,(void*)ctx->di); return b[1];}
SEC("kprobe/x") int probe_var_bad(struct pt_regs*ctx){char b[64]; unsigned n=ctx->si; if(n>65) return 0; bpf_probe_read_kernel(b,n,(void*)ctx->di); return b[1];}
SEC("kprobe/x") int probe_neg(struct pt_regs*ctx){char b[64]; long n=ctx->si; if(n>64) return 0; bpf_probe_read_kernel(b,n,(void*)ctx->di); return b[1];}
SEC("kprobe/x") int comm0(struct pt_regs*ctx){char b[16]; bpf_get_current_comm(b,0); return 0;}
SEC("kprobe/x") int comm_var(struct pt_regs*ctx){char b[16]; unsigned n=ctx->di&15; bpf_get_current_comm(b,n); return 0;}
SEC("kprobe/x") int q_ok(void*ctx){long v=1; bpf_map_push_elem(&qu,&v,0); bpf_map_pop_elem(&qu,&v); return bpf_map_peek_elem(&qu,&v);}
SEC("kprobe/x") int q_bad(void*ctx){long v=1; return (long)bpf_map_lookup_elem(&qu,&v);}
SEC("kprobe/x") int bl_ok(void*ctx){long v=1; bpf_map_push_elem(&bl,&v,0); return bpf_map_peek_elem(&bl,&v);}
SEC("kprobe/x") int bl_bad(void*ctx){long v=1; return bpf_map_pop_elem(&bl,&v);}
SEC("kprobe/x") int pcpu(void*ctx){int k=0; long*v=bpf_map_lookup_percpu_elem(&pca,&k,0); if(v) return *v; return 0;}
SEC("kprobe/x") int pcpu_bad(void*ctx){int k=0; long*v=bpf_map_lookup_percpu_elem(&am,&k,0); if(v) return *v; return 0;}
SEC("kprobe/x") int cpuid(void*ctx){static long arr[8]; unsigned c=bpf_get_smp_processor_id(); return arr[c];}
SEC("kprobe/x") int tstor(void*ctx){long*v=bpf_task_storage_get(&ts,bpf_get_current_task_btf(),0,1); if(v) (*v)++; return 0;}
SEC("kprobe/x") int tstor_bad(void*ctx){long*v=bpf_task_storage_get(&ts,(void*)bpf_get_current_task(),0,1); if(v) (*v)++; return 0;}
SEC("kprobe/x") int tstor_del(void*ctx){return bpf_task_storage_delete(&ts,bpf_get_current_task_btf());}
SEC("kprobe/x") int tstor_null(void*ctx){return bpf_task_storage_delete(&ts,0);}
SEC("tc") int lock_ok(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_lock(&v->l); v->v++; bpf_spin_unlock(&v->l); return 0;}
SEC("tc") int lock_leak(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_lock(&v->l); v->v++; return 0;}
SEC("tc") int lock_call(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_lock(&v->l); v->v=bpf_ktime_get_ns(); bpf_spin_unlock(&v->l); return 0;}
SEC("tc") int lock_two(void*ctx){int k=0,k2=1; struct lv*v=bpf_map_lookup_elem(&lk,&k),*w=bpf_map_lookup_elem(&lk,&k2); if(!v||!w) return 0; bpf_spin_lock(&v->l); bpf_spin_lock(&w->l); bpf_spin_unlock(&w->l); bpf_spin_unlock(&v->l); return 0;}
SEC("tc") int lock_diff(void*ctx){int k=0,k2=1; struct lv*v=bpf_map_lookup_elem(&lk,&k),*w=bpf_map_lookup_elem(&lk,&k2); if(!v||!w) return 0; bpf_spin_lock(&v->l); bpf_spin_unlock(&w->l); return 0;}
SEC("tc") int unlock_only(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_unlock(&v->l); return 0;}
SEC("tc") int lock_access(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; return *(int*)&v->l;}
SEC("tc") int lock_badoff(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_lock((void*)&v->v); bpf_spin_unlock((void*)&v->v); return 0;}
SEC("tc") int lock_nolock(void*ctx){int k=0; struct val*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; bpf_spin_lock((void*)v); bpf_spin_unlock((void*)v); return 0;}
SEC("kprobe/x") int lock_tracing(void*ctx){int k=0; struct lv*v=bpf_map_lookup_elem(&lk,&k); if(!v) return 0; bpf_spin_lock(&v->l); bpf_spin_unlock(&v->l); return 0;}
static int tcb(void*map,int*key,struct tv*v){ v->v++; return 0;}
static int tcb1(void*map,int*key,struct tv*v){ return 1;}
SEC("tc") int timer_ok(void*ctx){int k=0; struct tv*v=bpf_map_lookup_elem(&tm,&k); if(!v) return 0; bpf_timer_init(&v->t,&tm,1); bpf_timer_set_callback(&v->t,tcb); bpf_timer_start(&v->t,1000,0); bpf_timer_cancel(&v->t); return 0;}
SEC("tc") int timer_ret1(void*ctx){int k=0; struct tv*v=bpf_map_lookup_elem(&tm,&k); if(!v) return 0; bpf_timer_set_callback(&v->t,tcb1); return 0;}
SEC("tc") int timer_wrongmap(void*ctx){int k=0; struct tv*v=bpf_map_lookup_elem(&tm,&k); if(!v) return 0; bpf_timer_init(&v->t,&am,1); return 0;}
SEC("tc") int timer_off(void*ctx){int k=0; struct tv*v=bpf_map_lookup_elem(&tm,&k); if(!v) return 0; bpf_timer_start((void*)&v->v,1000,0); return 0;}
SEC("tc") int timer_no(void*ctx){int k=0; struct val*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; bpf_timer_start((void*)v,1000,0); return 0;}
SEC("kprobe/x") int timer_tracing(void*ctx){int k=0; struct tv*v=bpf_map_lookup_elem(&tm,&k); if(!v) return 0; bpf_timer_start(&v->t,1000,0); return 0;}
SEC("kprobe/x") int mim(void*ctx){int k=0; void*m=bpf_map_lookup_elem(&om,&k); if(!m) return 0; long*v=bpf_map_lookup_elem(m,&k); if(!v) return 0; return *v;}
SEC("kprobe/x") int mim_nonull(void*ctx){int k=0; void*m=bpf_map_lookup_elem(&om,&k); long*v=bpf_map_lookup_elem(m,&k); if(!v) return 0; return *v;}
SEC("kprobe/x") int mim_upd(void*ctx){int k=0; long v=0; return bpf_map_update_elem(&om,&k,&v,0);}
static int lcb(unsigned i, long*c){ *c+=i; return 0;}
static int lcb2(unsigned i, long*c){ *c+=i; return 2;}
SEC("kprobe/x") int loop_ok(void*ctx){long c=0; bpf_loop(100,lcb,&c,0); return c;}
SEC("kprobe/x") int loop_ret2(void*ctx){long c=0; bpf_loop(100,lcb2,&c,0); return c;}
SEC("kprobe/x") int loop_zero(void*ctx){long c=0; bpf_loop(0,lcb,&c,0); return c;}
SEC("kprobe/x") int loop_var(struct pt_regs*ctx){long c=0; bpf_loop(ctx->di,lcb,&c,0); return c;}
static int lcb3(unsigned i, long*c){ char*p=(char*)c; p[i]=1; return 0;}
SEC("kprobe/x") int loop_oob(void*ctx){long c=0; bpf_loop(100,lcb3,&c,0); return c;}
static long fe(void*map,int*key,struct val*v,long*c){ *c+=v->a+*key; return 0;}
SEC("kprobe/x") int foreach(void*ctx){long c=0; bpf_for_each_map_elem(&hm,fe,&c,0); return c;}
SEC("kprobe/x") int foreach_arr(void*ctx){long c=0; bpf_for_each_map_elem(&am,fe,&c,0); return c;}
SEC("kprobe/x") int foreach_bad(void*ctx){long c=0; bpf_for_each_map_elem(&rb,fe,&c,0); return c;}
static long few(void*map,int*key,struct val*v,long*c){ *key=1; return 0;}
SEC("kprobe/x") int foreach_wkey(void*ctx){long c=0; bpf_for_each_map_elem(&hm,few,&c,0); return c;}
SEC("kprobe/x") int printk(void*ctx){bpf_printk("hello %d %s\n",1,"x"); return 0;}
SEC("kprobe/x") int snpf(void*ctx){char b[16]; BPF_SNPRINTF(b,sizeof b,"%d %s",1,"x"); return b[0];}
SEC("kprobe/x") int snpf_bad(void*ctx){char b[16]; BPF_SNPRINTF(b,sizeof b,"%d %d",1); return b[0];}
SEC("kprobe/x") int snpf_bad2(void*ctx){char b[16]; BPF_SNPRINTF(b,sizeof b,"%q",1); return b[0];}
SEC("kprobe/x") int strn(void*ctx){char b[16]="abc"; return bpf_strncmp(b,16,"abc");}
SEC("kprobe/x") int strn_stack(void*ctx){char b[16]="abc",c[4]="abc"; return bpf_strncmp(b,16,c);}
SEC("kprobe/x") int nohelper(void*ctx){return bpf_xdp_adjust_head(ctx,1);}
char _license[] SEC("license")="GPL";
