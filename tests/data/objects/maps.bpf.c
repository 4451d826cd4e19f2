// Maps with keys and values of many types, for "map dump": dump.txt and dump.json are what bpftool printed of them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum color { RED, GREEN = 5 };
typedef unsigned int count_t;
struct inner { short low; unsigned char bytes[3]; };
struct key { int pid; char comm[8]; };
struct value {
	long long big;
	count_t count;
	enum color color;
	_Bool yes;
	char letter;
	signed char small;
	int bits : 3, more : 9;
	struct inner in;
	struct inner many[2];
	union { int number; unsigned char raw[4]; };
	void *pointer;
	char text[6];
	char odd[4];
	int matrix[2][2];
};

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, struct key); __type(value, struct value); } things SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } plain SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2); __uint(key_size, 4); __uint(value_size, 24); } untyped SEC(".maps");

int counter = 7;
char greeting[8] = "hello";
const volatile int limit = 3;
struct value global;

SEC("socket")
int use(void *ctx)
{
	struct key key = {};
	__u32 zero = 0;

	bpf_map_lookup_elem(&things, &key);
	bpf_map_lookup_elem(&plain, &zero);
	bpf_map_lookup_elem(&untyped, &zero);
	return counter + limit + greeting[0] + global.count;
}

char _license[] SEC("license") = "GPL";
