namespace BpfSim.Vm.Isa.Assembler;

/// <summary>
/// libbpf wants every local function in <c>.text</c>. A label that is called inside a program therefore moves
/// there, with its instructions up to the next such label, and its calls become references.
/// </summary>
internal static class LocalFunctions
{
    public static AssemblyUnit MoveToText(AssemblyUnit unit)
    {
        if (unit.Code.All(c => c.Name == ".text" || c.LabelCalls.Count == 0)) return unit;
        var result = new AssemblyUnit { File = unit.File, License = unit.License, KernelVersion = unit.KernelVersion };
        result.Data.AddRange(unit.Data);
        result.Maps.AddRange(unit.Maps);
        result.Externs.AddRange(unit.Externs);
        var text = new CodeSection(".text");
        foreach (CodeSection section in unit.Code) Split(unit, section, section.Name == ".text" ? text : Add(result, section.Name), text);
        result.Code.Add(text);
        return result;
    }

    private static CodeSection Add(AssemblyUnit unit, string name)
    {
        var section = new CodeSection(name);
        unit.Code.Add(section);
        return section;
    }

    private static void Split(AssemblyUnit unit, CodeSection from, CodeSection to, CodeSection text)
    {
        FunctionSymbol[] functions = [.. from.Functions.OrderBy(f => f.Start)];
        for (int i = 0; i < functions.Length; i++)
        {
            FunctionSymbol function = functions[i];
            int end = i + 1 < functions.Length ? functions[i + 1].Start : from.Insns.Count;
            CodeSection target = function.HasSymbol ? to : text;
            int moved = target.Insns.Count - function.Start;
            bool[] second = InsnChecks.SecondHalves(from.Insns.GetRange(function.Start, end - function.Start).ToArray());
            for (int slot = function.Start; slot < end; slot++)
            {
                Insn insn = from.Insns[slot];
                bool leaves = !second[slot - function.Start] && !insn.IsLocalCall && !insn.IsLdImm64
                    && InsnChecks.Target(insn, slot) is { } jump && (jump < function.Start || jump >= end);
                if (leaves) throw new AssemblerException(unit.File, from.Source[slot].Line, 1, "this jump leads into another function");
                target.Insns.Add(insn);
                target.Source.Add(from.Source[slot]);
            }

            target.Functions.Add(new FunctionSymbol(target, NameOf(from, function), function.Start + moved) { End = end + moved });
            bool Inside(int slot) => slot >= function.Start && slot < end;
            target.References.AddRange(from.References.Where(r => Inside(r.Slot)).Select(r => r with { Slot = r.Slot + moved }));
            foreach ((Reference call, int label) in from.LabelCalls.Where(c => Inside(c.Reference.Slot)))
            {
                FunctionSymbol called = functions.First(f => f.Start == label);
                target.References.Add(call with { Slot = call.Slot + moved, Name = NameOf(from, called) });
                target.Insns[call.Slot + moved] = target.Insns[call.Slot + moved] with { Imm = 0 };
            }
        }
    }

    private static string NameOf(CodeSection section, FunctionSymbol function)
    {
        if (function.HasSymbol) return function.Name;
        FunctionSymbol owner = section.Functions.Where(f => f.HasSymbol && f.Start <= function.Start).MaxBy(f => f.Start)!;
        return $"{owner.Name}.{function.Name}";
    }
}
