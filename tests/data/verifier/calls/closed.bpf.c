#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
char LICENSE[] SEC("license") = "Proprietary";

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

SEC("tc") int kernel_function(void *ctx) { bpf_rcu_read_lock(); bpf_rcu_read_unlock(); return 0; }
SEC("tc") int open_helper(void *ctx) { return bpf_get_prandom_u32(); }
