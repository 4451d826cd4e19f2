#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key,long); __type(value, long);} hm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key,int); __type(value, long);} am SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key,int); __type(value, long); __uint(map_flags, BPF_F_RDONLY_PROG);} ro SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __type(key,int); __type(value, long); __uint(map_flags, BPF_F_WRONLY_PROG);} wo SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE); __type(key, struct bpf_cgroup_storage_key); __type(value,long);} cs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGRP_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key,int); __type(value,long);} cg SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 16); __type(key,long); __type(value, long);} lru SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 16); __type(key,long); __type(value, long);} ph SEC(".maps");
SEC("kprobe/x") int ro_w(void*c){int k=0; long*v=bpf_map_lookup_elem(&ro,&k); if(v) *v=1; return 0;}
SEC("kprobe/x") int ro_r(void*c){int k=0; long*v=bpf_map_lookup_elem(&ro,&k); if(v) return *v; return 0;}
SEC("kprobe/x") int ro_upd(void*c){int k=0; long v=0; return bpf_map_update_elem(&ro,&k,&v,0);}
SEC("kprobe/x") int ro_arg(void*c){int k=0; char*v=bpf_map_lookup_elem(&ro,&k); if(v) bpf_get_current_comm(v,8); return 0;}
SEC("kprobe/x") int wo_r(void*c){int k=0; long*v=bpf_map_lookup_elem(&wo,&k); if(v) return *v; return 0;}
SEC("kprobe/x") int wo_w(void*c){int k=0; long*v=bpf_map_lookup_elem(&wo,&k); if(v) *v=1; return 0;}
SEC("kprobe/x") int wo_arg(void*c){int k=0; char*v=bpf_map_lookup_elem(&wo,&k); if(v) return bpf_map_delete_elem(&hm,v); return 0;}
SEC("kprobe/x") int key_val(void*c){int k=0; char*v=bpf_map_lookup_elem(&am,&k); if(v) return bpf_map_delete_elem(&hm,v); return 0;}
SEC("kprobe/x") int key_val_off(void*c){int k=0; char*v=bpf_map_lookup_elem(&am,&k); if(v) return bpf_map_delete_elem(&hm,v+1); return 0;}
SEC("kprobe/x") int key_ctx(void*c){return bpf_map_delete_elem(&hm,c);}
SEC("kprobe/x") int key_map(void*c){return bpf_map_delete_elem(&hm,&am);}
SEC("kprobe/x") int map_stack(void*c){long k=0; return bpf_map_delete_elem(&k,&k);}
SEC("kprobe/x") int map_off(void*c){long k=0; return bpf_map_delete_elem((void*)&hm+8,&k);}
SEC("kprobe/x") int map_field(void*c){return ((struct bpf_map*)&hm)->max_entries;}
SEC("kprobe/x") int map_field2(void*c){return ((struct bpf_htab*)&hm)->n_buckets;}
SEC("kprobe/x") int map_fieldw(void*c){((struct bpf_map*)&hm)->max_entries=1; return 0;}
SEC("kprobe/x") int map_fieldp(void*c){return (long)((struct bpf_map*)&hm)->ops;}
SEC("cgroup_skb/egress") int cstor(void*c){long*v=bpf_get_local_storage(&cs,0); *v=1; return 1;}
SEC("cgroup_skb/egress") int cstor_f(void*c){long*v=bpf_get_local_storage(&cs,1); *v=1; return 1;}
SEC("cgroup_skb/egress") int cstor_o(void*c){long*v=bpf_get_local_storage(&cs,0); v[1]=1; return 1;}
SEC("cgroup_skb/egress") int cret3(void*c){return 3;}
SEC("cgroup_skb/egress") int cret4(void*c){return 4;}
SEC("cgroup_skb/ingress") int cret2(void*c){return 2;}
SEC("cgroup/dev") int cd(struct bpf_cgroup_dev_ctx*c){return c->access_type&1;}
SEC("cgroup/sysctl") int csy(struct bpf_sysctl*c){char b[8]; return bpf_sysctl_get_name(c,b,8,0)>0;}
SEC("cgroup/getsockopt") int cso(struct bpf_sockopt*c){c->retval=0; return 1;}
SEC("cgroup/setsockopt") int css(struct bpf_sockopt*c){c->retval=0; return 1;}
SEC("cgroup/setsockopt") int css2(struct bpf_sockopt*c){char*p=c->optval,*e=c->optval_end; if(p+1>e) return 0; *p=1; c->optlen=1; return 1;}
SEC("cgroup/connect4") int cc4(struct bpf_sock_addr*c){c->user_ip4=1; return 1;}
SEC("cgroup/connect4") int cc6(struct bpf_sock_addr*c){c->user_ip6[0]=1; return 1;}
SEC("cgroup/sock_create") int cskc(struct bpf_sock*c){c->mark=1; return 1;}
SEC("cgroup/post_bind4") int cpb(struct bpf_sock*c){return c->src_port&1;}
SEC("sk_lookup") int skl(struct bpf_sk_lookup*c){bpf_sk_assign(c,0,0); return 1;}
SEC("sk_reuseport") int skr(struct sk_reuseport_md*c){int k=0; return bpf_sk_select_reuseport(c,&am,&k,0);}
SEC("flow_dissector") int fd(struct __sk_buff*c){c->flow_keys->nhoff=1; return 0;}
SEC("flow_dissector") int fdb(struct __sk_buff*c){return ((char*)c->flow_keys)[sizeof(struct bpf_flow_keys)];}
SEC("lwt_xmit") int lw(struct __sk_buff*c){return bpf_skb_change_head(c,14,0);}
SEC("perf_event") int pev(struct bpf_perf_event_data*c){return c->sample_period + c->regs.ip;}
SEC("perf_event") int pev2(struct bpf_perf_event_data*c){struct bpf_perf_event_value v; return bpf_perf_prog_read_value(c,&v,sizeof v);}
SEC("perf_event") int pev3(struct bpf_perf_event_data*c){return *(int*)&c->regs.ip;}
SEC("tp/x/y") int tp0(long*c){return c[0];}
SEC("tp/x/y") int tp1(long*c){return c[1];}
SEC("tp/x/y") int tp1023(long*c){return c[1023];}
SEC("tp/x/y") int tp1024(long*c){return c[1024];}
SEC("tp/x/y") int tpw(long*c){c[1]=1; return 0;}
SEC("raw_tp/x") int rt11(long*c){return c[11];}
SEC("raw_tp/x") int rt12(long*c){return c[12];}
SEC("kprobe/x") int kpw(struct pt_regs*c){c->di=1; return 0;}
SEC("kprobe/x") int kpo(long*c){return c[21];}
SEC("kprobe/x") int kpvar(long*c){int i=bpf_get_prandom_u32()&3; return c[i];}
SEC("tc") int tcw(struct __sk_buff*s){s->mark=1; s->priority=2; s->tc_classid=3; s->queue_mapping=1; s->cb[0]=1; s->tstamp=5; return 0;}
SEC("tc") int tcw2(struct __sk_buff*s){s->len=1; return 0;}
SEC("tc") int tcr(struct __sk_buff*s){return s->family;}
SEC("socket") int sfr(struct __sk_buff*s){return s->data;}
SEC("socket") int sfcb(struct __sk_buff*s){s->cb[1]=1; return s->cb[1]+s->vlan_tci;}
SEC("xdp") int xw(struct xdp_md*c){c->rx_queue_index=1; return 0;}
SEC("xdp") int xr(struct xdp_md*c){return c->egress_ifindex;}
SEC("xdp/devmap") int xrd(struct xdp_md*c){return c->egress_ifindex;}
SEC("syscall") int scx(long*c){c[0]=c[1]; return 0;}
SEC("kprobe/x") int fe_lru(void*c){return bpf_map_delete_elem(&lru,&(long){1});}
SEC("kprobe/x") int at(void*c){int k=0; long*v=bpf_map_lookup_elem(&am,&k); if(!v) return 0; __sync_fetch_and_add(v,1); return __sync_val_compare_and_swap(v,1,2);}
SEC("kprobe/x") int atp(struct pt_regs*c){__sync_fetch_and_add(&c->di,1); return 0;}
SEC("raw_tp/x") int cgs(void*c){struct task_struct*t=bpf_get_current_task_btf(); long*v=bpf_cgrp_storage_get(&cg,t->cgroups->dfl_cgrp,0,1); if(v) (*v)++; return 0;}
SEC("raw_tp/x") int cgs2(void*c){struct task_struct*t=bpf_get_current_task_btf(); long*v=bpf_cgrp_storage_get(&cg,(void*)t,0,1); if(v) (*v)++; return 0;}
SEC("raw_tp/x") int gts(void*c){char b[64]; return bpf_get_task_stack(bpf_get_current_task_btf(),b,64,0);}
SEC("raw_tp/x") int tpr(void*c){struct pt_regs*r=(void*)bpf_task_pt_regs(bpf_get_current_task_btf()); return r->ip;}
SEC("kprobe/x") int strt(void*c){char b[8]="12"; long r; return bpf_strtol(b,8,0,&r);}
SEC("kprobe/x") int strt_un(void*c){char b[16]="12"; return bpf_strtol(b,8,0,(void*)(b+3));}
SEC("kprobe/x") int vpr(void*c){static const char f[]="%d %d"; u64 a[2]={1,2}; return bpf_trace_vprintk(f,sizeof f,a,16);}
SEC("kprobe/x") int vpr_bad(void*c){static const char f[]="%d %d"; u64 a[2]={1,2}; return bpf_trace_vprintk(f,sizeof f,a,17);}
SEC("kprobe/x") int pk_nonul(void*c){char f[4]={'a','b','c','d'}; return bpf_trace_printk(f,4);}
SEC("kprobe/x") int ns(void*c){struct bpf_pidns_info i; return bpf_get_ns_current_pid_tgid(1,2,&i,sizeof i);}
SEC("kprobe/x") int brs(void*c){char b[24]; return bpf_get_branch_snapshot(b,24,0);}
SEC("kprobe/x") int sig(void*c){return bpf_send_signal(9);}
SEC("kprobe/x") int snb(void*c){char b[64]; struct btf_ptr p={}; return bpf_snprintf_btf(b,64,&p,sizeof p,0);}
SEC("kprobe/x") int pwu(void*c){int x=1; return bpf_probe_write_user((void*)1,&x,4);}
char _license[] SEC("license")="Proprietary";
