using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Verifier.Hints;

// The program's shape: what is reached, loops, their cost, and the stack.
internal sealed partial class HintWriter
{
    private int Named(int index, int otherwise)
    {
        int[] numbers = Numbers;
        return index < numbers.Length && numbers[index] < _verifier.Insns.Length ? numbers[index] : otherwise;
    }

    private string? Unreachable()
    {
        int insn = Named(0, _insn);
        string before = insn > 0 ? $": {Place(insn - 1)} before it does not go on there, and nothing jumps to it" : "";
        return $"no path leads to {Place(insn)}{before}; remove it, or let the code before it fall through or jump there";
    }

    private string? JumpsOut() =>
        $"{Place(Named(0, _insn))} jumps out of its function: the offset counts from the next instruction, and labels must stand in the same function";

    private static string? NoExit() => "a function ends without exit or jump, so that it would run on into what follows: return at its end on every path";

    private string? BackEdge() =>
        $"{Place(Named(0, _insn))} jumps back to {Place(Named(1, _insn))}: loops take a loader with CAP_BPF; unroll the loop (#pragma unroll)";

    private string? InfiniteLoop()
    {
        int head = Named(0, _insn);
        int last = _steps.Count - 1, first = last;
        // The round that was just closed: back to the newest visit of the loop's head.
        while (first >= 0 && _steps[first].Insn != head) first--;
        if (first < 0) return $"nothing that the loop at {Place(head)} depends on changes from one round to the next: count towards a constant bound";
        for (int i = last; i >= first; i--)
        {
            ref readonly Insn test = ref _verifier.Insns[InsnAt(i)];
            int regno = test.Dst;
            if (!ValueHistory.Compares(test, regno)) continue;
            bool written = false;
            for (int j = first; j <= last; j++) written |= ValueHistory.Writes(_verifier.Insns[InsnAt(j)], regno);
            return written
                ? $"a round of the loop at {Place(head)} ends in the state in which it began: the test at {PlaceOf(i)} gets the same value again; count towards a constant bound, or use bpf_loop() or bpf_for()"
                : $"the loop at {Place(head)} ends by the test of r{regno} at {PlaceOf(i)}, and no instruction of the loop writes r{regno}; count towards a constant bound, or use bpf_loop() or bpf_for()";
        }

        return $"the loop at {Place(head)} has no test that could end it: count towards a constant bound, or use bpf_loop() or bpf_for()";
    }

    private string? TooLarge()
    {
        if (_visits.Length == 0 || _visits.Max() is not (var most and > 1)) return "over all paths more than a million instructions were walked: use bpf_loop() or bpf_for(), or split the program with tail calls";
        return $"over all paths more than a million instructions were walked; {Place(Array.IndexOf(_visits, most))} alone {most} times: "
            + "bound that loop tighter, use bpf_loop() or bpf_for(), or move the code into a global function, which is walked once";
    }

    private string? TooComplex()
    {
        int busiest = -1;
        for (int i = 0; i < _visits.Length; i++)
        {
            if (ValueHistory.Compares(_verifier.Insns[i], _verifier.Insns[i].Dst) && (busiest < 0 || _visits[i] > _visits[busiest])) busiest = i;
        }

        string where = busiest >= 0 ? $", most of them at {Place(busiest)} ({_visits[busiest]} times)" : "";
        return $"too many branches are open at the same time{where}: a loop whose test is not decided by constants leaves one open a round; use bpf_loop() or bpf_for(), or bound the loop tighter";
    }

    private string? StackReach()
    {
        int[] numbers = Numbers;
        int off = _message.Contains("off=-", StringComparison.Ordinal) && numbers.Length >= 2 ? numbers[^2] : 0;
        return off > ProgramVerifier.MaxStack
            ? $"{Here} reaches {off} bytes below r10, and the stack has {ProgramVerifier.MaxStack}: make the variables smaller, or move them into a per-CPU array map"
            : off > 0 && numbers[^1] > off
            ? $"{Here} accesses {numbers[^1]} bytes from {off} bytes below r10 on, of which {off} are stack: compare the size with the variable's"
            : $"{Here} reaches outside of the stack, which is the {ProgramVerifier.MaxStack} bytes below r10: compare size and offset with the variable's size";
    }

    private string? StackUninitialised()
    {
        int[] numbers = Numbers;
        if (numbers.Length < 3) return StackReach();
        if (numbers[^2] > numbers[^1]) return StackReach();
        string who = _verifier.Insns[_insn] is { Class: InsnClass.Jmp, JmpOp: JmpOp.Call } ? CallName(_insn) : "the load";
        return $"{who} at {Here} reads {numbers[^1]} bytes of the stack, and byte {numbers[^2]} of them was never written on this path: "
            + "initialise the whole variable, padding included (= {} or __builtin_memset)";
    }

    private string? CombinedStack()
    {
        string sizes = string.Join(", ", _verifier.Subprogs.Select((s, i) => $"{(s.Name.Length > 0 ? s.Name : $"func#{i}")} {s.StackDepth}"));
        return $"the functions of a chain of calls share 512 bytes of stack (here, in bytes: {sizes}): move large variables into a per-CPU array map";
    }

    private string? Misaligned()
    {
        int[] numbers = Numbers;
        return $"the {(numbers.Length > 0 ? numbers[^1] : 0)} bytes that {Here} accesses must lie at a multiple of their size: "
            + "align the variable, or access it in smaller pieces";
    }
}
