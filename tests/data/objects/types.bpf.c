// Types of every kind, for the C header that "btf dump format c" makes of them (types.h is bpftool's own).
#include <linux/types.h>

enum plain { A, B = 5 };
enum negative { N = -1, P = 3 };
enum big { X = 1ULL << 40 };
enum clash { A2, B2 };

struct bits {
	int a : 3;
	unsigned b : 5;
	char c;
	_Bool f;
	signed char d;
	struct bits *next;
	union { int u; float fl; };
};

struct holes { char a; __u64 b __attribute__((aligned(32))); short c; int : 7; int d : 9; char e; } __attribute__((aligned(64)));
struct packed { char a; int b; struct { short s; __u64 l; } in; } __attribute__((packed));
union either { struct either_not *n; int i; };
struct either_not { union either e; enum { INNER1, INNER2 = 7 } k; };

typedef struct bits bits_t;
typedef int (*handler_t)(struct packed *, const char *const *, ...);
typedef int matrix_t[3][4];
struct forward;
union forward_union;

struct user {
	handler_t handlers[2];
	matrix_t m;
	const volatile int *const restrict p;
	void (*(*nested)(int))(void);
	int (*array_ptr)[8];
	struct user *self;
	struct forward *fw;
	union forward_union *fu;
	bits_t b;
	const struct holes h;
};

struct tagged { int x __attribute__((btf_decl_tag("hello"))); } __attribute__((btf_decl_tag("hello")));

int data = 3;
static volatile int hidden = 4;
double real;
char _license[] __attribute__((section("license"))) = "GPL";

int f(struct tagged *t, struct user *u, enum plain p, enum negative n, enum big g) { return t->x + p + n + g + hidden + data; }
int g(struct packed *p, struct either_not *e, enum clash c, matrix_t *m) { return p->b + e->k + c + (*m)[1][1]; }
