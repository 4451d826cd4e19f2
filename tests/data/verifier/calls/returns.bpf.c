// What a program may return: ranges of the program type, and which half of the register counts.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

#define RETURNS(name, section, code) SEC(section) __attribute__((naked)) int name(void *ctx) { asm volatile(code "exit;"); }

RETURNS(filter_low, "cgroup_skb/ingress", "w0 = 1;")
RETURNS(filter_high, "cgroup_skb/ingress", "r0 = 0x100000001 ll;")
RETURNS(iter_low, "iter/task", "w0 = 1;")
RETURNS(iter_high, "iter/task", "r0 = 0x100000001 ll;")
RETURNS(iter_minus, "iter/task", "r0 = -1;")
RETURNS(open_denied, "lsm/file_open", "w0 = -1;")
RETURNS(open_denied_wide, "lsm/file_open", "r0 = -1;")
RETURNS(open_high, "lsm/file_open", "r0 = 0x100000000 ll;")
RETURNS(open_positive, "lsm/file_open", "w0 = 1;")
RETURNS(open_errno, "lsm/file_open", "w0 = -4096;")
RETURNS(void_hook, "lsm/task_to_inode", "w0 = 7;")
RETURNS(known_rule, "lsm/audit_rule_known", "w0 = 1;")
RETURNS(known_rule_minus, "lsm/audit_rule_known", "w0 = -1;")
RETURNS(replacement, "freplace/target", "r0 = 0;")
