using BpfSim.Maps;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>Puts a main function and all that it calls behind one another, and the distances into the calls.</summary>
internal sealed class ProgramLinker(AssemblyUnit unit)
{
    private readonly List<Insn> _insns = [];
    private readonly List<(FunctionSymbol Function, int Start)> _placed = [];
    private readonly Dictionary<int, string> _maps = [];

    public AssembledProgram Link(FunctionSymbol main)
    {
        var calls = new List<(int Slot, FunctionSymbol Target)>();
        Place(main);
        for (int i = 0; i < _placed.Count; i++)
        {
            (FunctionSymbol function, int start) = _placed[i];
            foreach (Reference reference in function.Section.References)
            {
                if (reference.Slot < function.Start || reference.Slot >= function.End) continue;
                int slot = reference.Slot - function.Start + start;
                if (unit.Functions.FirstOrDefault(f => f.Name == reference.Name) is { } target && reference.Kind is FixupKind.Call or FixupKind.Symbol)
                {
                    if (!_placed.Exists(p => p.Function == target)) Place(target);
                    calls.Add((slot, target));
                }
                else Refer(reference, slot);
            }
        }

        foreach ((int slot, FunctionSymbol target) in calls)
            _insns[slot] = _insns[slot] with { Imm = _placed.Find(p => p.Function == target).Start - slot - 1 };
        return new AssembledProgram(
            main.Name, main.Section.Name, unit.License ?? "", [.. _insns], Starts(), _maps, [.. unit.Maps.Select(m => m.ToSpec(unit)), .. unit.Data.Select(DataSpec)]);
    }

    private void Place(FunctionSymbol function)
    {
        _placed.Add((function, _insns.Count));
        _insns.AddRange(function.Section.Insns.GetRange(function.Start, function.End - function.Start));
    }

    private void Refer(Reference reference, int slot)
    {
        if (reference.Kind is FixupKind.Map or FixupKind.MapValue)
        {
            _maps[slot] = reference.Name;
            return;
        }

        if (unit.Externs.Exists(e => e.Name == reference.Name))
            throw new AssemblerException(unit.File, reference.Line, reference.Column, $"{reference.Name} is the kernel's: only an object that is loaded can use it");
        DataSection data = unit.Data.Find(d => d.Symbols.ContainsKey(reference.Name))!;
        _maps[slot] = data.Name;
        int addend = _insns[slot].Imm;
        _insns[slot] = new Insn(_insns[slot].Code, _insns[slot].Dst, (int)PseudoSource.MapValue, 0, 0);
        _insns[slot + 1] = new Insn(0, 0, 0, 0, data.Symbols[reference.Name] + addend);
    }

    /// <summary>Function starts, with those of called labels inside the placed functions.</summary>
    private int[] Starts() =>
    [
        .. _placed.SelectMany(p => p.Function.Section.Functions
            .Where(f => f.Start >= p.Function.Start && f.Start < p.Function.End).Select(f => f.Start - p.Function.Start + p.Start)).Distinct().Order(),
    ];

    /// <summary>The one-element array that a loader makes of a data section.</summary>
    private static MapSpec DataSpec(DataSection data)
    {
        bool readOnly = data.Name.StartsWith(".rodata", StringComparison.Ordinal);
        return new MapSpec
        {
            Name = data.Name,
            Type = MapType.Array,
            KeySize = 4,
            ValueSize = (uint)Math.Max(1, data.Bytes.Count),
            MaxEntries = 1,
            // BPF_F_MMAPABLE, and BPF_F_RDONLY_PROG for constants: what libbpf sets.
            Flags = 1u << 10 | (readOnly ? 1u << 7 : 0),
            InitialValues = new Dictionary<uint, byte[]> { [0] = [.. data.Bytes] },
            FreezeAfterLoad = readOnly,
        };
    }
}
