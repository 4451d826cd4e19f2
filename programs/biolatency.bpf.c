// SPDX-License-Identifier: MIT
// biolatency: how long block requests take from issue to completion, as a histogram a disk in microseconds.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "histogram.h"

const volatile bool from_insert = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct request *);
	__type(value, u64);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, struct histogram);
} latency SEC(".maps");

static const struct histogram zero;

static __always_inline int begin(struct request *rq, bool overwrite)
{
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&started, &rq, &now, overwrite ? BPF_ANY : BPF_NOEXIST);
	return 0;
}

SEC("tp_btf/block_rq_insert")
int BPF_PROG(on_insert, struct request *rq)
{
	return from_insert ? begin(rq, true) : 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(on_issue, struct request *rq)
{
	return begin(rq, !from_insert);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_complete, struct request *rq, int error, unsigned int bytes)
{
	u64 *at = bpf_map_lookup_elem(&started, &rq);
	struct histogram *histogram;
	s64 took;
	u32 disk = 0;

	if (!at)
		return 0;
	took = (s64)(bpf_ktime_get_ns() - *at);
	bpf_map_delete_elem(&started, &rq);
	if (took < 0)
		return 0;
	if (rq->q && rq->q->disk)
		disk = (u32)rq->q->disk->major << 20 | (u32)rq->q->disk->first_minor;
	histogram = bpf_map_lookup_elem(&latency, &disk);
	if (!histogram) {
		bpf_map_update_elem(&latency, &disk, &zero, BPF_NOEXIST);
		histogram = bpf_map_lookup_elem(&latency, &disk);
		if (!histogram)
			return 0;
	}
	__sync_fetch_and_add(&histogram->slots[slot_of((u64)took / 1000)], 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
