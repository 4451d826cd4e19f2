using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Object;

/// <summary>
/// Appends to a program the subprograms that it calls, directly or not, in libbpf's order: each at its first
/// call, depth first; and points calls and function addresses at them.
/// </summary>
internal sealed class SubprogramLinker(IReadOnlyList<ProgramEntry> functions, int textSection)
{
    // Far above what any program can hold; hostile objects must not make the result grow without end.
    private const int MaxSlots = 4_000_000;

    public LinkedProgram Link(ProgramEntry main)
    {
        var linked = new LinkedProgram();
        linked.Add(main);
        Walk(linked, main, 0);
        return linked;
    }

    private void Walk(LinkedProgram linked, ProgramEntry function, int start)
    {
        // An explicit stack: a chain of a hundred thousand functions must not overflow ours.
        var pending = new Stack<(ProgramEntry Function, int Start, int Next)>();
        pending.Push((function, start, 0));
        while (pending.TryPop(out (ProgramEntry Function, int Start, int Next) frame))
        {
            (ProgramEntry current, int first, int slot) = frame;
            for (; slot < current.Slots; slot++)
            {
                Insn insn = current.Insns[slot];
                bool call = IsLinkedCall(insn);
                if (!call && !insn.IsLdImm64) continue;
                ProgramRelocation? relocation = current.FindRelocation(slot);
                bool address = insn.IsLdImm64
                    && (insn.Src == (int)PseudoSource.Func || relocation?.Kind == RelocationKind.SubprogramAddress);
                if (!call && !address) continue;
                if (relocation?.Kind == RelocationKind.ExternCall) continue;
                ProgramEntry callee = Target(current, slot, insn, relocation, address);
                if (linked.Starts.TryGetValue(callee, out int at))
                {
                    linked.Insns[first + slot] = With(insn, at - (first + slot) - 1, address);
                    continue;
                }
                if (callee.Error != null) throw new ObjectException(callee.Error);
                at = linked.Add(callee);
                if (linked.Insns.Count > MaxSlots) throw new ObjectException($"prog '{current.Name}': {linked.Insns.Count} instructions with subprograms are too many");
                linked.Insns[first + slot] = With(insn, at - (first + slot) - 1, address);
                pending.Push((current, first, slot + 1));
                pending.Push((callee, at, 0));
                break;
            }
        }
    }

    /// <summary>Calls with reserved fields set are left to the verifier, which refuses them.</summary>
    public static bool IsLinkedCall(in Insn insn) => insn.IsLocalCall && insn.Dst == 0 && insn.Off == 0;

    private static Insn With(Insn insn, int imm, bool address) => address
        ? new Insn(insn.Code, insn.Dst, (int)PseudoSource.Func, insn.Off, imm) : insn with { Imm = imm };

    private ProgramEntry Target(ProgramEntry caller, int slot, Insn insn, ProgramRelocation? relocation, bool address)
    {
        long target;
        if (relocation is { } found)
        {
            if (found.Kind is not (RelocationKind.Call or RelocationKind.SubprogramAddress))
                throw new ObjectException($"prog '{caller.Name}': unexpected relo for insn #{slot}, type {found.Kind}");
            target = found.Kind == RelocationKind.Call ? found.SymbolOffset / 8 + insn.Imm + 1 : (found.SymbolOffset + insn.Imm) / 8;
        }
        else if (address)
        {
            throw new ObjectException($"prog '{caller.Name}': missing subprog addr relo for insn #{slot}");
        }
        else
        {
            target = caller.FirstSlot + slot + (long)insn.Imm + 1;
        }
        foreach (ProgramEntry function in functions)
        {
            if (function.Section.Index == textSection && target >= function.FirstSlot && target < function.FirstSlot + function.Slots) return function;
        }
        throw new ObjectException($"prog '{caller.Name}': no .text section found yet sub-program call exists");
    }
}

/// <summary>The instructions of a program with its subprograms appended.</summary>
internal sealed class LinkedProgram
{
    public List<Insn> Insns { get; } = [];

    /// <summary>The functions in their order, with the slot that each begins at.</summary>
    public List<(ProgramEntry Function, int Start)> Functions { get; } = [];

    public Dictionary<ProgramEntry, int> Starts { get; } = [];

    public int Add(ProgramEntry function)
    {
        int start = Insns.Count;
        Insns.AddRange(function.Insns);
        Functions.Add((function, start));
        Starts[function] = start;
        return start;
    }
}
