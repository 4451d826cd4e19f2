/* Both worlds from one source: with clang -target bpf a program of its own section, else a plain function. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

/* The context: the only input that the compilers cannot see through. Its first field is the packet length. */
struct input {
	u32 len;
};

/* A value that compilers cannot see through but the verifier can: it follows one concrete path. */
#define OPAQUE(v) __asm__ volatile("" : "+r"(v))

#define NOINLINE __attribute__((noinline))
#define NO_UNROLL _Pragma("GCC unroll 1")
#ifdef __bpf__
#undef NO_UNROLL
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
#define PROGRAM(name) __attribute__((section("socket"), used)) u64 name(struct input *input)
#define LICENSE char _license[] __attribute__((section("license"), used)) = "GPL";
#else
#define PROGRAM(name) u64 name(struct input *input)
#define LICENSE
#endif
