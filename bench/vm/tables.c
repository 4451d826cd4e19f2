/* Programs on map memory: the value of a one-element array, which native code sees as a static variable. */
#include "bench.h"

static u8 composite[4096];
#define X4(i) (i) * 7, (i) * 7 + 7, (i) * 7 + 14, (i) * 7 + 21
#define X16(i) X4(i), X4((i) + 4), X4((i) + 8), X4((i) + 12)
#define X64(i) X16(i), X16((i) + 16), X16((i) + 32), X16((i) + 48)
#define X256(i) X64(i), X64((i) + 64), X64((i) + 128), X64((i) + 192)
static const u32 sorted[1024] = { X256(0), X256(256), X256(512), X256(768) };

PROGRAM(sieve_map)
{
	u32 count = 0;
	NO_UNROLL
	for (u32 i = 0; i < 4096; i += 8)
		*(volatile u64 *)(composite + i) = 0;
	NO_UNROLL
	for (u32 i = 2; i < 4096; i++) {
		if (composite[i])
			continue;
		count++;
		NO_UNROLL
		for (u32 j = i * 2; j < 4096; j += i)
			composite[j] = 1;
	}
	return count + input->len;
}

PROGRAM(binary_search)
{
	u64 found = input->len;
	u32 key = 1;
	OPAQUE(key);
	NO_UNROLL
	for (int i = 0; i < 200; i++) {
		u32 low = 0;
		key = key * 1664525 + 1013904223;
		u32 wanted = (key >> 8) & 8191;
		NO_UNROLL
		for (u32 half = 512; half > 0; half >>= 1)
			if (sorted[(low + half) & 1023] <= wanted)
				low += half;
		found += low;
	}
	return found;
}

LICENSE
