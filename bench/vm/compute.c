/* Compute programs: no maps, no helpers. All loops have constant bounds, for the verifier's sake. */
#include "bench.h"

PROGRAM(xorshift)
{
	u64 x = input->len + 88172645463325252ull;
	NO_UNROLL
	for (int i = 0; i < 4000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

PROGRAM(collatz)
{
	u64 steps = 0, first = 1;
	OPAQUE(first);
	NO_UNROLL
	for (u32 i = 0; i < 150; i++) {
		u64 n = first + i;
		NO_UNROLL
		while (n != 1) {
			if (n & 1)
				n = 3 * n + 1;
			else
				n >>= 1;
			steps++;
		}
	}
	return steps + input->len;
}

PROGRAM(divide_constant)
{
	u64 x = input->len * 0x9e3779b97f4a7c15ull, sum = 0;
	NO_UNROLL
	for (int i = 0; i < 1000; i++) {
		sum += x / 10 + x % 1000;
		sum ^= (u32)x / 7 + (u32)(x >> 32) % 86400;
		x = x * 6364136223846793005ull + 1442695040888963407ull;
	}
	return sum;
}

PROGRAM(divide_variable)
{
	u64 x = input->len * 0x9e3779b97f4a7c15ull, sum = 0;
	u64 d = input->len | 1;
	NO_UNROLL
	for (int i = 0; i < 1000; i++) {
		sum += x / d + x % (d + 2);
		d += 6;
		x = x * 6364136223846793005ull + 1442695040888963407ull;
	}
	return sum;
}

/* Words, not bytes: the verifier remembers what whole stack slots hold. */
PROGRAM(sieve_stack)
{
	u64 composite[56];
	u64 count = 0, first = 2;
	OPAQUE(first);
	NO_UNROLL
	for (int i = 0; i < 56; i++)
		((volatile u64 *)composite)[i] = 0;
	NO_UNROLL
	for (u64 i = first; i < 56; i++) {
		if (composite[i])
			continue;
		count++;
		NO_UNROLL
		for (u64 j = i * 2; j < 56; j += i)
			composite[j] = 1;
	}
	return count + input->len;
}

PROGRAM(crc32)
{
	u32 crc = ~0u, data = input->len;
	NO_UNROLL
	for (int i = 0; i < 128; i++) {
		crc ^= (data >> (i & 24)) & 0xff;
		NO_UNROLL
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

static NOINLINE u64 mix(u64 a, u64 b)
{
	a ^= b;
	a *= 0xff51afd7ed558ccdull;
	return a ^ (a >> 33);
}

static NOINLINE u64 combine(u64 a, u64 b, u64 c)
{
	return mix(a, b) + mix(b, c);
}

PROGRAM(local_calls)
{
	u64 x = input->len, y = 1;
	NO_UNROLL
	for (int i = 0; i < 500; i++) {
		x = combine(x, y, i);
		y += x >> 60;
	}
	return x + y;
}

PROGRAM(log2_buckets)
{
	u64 x = input->len + 88172645463325252ull, sum = 0;
	NO_UNROLL
	for (int i = 0; i < 500; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		u64 v = x >> (x & 31);
		u32 hi = v >> 32, w = hi ? hi : (u32)v, r, shift;
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
		r |= w >> 1;
		sum += hi ? r + 32 : r;
	}
	return sum;
}

LICENSE
