// Callbacks run an unknown number of times: what one round leaves behind, the next one and the caller see.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#define N __attribute__((naked))
#define NI static __attribute__((noinline, used))
char _license[] SEC("license") = "GPL";
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, char[16]); } a SEC(".maps");
#define __imm_addr(n) [n]"i"(&n)
#define LOOP(cb, rounds) "r1 = " rounds "; r2 = " cb " ll; r3 = r10; r3 += -16; r4 = 0; call 181; "
#define VALUE "r1 = 0; *(u32 *)(r10 -20) = r1; r2 = r10; r2 += -20; r1 = %[a] ll; call 1; if r0 == 0 goto 9f; "
#define P(name, body) SEC("socket") N int name(void) { asm volatile(body "9: r0 = 0; exit;" :: __imm_addr(a) : "memory"); }
#define CB(name, body) NI N int name(void) { asm volatile("r6 = r2; " body "9: r0 = 0; exit;" :: __imm_addr(a) : "memory"); }

// The second round uses what the first one wrote.
CB(cb_use_then_set, VALUE "r1 = *(u64 *)(r6 +0); r0 += r1; r1 = *(u8 *)(r0 +0); r1 = 100; *(u64 *)(r6 +0) = r1; ")
P(second_round, "r1 = 0; *(u64 *)(r10 -16) = r1; " LOOP("cb_use_then_set", "2"))

// Every round adds one; only a test of the sum keeps it inside.
CB(cb_add, VALUE "r1 = *(u64 *)(r6 +0); r0 += r1; r2 = *(u8 *)(r0 +0); r1 += 1; *(u64 *)(r6 +0) = r1; ")
P(sum_unchecked, "r1 = 0; *(u64 *)(r10 -16) = r1; " LOOP("cb_add", "20"))
CB(cb_add_checked, VALUE "r1 = *(u64 *)(r6 +0); if r1 > 15 goto 9f; r0 += r1; r2 = *(u8 *)(r0 +0); r1 += 1; *(u64 *)(r6 +0) = r1; ")
P(sum_checked, "r1 = 0; *(u64 *)(r10 -16) = r1; " LOOP("cb_add_checked", "20"))

// No round at all: the caller's number is as it was.
CB(cb_set_small, "r1 = 3; *(u64 *)(r6 +0) = r1; ")
P(no_round, "r1 = 40; *(u64 *)(r10 -16) = r1; r1 = 0; *(u64 *)(r10 -24) = r1; " LOOP("cb_set_small", "8") VALUE "r1 = *(u64 *)(r10 -16); r0 += r1; r0 = *(u8 *)(r0 +0); ")

// After one round the number is bad, before and after two it is good.
CB(cb_toggle, "r1 = *(u64 *)(r6 +0); r1 ^= 32; *(u64 *)(r6 +0) = r1; ")
P(one_round, "r1 = 4; *(u64 *)(r10 -16) = r1; r1 = 0; *(u64 *)(r10 -24) = r1; " LOOP("cb_toggle", "8") VALUE "r1 = *(u64 *)(r10 -16); r0 += r1; r0 = *(u8 *)(r0 +0); ")

// A pointer that a round replaces by a number.
CB(cb_clobber, "r2 = *(u64 *)(r6 +0); if r2 == 0 goto 9f; r1 = *(u8 *)(r2 +0); r1 = 7; *(u64 *)(r6 +0) = r1; ")
P(pointer_lost, VALUE "*(u64 *)(r10 -16) = r0; " LOOP("cb_clobber", "8"))

// What a round makes of the number is used two rounds later: until then nothing says that it matters.
CB(cb_delayed, VALUE "r1 = *(u64 *)(r6 +0); r0 += r1; r0 = *(u8 *)(r0 +0); r1 = *(u64 *)(r6 +8); *(u64 *)(r6 +0) = r1; r1 = 40; *(u64 *)(r6 +8) = r1; ")
P(delayed_round, "r1 = 4; *(u64 *)(r10 -16) = r1; *(u64 *)(r10 -8) = r1; r1 = 0; *(u64 *)(r10 -24) = r1; call 7; r0 &= 7; " "r1 = r0; r2 = cb_delayed ll; r3 = r10; r3 += -16; r4 = 0; call 181; ")
