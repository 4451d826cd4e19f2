/* Programs as tracing tools have them: helpers and maps. Each run handles a batch of events. */
#include "bench.h"

#define uint(name, val) int (*name)[val]
#define type(name, val) typeof(val) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;

struct {
	uint(type, 2 /* array */);
	uint(max_entries, 64);
	type(key, u32);
	type(value, u64);
} slots __attribute__((section(".maps"), used));

struct {
	uint(type, 6 /* percpu_array */);
	uint(max_entries, 64);
	type(key, u32);
	type(value, u64);
} percpu_slots __attribute__((section(".maps"), used));

struct {
	uint(type, 1 /* hash */);
	uint(max_entries, 1024);
	type(key, u32);
	type(value, u64);
} start __attribute__((section(".maps"), used));

struct {
	uint(type, 1 /* hash */);
	uint(max_entries, 1024);
	type(key, u64);
	type(value, u64);
} counts __attribute__((section(".maps"), used));

static inline u32 log2_of(u32 w)
{
	u32 r, shift;
	r = (w > 0xffff) << 4;
	w >>= r;
	shift = (w > 0xff) << 3;
	w >>= shift;
	r |= shift;
	shift = (w > 0xf) << 2;
	w >>= shift;
	r |= shift;
	shift = (w > 0x3) << 1;
	w >>= shift;
	r |= shift;
	return r | (w >> 1);
}

PROGRAM(map_counter)
{
	u64 key = input->len & 63;
	u64 *value = bpf_map_lookup_elem(&counts, &key);
	if (value) {
		__sync_fetch_and_add(value, 1);
	} else {
		u64 one = 1;
		bpf_map_update_elem(&counts, &key, &one, 0);
	}
	return 0;
}

PROGRAM(array_counter)
{
	u32 key = input->len & 63;
	u64 *value = bpf_map_lookup_elem(&slots, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

PROGRAM(log2_histogram)
{
	u32 x = input->len * 2654435761u;
	NO_UNROLL
	for (int i = 0; i < 16; i++) {
		u32 slot = log2_of(x >> (x & 15));
		u64 *value = bpf_map_lookup_elem(&percpu_slots, &slot);
		if (value)
			*value += 1;
		x = x * 1664525 + 1013904223;
	}
	return 0;
}

PROGRAM(latency_pair)
{
	u32 key = input->len;
	u64 now = bpf_ktime_get_ns();
	bpf_map_update_elem(&start, &key, &now, 0);
	u64 *then = bpf_map_lookup_elem(&start, &key);
	if (!then)
		return 0;
	u64 delta = bpf_ktime_get_ns() - *then;
	bpf_map_delete_elem(&start, &key);
	u32 slot = log2_of(delta);
	u64 *value = bpf_map_lookup_elem(&slots, &slot);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

LICENSE
