// The program of the article behind this project: 13 instruction slots that write "Hello, World!\0" on the
// stack and hand it to bpf_trace_printk. hello_world.hex holds the same as bytes, one slot a line.

.license "GPL"

.section kprobe/do_sys_openat2
.func hello_world
        r1 = 33                                 // '!', '\0'
        *(u16 *)(r10 -4) = r1
        r1 = 1684828783                         // "orld"
        *(u32 *)(r10 -8) = r1
        r1 = 0x57202c6f6c6c6548                 // "Hello, W"
        *(u64 *)(r10 -16) = r1
        r1 = r10
        r1 += -16
        r2 = 14
        call bpf_trace_printk
        r0 = 0
        exit
