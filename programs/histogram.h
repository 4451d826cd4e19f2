/* SPDX-License-Identifier: MIT */
/* Power-of-two histograms: slot k counts values in [2^k, 2^(k+1)), slot 0 also the zeros. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#define MAX_SLOTS 27

struct histogram {
	u32 slots[MAX_SLOTS];
};

static __always_inline u32 slot_of(u64 value)
{
	u32 slot = 0;

	/* A binary search for the highest bit: five steps, no loop for the verifier to walk. */
	if (value >> 32) {
		value >>= 32;
		slot += 32;
	}
	if (value >> 16) {
		value >>= 16;
		slot += 16;
	}
	if (value >> 8) {
		value >>= 8;
		slot += 8;
	}
	if (value >> 4) {
		value >>= 4;
		slot += 4;
	}
	if (value >> 2) {
		value >>= 2;
		slot += 2;
	}
	slot += value >> 1;
	return slot < MAX_SLOTS ? slot : MAX_SLOTS - 1;
}

#endif
