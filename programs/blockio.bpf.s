// Latency of block requests from issue to completion, in microseconds, as a log2 histogram.

.license "GPL"

// When a request was issued: struct { u64 dev; u64 sector; } -> nanoseconds.
.map issued hash key=16 value=8 entries=10240
// Slot 0 counts 0 us, slot n the requests of [2^(n-1), 2^n) us; slot 27 holds the sum.
.map block_io_us array key=4 value=8 entries=28

.section tracepoint/block/block_rq_issue
.func issue
        r6 = r1
        r1 = *(u32 *)(r6 +8)
        *(u64 *)(r10 -16) = r1
        r1 = *(u64 *)(r6 +16)
        *(u64 *)(r10 -8) = r1
        call bpf_ktime_get_ns
        *(u64 *)(r10 -24) = r0
        r1 = map[issued]
        r2 = r10
        r2 += -16
        r3 = r10
        r3 += -24
        r4 = 0
        call bpf_map_update_elem
        r0 = 0
        exit

.section tracepoint/block/block_rq_complete
.func complete
        r6 = r1
        r1 = *(u32 *)(r6 +8)
        *(u64 *)(r10 -16) = r1
        r1 = *(u64 *)(r6 +16)
        *(u64 *)(r10 -8) = r1
        r1 = map[issued]
        r2 = r10
        r2 += -16
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r6 = *(u64 *)(r0 +0)
        call bpf_ktime_get_ns
        r0 -= r6
        r0 /= 1000
        r6 = r0
        r1 = map[issued]
        r2 = r10
        r2 += -16
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
        if r7 < 27 goto slot
        r7 = 26
slot:
        *(u32 *)(r10 -20) = r7
        r1 = map[block_io_us]
        r2 = r10
        r2 += -20
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
        r1 = 27
        *(u32 *)(r10 -20) = r1
        r1 = map[block_io_us]
        r2 = r10
        r2 += -20
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        lock *(u64 *)(r0 +0) += r6
out:
        r0 = 0
        exit
