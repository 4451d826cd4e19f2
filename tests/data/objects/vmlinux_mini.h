/* SPDX-License-Identifier: MIT */
/* Just enough of the kernel's types for the objects here. */
#ifndef VMLINUX_MINI_H
#define VMLINUX_MINI_H

#include <linux/types.h>
#include <linux/bpf.h>

struct pt_regs;

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

#endif
