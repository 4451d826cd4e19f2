// Leaving a function in the middle (tail calls, packet loads), stack over chains of calls, too many open paths.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define N __attribute__((naked))
#define NI static __attribute__((noinline, used))
#define A(x) asm volatile(x ::: "memory")
char _license[] SEC("license") = "GPL";
struct val { long a,b,c; int arr[8]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, struct val);} ma SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, int);} pa SEC(".maps");
#define P(sec,name,body) SEC(sec) N int name(void) { asm volatile(body :: __imm_addr(ma), __imm_addr(pa):"memory"); }
#define __imm_addr(n) [n]"i"(&n)
/* sub functions */
NI N void s256(void) { A("*(u64*)(r10 -256) = 0; r0 = 0; exit;"); }
NI N void s200(void) { A("*(u64*)(r10 -200) = 0; r0 = 0; exit;"); }
NI N void s512(void) { A("*(u64*)(r10 -512) = 0; r0 = 0; exit;"); }
NI N void s504(void) { A("*(u64*)(r10 -504) = 0; r0 = 0; exit;"); }
NI N void s520(void) { A("*(u64*)(r10 -520) = 0; r0 = 0; exit;"); }
NI N void s0(void) { A("r0 = 0; exit;"); }
NI N void c256(void) { A("*(u64*)(r10 -256) = 0; call s256; r0 = 0; exit;"); }
NI N void c512(void) { A("*(u64*)(r10 -512) = 0; call s512; r0 = 0; exit;"); }
NI N void tail(void) { asm volatile("r2 = %[pa] ll; r3 = 0; call 12; r0 = 0; exit;"::__imm_addr(pa)); }
NI N void tail256(void) { asm volatile("*(u64*)(r10 -256) = 0; r2 = %[pa] ll; r3 = 0; call 12; r0 = 0; exit;"::__imm_addr(pa)); }
#define STK(sec,p) \
P(sec,p##_a,"*(u64*)(r10 -256)=0; call s256; r0=0; exit;") \
P(sec,p##_b,"*(u64*)(r10 -264)=0; call s256; r0=0; exit;") \
P(sec,p##_c,"*(u64*)(r10 -512)=0; call s512; r0=0; exit;") \
P(sec,p##_d,"*(u64*)(r10 -8)=0; call c512; r0=0; exit;") \
P(sec,p##_e,"*(u64*)(r10 -256)=0; call tail; r0=0; exit;") \
P(sec,p##_f,"*(u64*)(r10 -248)=0; call tail; r0=0; exit;") \
P(sec,p##_g,"*(u64*)(r10 -257+1)=0; call tail256; r0=0; exit;") \
P(sec,p##_h,"*(u64*)(r10 -8)=0; call tail256; r0=0; exit;") \
P(sec,p##_i,"call s504; r0=0; exit;") \
P(sec,p##_j,"*(u64*)(r10 -8)=0; call s504; r0=0; exit;") \
P(sec,p##_k,"*(u8*)(r10 -1)=0; call s504; r0=0; exit;") \
P(sec,p##_l,"call s520; r0=0; exit;") \
P(sec,p##_m,"*(u64*)(r10 -480)=0; call s0; r0=0; exit;") \
P(sec,p##_n,"*(u64*)(r10 -488)=0; call s0; r0=0; exit;") \
P(sec,p##_o,"*(u8*)(r10 -33)=0; call c256; r0=0; exit;") \
P(sec,p##_p,"*(u64*)(r10 -512)=0; r2 = %[pa] ll; r3=0; call 12; call c512; r0=0; exit;") \
P(sec,p##_q,"*(u64*)(r10 -64)=0; r1=1; r2=cb256 ll; r3=0;r4=0; call 181; r0=0; exit;") \
P(sec,p##_r,"*(u64*)(r10 -512)=0; r1=1; r2=cb256 ll; r3=0;r4=0; call 181; r0=0; exit;") 
NI N int cb256(void) { A("*(u64*)(r10 -256) = 0; r0 = 0; exit;"); }
STK("kprobe",kp)
STK("tc",tc)
NI N int tl(void) { asm volatile("r2 = %[pa] ll; r3 = 0; call 12; r0 = 0; exit;"::__imm_addr(pa)); }
NI N int tl2(void) { asm volatile("r6=r2; r2 = %[pa] ll; r3 = 0; call 12; r0 = *(u8*)(r6+0); exit;"::__imm_addr(pa)); }
NI N int tlcb(void) { asm volatile("r1=r2; r2 = %[pa] ll; r3 = 0; call 12; r0 = 0; exit;"::__imm_addr(pa)); }
NI N int tlw(void) { asm volatile("r6=r2; r2 = %[pa] ll; r3 = 0; call 12; r1=7; *(u64*)(r6+0)=r1; r0 = 0; exit;"::__imm_addr(pa)); }
NI N int ldab(void) { A("r6=r1; r0=*(u8*)skb[0]; r0=0; exit;"); }
NI N void ldabv(void) { A("r6=r1; r0=*(u8*)skb[0]; r0=0; exit;"); }
#define PKT "r6=r1; r7=*(u32*)(r1+76); r8=*(u32*)(r1+80); r0=r7; r0+=8; if r0>r8 goto 9f; "
#define END "r0=0; exit; 9: r0=0; exit;"
P("tc",t1,PKT "r1=r6; call tl; r0=*(u8*)(r7+0);" END)
P("tc",t2,"r7=r1;call tl; if r0!=0 goto +1; r0=0; r1=%[ma] ll; r1=r0; r0=*(u64*)(r1+0); exit;")
P("tc",t3,"call tl; exit;")
P("tc",t4,"call tl; r0 <<= 3; r1=r10; r1+=r0; r0=*(u64*)(r1-8); exit;")
P("tc",t5,PKT "r1=r6; r2=r7; call tl2; " END)
P("tc",t7,PKT "r1=r6; r2=%[pa] ll; r3=0; call 12; r0=*(u8*)(r7+0);" END)
P("tc",t8,"r3=r1; r1=4; r2=tlcb ll; r4=0; call 181; r0=0; exit;")
P("tc",t9,"r2=r10; r2+=-8; r6=0; *(u64*)(r10 -8)=r6; call tlw; r0=*(u64*)(r10 -8); if r0==0 goto 1f; if r0==7 goto 1f; r1=*(u64*)(r10-600); 1: r0=0; exit;")
P("tc",t10,"call ldab; exit;")
P("tc",t11,"call ldabv; r0=0; exit;")
P("xdp",t12,"r6=0; call tl; r0&=1; exit;")
P("xdp",t13,"call tl; exit;")
P("cgroup_skb/egress",t14,"call tl; exit;")
P("cgroup_skb/egress",t15,"r2=%[pa] ll;r3=0;call 12; exit;")
P("cgroup_skb/egress",t16,"call ldab; exit;")
P("socket",t17,"call ldab; r0=1; exit;")
P("tc",t18,"r6=r1; r1=1; r2=5; r3=0; call 132;  r0=0; exit;")
P("tc",m1,"r0=0; 1: .byte 0xe5,0,1,0,0,0,0,0; goto 2f; r0+=1; goto 1b; 2: r0=0; exit;")
P("tc",m2,"*(u64*)(r10-8)=r1; r0=0; 1: .byte 0xe5,0,1,0,0,0,0,0; goto +2; r0+=1; goto 1b; r0=0; exit;")
P("tc",m3,"r0=0; .byte 0xe5,0,0,0,0,0,0,0; exit;")
P("tc",m4,"r0=0; .byte 0xe5,0,1,0,1,0,0,0; exit; r0=1; exit;")
P("tc",m5,"r0=0; .byte 0xe5,1,1,0,0,0,0,0; exit; r0=1; exit;")
P("tc",m6,"*(u64*)(r10-512)=r1; r0=0; .byte 0xe5,0,1,0,0,0,0,0; exit; r0=1; exit;")
P("tc",m7,"*(u64*)(r10-496)=r1; r0=0; .byte 0xe5,0,1,0,0,0,0,0; exit; r0=1; exit;")
P("tc",b3,"r6=0; 1: r6+=1; call 7; if r0 & 1 goto 2f; if r6 < 9000 goto 1b; 2: r0=r6; exit;")
