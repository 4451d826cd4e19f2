// SPDX-License-Identifier: MIT
// An object as old tools make it: no type information, a map in section "maps".
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct legacy_map {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

struct legacy_map counts SEC("maps") = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 64,
};

volatile __u32 base = 5;
static const volatile char message[] = "counted";

static __attribute__((noinline)) int scale(int value)
{
	return value * (int)base + message[1];
}

SEC("kprobe/do_sys_openat2")
int count(void *ctx)
{
	__u32 key = 1;
	__u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return scale(3) & 0;
}

char LICENSE[] SEC("license") = "GPL";
__u32 _version SEC("version") = 0x60000;
