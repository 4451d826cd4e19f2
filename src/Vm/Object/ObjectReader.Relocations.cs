using BpfSim.Maps;
using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Object;

internal sealed partial class ObjectReader
{
    private static bool IsCall(Insn insn) => insn.Code == ((int)InsnClass.Jmp | (int)JmpOp.Call);

    /// <summary>
    /// Sorts a function's relocations by what they stand for. A wrong one does not spoil the whole object, as it
    /// does for libbpf, but only the programs that need it; the message is libbpf's.
    /// </summary>
    private void ReadRelocations(ProgramEntry program)
    {
        foreach (ElfRelocation relocation in _elf.RelocationsOf(program.Section))
        {
            if (relocation.Offset % 8 != 0 || relocation.Offset >= program.Section.Size)
                throw new ObjectException($"sec '{program.Section.Name}': relocation at offset {relocation.Offset} is not an instruction of the section");
            long slot = (long)(relocation.Offset / 8) - program.FirstSlot;
            if (slot < 0 || slot >= program.Slots) continue;
            try
            {
                ProgramRelocation found = Classify(program, (int)slot, relocation.Symbol);
                program.Relocations.Add(found);
                // The compiler writes a plain number; from here on it is recognised as a function's address.
                Insn insn = program.Insns[slot];
                if (found.Kind == RelocationKind.SubprogramAddress)
                    program.Insns[slot] = new Insn(insn.Code, insn.Dst, (int)PseudoSource.Func, insn.Off, insn.Imm);
            }
            catch (ObjectException e)
            {
                program.Error ??= e.Message;
            }
        }
        program.Relocations.Sort((a, b) => a.Slot.CompareTo(b.Slot));
        for (int i = 0; i < program.Slots; i++)
        {
            Insn insn = program.Insns[i];
            if (SubprogramLinker.IsLinkedCall(insn) && program.FindRelocation(i)?.Kind != RelocationKind.ExternCall) program.HasCalls = true;
            if (insn.IsLdImm64 && insn.Src == (int)PseudoSource.Func) program.HasCalls = true;
        }
    }

    private ProgramRelocation Classify(ProgramEntry program, int slot, ElfSymbol symbol)
    {
        Insn insn = program.Insns[slot];
        string what = $"prog '{program.Name}': ";
        if (!IsCall(insn) && !insn.IsLdImm64)
            throw new ObjectException($"{what}invalid relo against '{symbol.Name}' for insns[{slot}].code 0x{insn.Code:x}");
        if (insn.IsLdImm64 && slot + 1 >= program.Slots)
            throw new ObjectException($"{what}relo against '{symbol.Name}' for insn #{slot}, the first half of a 64-bit load without the second");
        if (IsExtern(symbol))
        {
            if (!_externs.TryGetValue(symbol.Index, out ExternEntry? entry))
                throw new ObjectException($"{what}extern relo failed to find extern for '{symbol.Name}' ({symbol.Index})");
            return new ProgramRelocation(IsCall(insn) ? RelocationKind.ExternCall : RelocationKind.Extern, slot, entry.Name, 0, entry);
        }
        string sectionName = symbol.Section < _elf.Sections.Length ? _elf.Sections[symbol.Section].Name : "?";
        if (IsCall(insn))
        {
            if (insn.Src != (int)CallKind.Local) throw new ObjectException($"{what}incorrect bpf_call opcode");
            if (symbol.Section == 0 || symbol.Section != _textSection) throw new ObjectException($"{what}bad call relo against '{symbol.Name}' in section '{sectionName}'");
            if (symbol.Value % 8 != 0) throw new ObjectException($"{what}bad call relo against '{symbol.Name}' at offset {symbol.Value}");
            return new ProgramRelocation(RelocationKind.Call, slot, symbol.Name, (long)symbol.Value);
        }
        if (!symbol.InSection || symbol.Section >= _elf.Sections.Length)
            throw new ObjectException($"{what}invalid relo against '{symbol.Name}' in special section 0x{symbol.Section:x}; forgot to initialize global var?..");
        if (symbol.Section == _textSection && symbol.Type is ElfSymbolType.Section or ElfSymbolType.Func)
        {
            if (symbol.Value % 8 != 0 || insn.Imm % 8 != 0) throw new ObjectException($"{what}bad subprog addr relo against '{symbol.Name}' at offset {symbol.Value}+{insn.Imm}");
            return new ProgramRelocation(RelocationKind.SubprogramAddress, slot, symbol.Name, (long)symbol.Value);
        }
        MapEntry? data = _maps.Find(m => m.IsData && m.Section == symbol.Section);
        if (data != null) return new ProgramRelocation(RelocationKind.MapValue, slot, data.Spec.Name, (long)symbol.Value);
        if (sectionName is ".maps" or "maps" || _maps.Exists(m => m.Section == symbol.Section))
        {
            MapEntry? map = _maps.Find(m => m.Section == symbol.Section && m.Offset == symbol.Value);
            if (map == null) throw new ObjectException($"{what}map relo failed to find map for section '{sectionName}', off {symbol.Value}");
            return new ProgramRelocation(RelocationKind.Map, slot, map.Spec.Name, 0);
        }
        throw new ObjectException($"{what}bad map relo against '{symbol.Name}' in section '{sectionName}'");
    }
}
