#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

struct tagged {
	int x;
};

struct packed;

typedef int (*handler_t)(struct packed *, const char * const *, ...);

typedef int matrix_t[3][4];

struct forward;

union forward_union;

struct bits {
	int a: 3;
	unsigned int b: 5;
	char c;
	_Bool f;
	signed char d;
	struct bits *next;
	union {
		int u;
		float fl;
	};
};

typedef struct bits bits_t;

typedef unsigned long long __u64;

struct holes {
	char a;
	long: 64;
	long: 64;
	long: 64;
	__u64 b;
	short c;
	char: 7;
	int d: 9;
	char e;
	long: 64;
	long: 64;
};

struct user {
	handler_t handlers[2];
	matrix_t m;
	volatile const int * restrict const p;
	void (* (*nested)(int))(void);
	int (*array_ptr)[8];
	struct user *self;
	struct forward *fw;
	union forward_union *fu;
	bits_t b;
	long: 64;
	long: 64;
	long: 64;
	long: 64;
	long: 64;
	long: 64;
	long: 64;
	const struct holes h;
};

struct packed {
	char a;
	int b;
	struct {
		short s;
		__u64 l;
	} in;
} __attribute__((packed));

enum plain {
	A = 0,
	B = 5,
};

enum negative {
	N = -1,
	P = 3,
};

enum big {
	X = 1099511627776ULL,
};

struct either_not;

union either {
	struct either_not *n;
	int i;
};

struct either_not {
	union either e;
	enum {
		INNER1 = 0,
		INNER2 = 7,
	} k;
};

enum clash {
	A2 = 0,
	B2 = 1,
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
