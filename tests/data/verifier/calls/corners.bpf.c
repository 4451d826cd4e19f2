// Fields of sockets, results, sockmaps, sizes and single helpers where program types differ.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#define N __attribute__((naked))
char _license[] SEC("license") = "GPL";
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 4); __type(key, int); __type(value, int); } sm SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, long); } hs SEC(".maps");
#define P(sec, name, body) SEC(sec) N int name(void) { asm volatile(body :: [sm]"i"(&sm), [rb]"i"(&rb), [hs]"i"(&hs) : "memory"); }
// Only probes and trampolines know the function's address.
P("kprobe/vfs_read", ip_kprobe, "call 173; r0 = 0; exit;")
P("tp/sched/sched_switch", ip_tracepoint, "call 173; r0 = 0; exit;")
P("raw_tp/sched_switch", ip_raw, "call 173; r0 = 0; exit;")
P("iter/task", ip_iter, "call 173; r0 = 0; exit;")
P("syscall", path_syscall, "r2 = r10; r2 += -8; r3 = 8; call 147; r0 = 0; exit;")
P("cgroup/setsockopt", option_ctx, "r2 = 1; r3 = 2; r4 = r10; r4 += -8; *(u64 *)(r10 - 8) = 0; r5 = 4; r1 = r10; call 49; r0 = 1; exit;")
// All 64 bits of the result count.
P("iter/task", result_33, "r0 = 0x100000000 ll; exit;")
P("cgroup_skb/egress", result_high, "r0 = 0xffffffff00000000 ll; exit;")
P("sk_lookup", result_33_of, "r0 = 0x100000001 ll; exit;")
P("cgroup_skb/egress", result_3, "r0 = 3; exit;")
// A narrow load starts at the field's first byte, but for addresses.
#define SK(name, load) P("cgroup/connect4", name, "r6 = *(u64 *)(r1 + 64); " load " r0 = 1; exit;")
SK(family_first, "r7 = *(u8 *)(r6 + 4);")
SK(family_second, "r7 = *(u8 *)(r6 + 5);")
SK(type_half, "r7 = *(u16 *)(r6 + 10);")
SK(state_last, "r7 = *(u8 *)(r6 + 75);")
SK(source_port, "r7 = *(u16 *)(r6 + 46);")
SK(address_part, "r7 = *(u8 *)(r6 + 27);")
SK(port_second, "r7 = *(u8 *)(r6 + 49);")
SK(port_padding, "r7 = *(u16 *)(r6 + 50);")
#define TCP(name, load) P("tc", name, "r1 = *(u64 *)(r1 + 168); if r1 == 0 goto l_%=; call 96; if r0 == 0 goto l_%=; " load " l_%=: r0 = 0; exit;")
TCP(counter_whole, "r7 = *(u64 *)(r0 + 80);")
TCP(counter_half, "r7 = *(u32 *)(r0 + 84);")
TCP(counter_low, "r7 = *(u32 *)(r0 + 80);")
// Lookups take a tuple of no bytes, and fail when they run.
P("tc", tuple_none, "r2 = r10; r2 += -8; r3 = 0; r4 = -1; r5 = 0; call 84; if r0 == 0 goto l_%=; r1 = r0; call 86; l_%=: r0 = 0; exit;")
// Who may change a sockmap.
#define KEY "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = %[sm] ll; "
P("tc", sockmap_delete, KEY "call 3; r0 = 0; exit;")
P("sockops", sockmap_delete_ops, KEY "call 3; r0 = 1; exit;")
P("sk_msg", sockmap_delete_msg, KEY "call 3; r0 = 1; exit;")
P("sockops", sockmap_update_ops, "r6 = r1; r6 = *(u64 *)(r6 + 184); if r6 == 0 goto l_%=; " KEY "r3 = r6; r4 = 0; call 2; l_%=: r0 = 1; exit;")
// Two arguments of one call that hold references.
P("tc", two_references, "r1 = %[rb] ll; r2 = 8; r3 = 0; call 131; if r0 == 0 goto l_%=; r6 = r0; r1 = %[hs] ll; r2 = r6; r3 = r6; r4 = 0; call 2; r1 = r6; r2 = 0; call 132; l_%=: r0 = 0; exit;")
