; Counts openat calls by size class, with everything a text can hold.
.license "GPL"
.map counts hash key=4 value=8 entries=1024
.map inner array key=4 value=8 entries=4
.map outer array_of_maps key=4 value=4 entries=2 inner=inner
.map slots percpu_array key=4 value=8 entries=64 flags=0

.section .data
total:  .u64 0
limit:  .u32 100, 0

.section .rodata
format: .asciz "total %d\n"

.section kprobe/do_sys_openat2
.func count
    r6 = *(u64 *)(r1 +104)          ; si: the file name
    r1 = 1
    *(u32 *)(r10 -4) = r1
    r2 = r10
    r2 += -4
    r1 = map[counts]
    call bpf_map_lookup_elem#1
    if r0 == 0x0 goto missing
    r1 = 1
    lock *(u64 *)(r0 +0) += r1
missing:
    r1 = &total
    r2 = 1
    r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)
    r1 = &limit
    r3 = *(u32 *)(r1 +0)
    if r2 s> r3 goto out
    r3 = r2
    r1 = &format
    r2 = 10
    call bpf_trace_printk#6
    r1 = 5
    call double
out:
    r1 = 3
    r2 = &round
    r3 = 0
    r4 = 0
    call bpf_loop#181
    r0 = 0
    exit

.section socket
.func first
    r0 = 0
    call inline
    exit
inline:
    r0 = 7
    exit

.section .text
.func double
    r0 = r1
    r0 += r1
    exit
.func round
    r0 = 0
    exit
