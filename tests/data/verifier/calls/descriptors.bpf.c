// Descriptors and indexes of maps that no loader put into the program, beside a map that one did.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#define N __attribute__((naked))
char _license[] SEC("license") = "GPL";
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); } kept SEC(".maps");
// A 64-bit load into r1 with a source of that kind.
#define LOAD(kind, number) ".8byte 0x1118 + (" #kind " << 12) - 0x1000 + ((" #number ") << 32); .8byte 0;"
#define P(name, body) SEC("socket") N int name(void) { asm volatile("r2 = %[kept] ll;" body "r0 = 0; exit;" :: [kept]"i"(&kept) : "memory"); }
P(own_map, "")
P(standard_input, LOAD(1, 0))
P(standard_error_value, LOAD(2, 2))
P(closed_descriptor, LOAD(1, 7777))
P(negative_descriptor, LOAD(1, -1))
P(index_without_array, LOAD(5, 0))
P(index_value_without_array, LOAD(6, 0))
P(unknown_kind, LOAD(7, 0))
