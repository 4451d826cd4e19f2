#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 4); __type(key,int); __type(value,int);} sm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key,int); __type(value,long);} ss SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key,int); __type(value,int);} dm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 4); __type(key,int); __type(value,int);} xm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_USER_RINGBUF); __uint(max_entries, 4096);} ur SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key,int); __type(value, long);} hm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 16); __uint(map_flags,1); __uint(key_size,8); __uint(value_size, 8);} lpm SEC(".maps");
SEC("tc") int sk_ok(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; int x=k->family; bpf_sk_release(k); return x;}
SEC("tc") int sk_leak(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); return 0;}
SEC("tc") int sk_leak2(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(k) return 1; return 0;}
SEC("tc") int sk_nonull(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); bpf_sk_release(k); return 0;}
SEC("tc") int sk_write(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; k->mark=3; bpf_sk_release(k); return 0;}
SEC("tc") int sk_uaf(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; bpf_sk_release(k); return k->family;}
SEC("tc") int sk_rel_skb(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; bpf_sk_release(k); return 0;}
SEC("tc") int sk_full(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; k=bpf_sk_fullsock(k); if(!k) return 0; return k->type;}
SEC("tc") int sk_nofull(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; return k->type;}
SEC("tc") int sk_tcp(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; struct bpf_tcp_sock*t=bpf_tcp_sock(k); if(!t) return 0; return t->snd_cwnd;}
SEC("tc") int sk_tcpnn(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; struct bpf_tcp_sock*t=bpf_tcp_sock(k);  return t->snd_cwnd;}
SEC("tc") int sk_stor(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; k=bpf_sk_fullsock(k); if(!k) return 0; long*v=bpf_sk_storage_get(&ss,k,0,1); if(v) (*v)++; return 0;}
SEC("tc") int sk_stor_common(struct __sk_buff*s){struct bpf_sock*k=s->sk; if(!k) return 0; long*v=bpf_sk_storage_get(&ss,k,0,1); if(v) (*v)++; return 0;}
SEC("tc") int sk_tcp_rel(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; struct bpf_tcp_sock*ts=bpf_tcp_sock(k); bpf_sk_release(k); if(!ts) return 0; return ts->snd_cwnd;}
SEC("tc") int sk_cast_rel(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_skc_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; struct tcp_sock*ts=bpf_skc_to_tcp_sock(k); int r=ts? ts->snd_cwnd:0; bpf_sk_release(k); return r;}
SEC("tc") int sk_assign_ok(struct __sk_buff*s){struct bpf_sock_tuple t={}; struct bpf_sock*k=bpf_sk_lookup_tcp(s,&t,sizeof t.ipv4,-1,0); if(!k) return 0; bpf_sk_assign(s,k,0); bpf_sk_release(k); return 0;}
SEC("tc") int pkt_ok(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+14>e) return 0; return d[13];}
SEC("tc") int pkt_inval(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+14>e) return 0; bpf_skb_pull_data(s,20); return d[13];}
SEC("tc") int pkt_inval2(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+14>e) return 0; bpf_skb_store_bytes(s,0,"ab",2,0); return d[13];}
SEC("tc") int pkt_helper(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+14>e) return 0; return bpf_map_update_elem(&hm,d,d+4,0);}
SEC("tc") int pkt_helper_oob(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+10>e) return 0; return bpf_map_update_elem(&hm,d,d+4,0);}
SEC("tc") int pkt_helper_ro(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+14>e) return 0; return bpf_skb_load_bytes(s,0,d,4);}
SEC("tc") int pkt_csum(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+16>e) return 0; return bpf_csum_diff(0,0,(void*)d,16,0);}
SEC("tc") int pkt_lpm(struct __sk_buff*s){char*d=(void*)(long)s->data,*e=(void*)(long)s->data_end; if(d+16>e) return 0; long*v=bpf_map_lookup_elem(&lpm,d); return v?*v:0;}
SEC("xdp") int x_redir(struct xdp_md*c){return bpf_redirect_map(&dm,0,0);}
SEC("xdp") int x_redir_bad(struct xdp_md*c){return bpf_redirect_map(&hm,0,0);}
SEC("xdp") int x_xsk(struct xdp_md*c){int k=0; struct bpf_xdp_sock*x=bpf_map_lookup_elem(&xm,&k); if(!x) return 0; return x->queue_id&1;}
SEC("xdp") int x_head(struct xdp_md*c){char*d=(void*)(long)c->data,*e=(void*)(long)c->data_end; if(d+14>e) return 0; bpf_xdp_adjust_head(c,2); return d[1];}
SEC("xdp") int x_meta(struct xdp_md*c){char*m=(void*)(long)c->data_meta,*d=(void*)(long)c->data; if(m+4>d) return 0; return m[3];}
SEC("xdp") int x_meta_bad(struct xdp_md*c){char*m=(void*)(long)c->data_meta,*d=(void*)(long)c->data; if(m+4>d) return 0; return m[4];}
SEC("xdp") int x_load(struct xdp_md*c){char b[4]; bpf_xdp_load_bytes(c,0,b,4); return bpf_xdp_store_bytes(c,0,b,4);}
SEC("xdp") int x_fib(struct xdp_md*c){struct bpf_fib_lookup f={}; return bpf_fib_lookup(c,&f,sizeof f,0);}
SEC("xdp") int x_mtu(struct xdp_md*c){u32 m=0; return bpf_check_mtu(c,0,&m,0,0);}
SEC("xdp.frags") int xf_data(struct xdp_md*c){char*d=(void*)(long)c->data,*e=(void*)(long)c->data_end; if(d+14>e) return 0; d[1]=1; return 0;}
SEC("sk_skb/stream_verdict") int skskb(struct __sk_buff*s){return bpf_sk_redirect_map(s,&sm,0,0);}
SEC("sk_msg") int skmsg(struct sk_msg_md*m){return bpf_msg_redirect_map(m,&sm,0,0);}
SEC("sockops") int so(struct bpf_sock_ops*o){int k=0; return bpf_sock_map_update(o,&sm,&k,0);}
SEC("sockops") int so2(struct bpf_sock_ops*o){if(o->op==3) bpf_sock_ops_cb_flags_set(o,1); return 1;}
SEC("tc") int sm_lookup(struct __sk_buff*s){int k=0; struct bpf_sock*x=bpf_map_lookup_elem(&sm,&k); if(!x) return 0; int r=x->type; bpf_sk_release(x); return r;}
SEC("tc") int sm_lookup_leak(struct __sk_buff*s){int k=0; struct bpf_sock*x=bpf_map_lookup_elem(&sm,&k); if(!x) return 0; return x->type;}
SEC("tc") int sm_upd(struct __sk_buff*s){int k=0; struct bpf_sock*x=s->sk; if(!x) return 0; return bpf_map_update_elem(&sm,&k,x,0);}
SEC("tc") int sm_upd_bad(struct __sk_buff*s){int k=0; return bpf_map_update_elem(&sm,&k,&k,0);}
SEC("kprobe/x") int sm_k(void*s){int k=0; return (long)bpf_map_lookup_elem(&sm,&k);}
static long urcb(struct bpf_dynptr*d,void*c){int x; if(bpf_dynptr_read(&x,4,d,0,0)) return 1; return 0;}
static long urcb2(struct bpf_dynptr*d,void*c){return 5;}
static long urcb3(struct bpf_dynptr*d,void*c){int x=1; bpf_dynptr_write(d,0,&x,4,0); return 0;}
static long urcb4(struct bpf_dynptr*d,void*c){bpf_ringbuf_submit_dynptr(d,0); return 0;}
static long urcb5(struct bpf_dynptr*d,void*c){return *(int*)d&1;}
static long urcb6(struct bpf_dynptr*d,void*c){*(int*)d=0; return 0;}
SEC("tp/x/y") int ur1(void*c){return bpf_user_ringbuf_drain(&ur,urcb,0,0);}
SEC("tp/x/y") int ur2(void*c){return bpf_user_ringbuf_drain(&ur,urcb2,0,0);}
SEC("tp/x/y") int ur3(void*c){return bpf_user_ringbuf_drain(&ur,urcb3,0,0);}
SEC("tp/x/y") int ur4(void*c){return bpf_user_ringbuf_drain(&ur,urcb4,0,0);}
SEC("tp/x/y") int ur5(void*c){return bpf_user_ringbuf_drain(&ur,urcb5,0,0);}
SEC("tp/x/y") int ur6(void*c){return bpf_user_ringbuf_drain(&ur,urcb6,0,0);}
SEC("tp/x/y") int ur7(void*c){return bpf_user_ringbuf_drain(&hm,urcb,0,0);}
static long vcb(struct task_struct*t,struct vm_area_struct*v,void*c){return v->vm_start&1;}
static long vcbw(struct task_struct*t,struct vm_area_struct*v,void*c){v->vm_start=1; return 0;}
SEC("raw_tp/x") int fv(void*c){return bpf_find_vma(bpf_get_current_task_btf(),0,vcb,0,0);}
SEC("raw_tp/x") int fvw(void*c){return bpf_find_vma(bpf_get_current_task_btf(),0,vcbw,0,0);}
SEC("socket") int sf_kern(struct __sk_buff*s){int x; return bpf_probe_read_kernel(&x,4,s);}
SEC("socket") int sf_probe(struct __sk_buff*s){int x; return bpf_probe_read(&x,4,s);}
SEC("syscall") int sc_bpf(void*c){union bpf_attr a={}; return bpf_sys_bpf(0,&a,sizeof a);}
SEC("syscall") int sc_copy(void*c){char b[8]; return bpf_copy_from_user(b,8,0);}
SEC("kprobe/x") int kp_copy(void*c){char b[8]; return bpf_copy_from_user(b,8,0);}
SEC("uprobe.s/x") int up_copy(void*c){char b[8]; return bpf_copy_from_user(b,8,0);}
SEC("raw_tp.w/x") int rtw(u64*c){return *(int*)c[0];}
SEC("raw_tp.w/x") int rtww(u64*c){*(int*)c[0]=1; return 0;}
SEC("raw_tp.w/x") int rtwn(u64*c){*(int*)(c[0]-1)=1; return 0;}
extern const int cpu_number __attribute__((section(".ksyms")));
extern const struct rq runqueues __attribute__((section(".ksyms")));
SEC("raw_tp/x") int ksym1(void*c){struct rq*r=bpf_per_cpu_ptr(&runqueues,0); if(!r) return 0; return r->nr_running;}
SEC("raw_tp/x") int ksym2(void*c){struct rq*r=bpf_this_cpu_ptr(&runqueues); return r->nr_running;}
SEC("raw_tp/x") int ksym3(void*c){struct rq*r=bpf_per_cpu_ptr(&runqueues,0);  return r->nr_running;}
SEC("raw_tp/x") int ksym4(void*c){return runqueues.nr_running;}
char _license[] SEC("license")="GPL";
