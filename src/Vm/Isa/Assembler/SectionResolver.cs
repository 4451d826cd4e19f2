namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// Puts distances to labels into instructions, checks that every name exists, and turns labels that are
/// called into functions. What is left in <see cref="CodeSection.References"/> leads out of a function.
/// </summary>
internal static class SectionResolver
{
    public static void Resolve(AssemblyUnit unit)
    {
        foreach (CodeSection section in unit.Code)
        {
            List<Reference> open = [.. section.References.Where(r => !ResolveInside(unit, section, r))];
            section.References.Clear();
            section.References.AddRange(open);
            section.Functions.Sort((a, b) => a.Start.CompareTo(b.Start));
        }
    }

    private static bool ResolveInside(AssemblyUnit unit, CodeSection section, Reference reference)
    {
        AssemblerException Error(string problem) => new(unit.File, reference.Line, reference.Column, problem);
        string name = reference.Name;
        Insn insn = section.Insns[reference.Slot];
        bool isLabel = reference.From!.Labels.TryGetValue(name, out int label);
        switch (reference.Kind)
        {
            case FixupKind.JumpOff or FixupKind.JumpImm:
                FunctionSymbol? function = isLabel ? null : section.Functions.Find(f => f.Name == name);
                if (!isLabel && function is null) throw Error($"there is no label {name} in {reference.From.Name}");
                long distance = (isLabel ? label : function!.Start) - reference.Slot - 1L;
                if (reference.Kind == FixupKind.JumpImm) insn = insn with { Imm = (int)distance };
                else if (distance is < short.MinValue or > short.MaxValue) throw Error($"{name} is {distance} slots away, a jump reaches 32767: use gotol");
                else insn = insn with { Off = (short)distance };
                break;
            case FixupKind.Call when isLabel:
            case FixupKind.Symbol when isLabel:
                insn = insn with { Imm = label - reference.Slot - 1 };
                if (section.Functions.All(f => f.Start != label))
                    section.Functions.Add(new FunctionSymbol(section, name, label) { HasSymbol = false, End = reference.From.End });
                section.LabelCalls.Add((reference, label));
                break;
            case FixupKind.Call:
                if (!unit.Functions.Any(f => f.Name == name) && !unit.Externs.Exists(e => e.Name == name && e.Parameters is not null))
                    throw Error($"there is no function or helper called {name}");
                return false;
            case FixupKind.Map or FixupKind.MapValue:
                if (!unit.Maps.Exists(m => m.Name == name)) throw Error($"there is no map called {name}");
                return false;
            default:
                if (!unit.Functions.Any(f => f.Name == name) && !unit.Data.Exists(d => d.Symbols.ContainsKey(name)) && !unit.Externs.Exists(e => e.Name == name))
                    throw Error($"there is no function or data called {name}");
                return false;
        }

        section.Insns[reference.Slot] = insn;
        return true;
    }
}
