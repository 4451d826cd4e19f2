// SPDX-License-Identifier: MIT
// vfsstat: how often the file system's common operations are called.
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>

enum operation { OP_READ, OP_WRITE, OP_FSYNC, OP_OPEN, OP_CREATE, OP_COUNT };

/* Read by user space, an operation a slot. */
u64 calls[OP_COUNT] = {};

static __always_inline int count(enum operation operation)
{
	__sync_fetch_and_add(&calls[operation], 1);
	return 0;
}

SEC("kprobe/vfs_read")
int count_read(struct pt_regs *ctx)
{
	return count(OP_READ);
}

SEC("kprobe/vfs_write")
int count_write(struct pt_regs *ctx)
{
	return count(OP_WRITE);
}

SEC("kprobe/vfs_fsync")
int count_fsync(struct pt_regs *ctx)
{
	return count(OP_FSYNC);
}

SEC("kprobe/vfs_open")
int count_open(struct pt_regs *ctx)
{
	return count(OP_OPEN);
}

SEC("kprobe/vfs_create")
int count_create(struct pt_regs *ctx)
{
	return count(OP_CREATE);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
