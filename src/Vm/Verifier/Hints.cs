namespace BpfSim.Vm.Verifier;

/// <summary>
/// Plain words under a rejection: what the verifier wanted, and the usual cure. The kernel has nothing like
/// it, so it is kept apart from the log.
/// </summary>
internal static class Hints
{
    // The part of the message to look for, and what to say; the first that fits wins.
    private static readonly (string Part, string Advice)[] s_advice =
    [
        ("!read_ok", "the register holds nothing at this point: assign it on every path; r1 to r5 are lost in every call"),
        ("_or_null'", "the pointer may be NULL: compare it with NULL, and use it only where it is not"),
        ("null-check it first", "compare the pointer with NULL before adding to it"),
        ("invalid mem access 'scalar'", "this is a number, not a pointer that the verifier knows: read kernel memory with bpf_probe_read_kernel, and do not pass pointers through 32-bit or arithmetic operations"),
        ("offset is outside of the packet", "compare the end of the access with data_end first, on the very pointer that is used: if (p + size > data_end) return"),
        ("min value is negative", "the offset may be negative: use an unsigned variable, or test that it is at least 0"),
        ("unbounded memory access", "the offset or size has no upper bound here: compare it with a constant, or mask it (i &= 0xff), in the same register that is used"),
        ("max value is outside of the allowed memory range", "the largest possible offset goes past the end: the bound must be the size of the memory minus the size of the access"),
        ("min value is outside of the allowed memory range", "the smallest possible offset lies before the start of the memory"),
        ("invalid access to map value", "the access goes past the end of the map's value: compare offset and size with the value's size"),
        ("invalid bpf_context access", "this field of the context cannot be accessed so by this program type: check offset, size, and whether it may be written"),
        ("dereference of modified ctx ptr", "the context is only accessed through the unmodified pointer with a constant offset: keep the compiler from adding to it first"),
        ("invalid write to stack", "the stack ends 512 bytes below r10 and starts under it: make the buffer smaller, or move it to a per-CPU array map"),
        ("invalid read from stack", "some of these bytes were never written: initialise the variable, padding included (= {} or memset)"),
        ("combined stack size", "all functions of a chain of calls share 512 bytes: move large buffers to a per-CPU array map"),
        ("frame pointer is read only", "r10 cannot be changed: copy it to another register and subtract there"),
        ("unreachable insn", "no path leads to this instruction: remove it, or let the code before it fall through or jump there"),
        ("jump out of range", "the jump leaves its function: check the offset, which counts from the next instruction"),
        ("last insn is not an exit or jmp", "every function must end with exit or an unconditional jump"),
        ("infinite loop detected", "nothing that the loop depends on changes from one round to the next: count towards a constant bound, or use bpf_loop or bpf_for"),
        ("program is too large", "over all paths more than a million instructions were walked: bound loops tighter, use bpf_loop or bpf_for, or split the program with tail calls"),
        ("jumps is too complex", "too many branches were open at the same time: put code into global functions or use bpf_loop"),
        ("back-edge", "programs without CAP_BPF cannot loop: unroll the loop (#pragma unroll)"),
        ("Unreleased reference", "something acquired was not given back on this path: release it before every exit, NULL branches aside"),
        ("BPF_EXIT instruction in main prog would lead to reference leak", "something acquired was not given back on this path: release it before every exit"),
        ("unknown func", "this program type, or this kernel, has no such helper; compare the helper's list of program types"),
        ("program of this type cannot use helper", "the helper exists, but not for this program type: another section, or another helper, is needed"),
        ("cannot call GPL-restricted function", "declare a GPL-compatible licence: char LICENSE[] SEC(\"license\") = \"GPL\""),
        ("div by zero", "a constant divisor of 0 is never allowed"),
        ("pointer arithmetic", "only adding a number to, or subtracting it from, such a pointer is allowed; do the arithmetic on numbers"),
        ("bitwise operator", "a pointer cannot be masked or shifted: do it to the offset before it is added"),
        ("pointer comparison prohibited", "without CAP_PERFMON pointers are compared with NULL or with the packet's end only"),
        ("leaks addr", "without CAP_PERFMON no pointer may be stored where user space sees it"),
        ("misaligned", "the offset must be a multiple of the access's size"),
        ("should have been in", "the program's type prescribes its result: return one of the allowed values on every path"),
        ("same insn cannot be used with different pointers", "paths with different kinds of pointers meet at one load: keep the compiler from merging them (barrier_var, or separate functions)"),
        ("cannot be accessed directly by load/store", "locks, timers, lists and the like are only used through their helpers: copy the other fields one by one"),
        ("too many subprograms", "at most 256 functions fit into one program"),
        ("function calls are not allowed while holding a lock", "between bpf_spin_lock and bpf_spin_unlock no other helper may run: read first, then lock"),
        ("expected=", "the argument has another kind than the helper wants: look at the type that the log shows for the register"),
    ];

    /// <summary>The hint for a rejection, with the place; null if there is nothing to say.</summary>
    public static string? For(string message, int insnIdx, string? source)
    {
        foreach ((string part, string advice) in s_advice)
        {
            if (!message.Contains(part, StringComparison.Ordinal)) continue;
            string place = source == null ? $"insn {insnIdx}" : $"insn {insnIdx}, {source}";
            return $"hint: {advice} ({place})";
        }

        return null;
    }
}
