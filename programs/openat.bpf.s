// Counts the openat calls of every process, and their latency in nanoseconds as a log2 histogram.

.license "GPL"

// When the call of a thread began: pid_tgid -> nanoseconds.
.map start hash key=8 value=8 entries=10240
// Calls: struct { u32 pid; char comm[16]; } -> count.
.map openat_total hash key=20 value=8 entries=10240
// Slot 0 counts 0 ns, slot n the calls of [2^(n-1), 2^n) ns; slot 40 holds the sum.
.map openat_ns array key=4 value=8 entries=41

.section tracepoint/syscalls/sys_enter_openat
.func openat_enter
        call bpf_get_current_pid_tgid
        *(u64 *)(r10 -8) = r0
        r0 >>= 32
        *(u32 *)(r10 -32) = r0
        call bpf_ktime_get_ns
        *(u64 *)(r10 -40) = r0
        r1 = map[start]
        r2 = r10
        r2 += -8
        r3 = r10
        r3 += -40
        r4 = 0
        call bpf_map_update_elem

        r1 = r10
        r1 += -28
        r2 = 16
        call bpf_get_current_comm
        r1 = map[openat_total]
        r2 = r10
        r2 += -32
        call bpf_map_lookup_elem
        if r0 != 0 goto count
        // Another thread of the process may be faster: insert a zero if there is nothing, then look again.
        r1 = 0
        *(u64 *)(r10 -40) = r1
        r1 = map[openat_total]
        r2 = r10
        r2 += -32
        r3 = r10
        r3 += -40
        r4 = 1
        call bpf_map_update_elem
        r1 = map[openat_total]
        r2 = r10
        r2 += -32
        call bpf_map_lookup_elem
        if r0 == 0 goto out
count:
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
out:
        r0 = 0
        exit

.section tracepoint/syscalls/sys_exit_openat
.func openat_exit
        call bpf_get_current_pid_tgid
        *(u64 *)(r10 -8) = r0
        r1 = map[start]
        r2 = r10
        r2 += -8
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r6 = *(u64 *)(r0 +0)
        call bpf_ktime_get_ns
        r0 -= r6
        r6 = r0
        r1 = map[start]
        r2 = r10
        r2 += -8
        call bpf_map_delete_elem

        // r7 = number of significant bits of r6.
        r7 = 0
        r1 = r6
        if r1 == 0 goto slot
        r7 = 1
        r2 = r1
        r2 >>= 32
        if r2 == 0 goto half
        r7 += 32
        r1 = r2
half:
        r2 = r1
        r2 >>= 16
        if r2 == 0 goto quarter
        r7 += 16
        r1 = r2
quarter:
        r2 = r1
        r2 >>= 8
        if r2 == 0 goto nibble
        r7 += 8
        r1 = r2
nibble:
        r2 = r1
        r2 >>= 4
        if r2 == 0 goto pair
        r7 += 4
        r1 = r2
pair:
        r2 = r1
        r2 >>= 2
        if r2 == 0 goto bit
        r7 += 2
        r1 = r2
bit:
        r1 >>= 1
        r7 += r1
        if r7 < 40 goto slot
        r7 = 39
slot:
        *(u32 *)(r10 -12) = r7
        r1 = map[openat_ns]
        r2 = r10
        r2 += -12
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
        r1 = 40
        *(u32 *)(r10 -12) = r1
        r1 = map[openat_ns]
        r2 = r10
        r2 += -12
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        lock *(u64 *)(r0 +0) += r6
out:
        r0 = 0
        exit
